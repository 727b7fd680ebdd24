"""`pellucid cut` that is stopped: at once, whatever it is doing, and what is there is whole."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from e2e_server import DEADLINE_S, endless_svg, wait_until
from PIL import Image

from tiny import TinyModel, with_grain

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _write_pictures(folder: Path, count: int, *, side: int = 64) -> None:
    folder.mkdir()
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[side // 4 : -side // 4, side // 4 : -side // 4] = 240
    for number in range(count):
        Image.fromarray(with_grain(pixels)).save(folder / f"picture{number:03}.png")


@contextmanager
def _cutting(
    tiny: TinyModel, *arguments: str | Path, ignored: signal.Signals | None = None
) -> Iterator[subprocess.Popen[str]]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PELLUCID_")}
    environ |= {"PELLUCID_MODELS_DIR": str(tiny.models_dir), "PELLUCID_MODEL_CARDS": str(tiny.cards)}
    # As a shell starts it: a command in the background of a script would ignore Ctrl-C, one under nohup the hang-up.
    start = f"trap '' {ignored.name[3:]}; " if ignored else ""
    process = subprocess.Popen(
        ["bash", "-c", f'{start}exec "$0" "$@"', sys.executable, "-m", "pellucid", "cut", *arguments, "-m", "tiny"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environ,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _stop(process: subprocess.Popen[str], number: signal.Signals) -> tuple[str, float]:
    """What it says, and how many seconds it takes to end."""
    began = time.monotonic()
    process.send_signal(number)
    said, _ = process.communicate(timeout=DEADLINE_S)
    return said, time.monotonic() - began


def _finished(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.png")) if folder.exists() else []


@pytest.mark.serial
@pytest.mark.parametrize("number", SIGNALS, ids=lambda each: each.name)
def test_a_signal_ends_it_while_a_picture_takes_minutes(
    tiny_model: TinyModel, tmp_path: Path, number: signal.Signals
) -> None:
    """Nothing can interrupt a decoder or a model in the middle of its work: that is why the thread is left behind."""
    _write_pictures(tmp_path / "in", 2)
    (tmp_path / "slow.svg").write_bytes(endless_svg())
    out = tmp_path / "out"
    with _cutting(tiny_model, tmp_path / "in", tmp_path / "slow.svg", "-o", out) as process:
        wait_until(lambda: len(_finished(out)) == 2)
        time.sleep(1)  # the decoder is at it
        assert process.poll() is None
        said, took_s = _stop(process, number)
    assert process.returncode == 128 + number
    assert took_s < 2
    assert f"stopped: 2 of 3 are written: {out}/picture000.png, {out}/picture001.png" in said
    assert "The same command cuts the rest." in said
    assert "Traceback" not in said
    assert sorted(path.name for path in out.iterdir()) == ["picture000.png", "picture001.png"]


@pytest.mark.parametrize("after", [0, 1, 30])
def test_what_is_there_after_a_stop_is_whole_and_is_what_was_said(
    tiny_model: TinyModel, tmp_path: Path, after: int
) -> None:
    count = 150
    _write_pictures(tmp_path / "in", count, side=256)
    out = tmp_path / "out"
    with _cutting(tiny_model, tmp_path / "in", "-o", out) as process:
        wait_until(lambda: out.exists() and len(_finished(out)) >= after)
        said, _ = _stop(process, signal.SIGINT)
    assert process.returncode == 130
    found = _finished(out)
    assert sorted(path.name for path in out.iterdir()) == found, "nothing half written is left"
    for name in found:
        with Image.open(out / name) as image:
            image.load()
            assert image.size == (256, 256)
    if found:
        [written] = re.findall(rf"stopped: (\d+) of {count} are written", said)
        assert int(written) == len(found) >= after
    else:
        assert "stopped: nothing is written" in said

    # The same command goes on with the rest.
    with _cutting(tiny_model, tmp_path / "in", "-o", out) as process:
        said, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == (1 if found else 0)
    assert f"{count - len(found)}/{count - len(found)}" in said
    assert len(_finished(out)) == count


def test_signals_that_the_shell_ignores_do_not_stop_it(tiny_model: TinyModel, tmp_path: Path) -> None:
    _write_pictures(tmp_path / "in", 60)
    out = tmp_path / "out"
    with _cutting(tiny_model, tmp_path / "in", "-o", out, ignored=signal.SIGHUP) as process:
        wait_until(lambda: _finished(out))
        said, _ = _stop(process, signal.SIGHUP)
    assert (process.returncode, len(_finished(out))) == (0, 60), said
