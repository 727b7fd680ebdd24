"""The command line and the library, as a person runs them, with the real model."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from e2e_server import DEADLINE_S, PellucidServer, as_jpeg, free_port
from PIL import Image

import pellucid

HEALTH_PAGE = (Path(__file__).parents[2] / "docs" / "health.md").read_text()


def _pellucid(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pellucid", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environ,
        timeout=300,
    )


def test_cut_writes_rgba_at_the_upright_size(tmp_path: Path, dog_png: bytes) -> None:
    turned = tmp_path / "turned.jpg"
    photo = Image.open(io.BytesIO(as_jpeg(dog_png))).resize((300, 400))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter: 400 x 300
    photo.save(turned, "JPEG", exif=exif)
    (tmp_path / "dog.png").write_bytes(dog_png)
    done = _pellucid("cut", turned, tmp_path / "dog.png", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "2/2" in done.stderr
    with Image.open(tmp_path / "out" / "turned.png") as image:
        assert (image.mode, image.size) == ("RGBA", (400, 300))
    with Image.open(tmp_path / "out" / "dog.png") as image:
        assert (image.mode, image.size) == ("RGBA", (512, 512))
        alpha = np.asarray(image)[:, :, 3]
    assert alpha[230:300, 150:300].min() > 200
    assert alpha[:20, :20].max() < 30
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dog.png", "turned.png"]


def test_two_inputs_with_one_stem_are_refused_before_any_work(tmp_path: Path, dog_png: bytes) -> None:
    (tmp_path / "a.png").write_bytes(dog_png)
    (tmp_path / "a.jpg").write_bytes(as_jpeg(dog_png))
    done = _pellucid("cut", tmp_path / "a.png", tmp_path / "a.jpg", "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "a.png and" in done.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_an_input_is_never_overwritten(tmp_path: Path, dog_png: bytes) -> None:
    (tmp_path / "a.png").write_bytes(dog_png)
    done = _pellucid("cut", tmp_path / "a.png", "-o", tmp_path)
    assert done.returncode == 1
    assert (tmp_path / "a.png").read_bytes() == dog_png


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path, dog_png: bytes) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "good.png").write_bytes(dog_png)
    done = _pellucid("cut", tmp_path, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "bad.jpg" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]


def test_models_list_and_verify(tmp_path: Path) -> None:
    listed = _pellucid("models", "list")
    assert listed.returncode == 0
    assert "u2net" in listed.stdout
    assert "Apache-2.0" in listed.stdout
    assert _pellucid("models", "verify").returncode == 0
    missing = _pellucid("models", "verify", "--models-dir", tmp_path)
    assert missing.returncode == 1
    assert "pellucid models pull u2net" in missing.stdout


def test_doctor_is_well_and_knows_what_is_wrong(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        well = _pellucid("doctor", PELLUCID_DATA_DIR=str(tmp_path / "data"), PELLUCID_PORT="0")
        assert well.returncode == 0, well.stdout + well.stderr
        assert "WRONG" not in well.stdout
        taken.listen()
        ill = _pellucid(
            "doctor",
            PELLUCID_DATA_DIR=str(tmp_path / "data"),
            PELLUCID_PORT=port,
            PELLUCID_MODELS_DIR=str(tmp_path / "none"),
        )
    assert ill.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken" in ill.stdout
    assert "pellucid models pull u2net" in ill.stdout


def test_doctor_knows_a_running_server(server: PellucidServer) -> None:
    done = _pellucid("doctor", PELLUCID_DATA_DIR=str(server.data_dir), PELLUCID_PORT=server.address.rpartition(":")[2])
    assert done.returncode == 0, done.stdout
    assert "a running Pellucid answers" in done.stdout
    assert "1 worker alive" in done.stdout


def _documented_probe(marker: str, address: str) -> list[str]:
    """A command of docs/health.md that asks the server at `address`."""
    [line] = [line for line in HEALTH_PAGE.splitlines() if marker in line]
    command = json.loads(line.partition("CMD ")[2]) if "CMD " in line else shlex.split(line.partition("=")[2])
    return [part.replace("127.0.0.1:8400", address) for part in command]


@pytest.mark.parametrize(("marker", "program"), [("CMD [", sys.executable), ("ExecStartPost=", shutil.which("curl"))])
def test_documented_probes_tell_a_server_that_answers(server: PellucidServer, marker: str, program: str | None) -> None:
    if program is None:
        pytest.skip("curl is not installed")
    for address, well in ((server.address, True), (f"127.0.0.1:{free_port()}", False)):
        probe = [program, *_documented_probe(marker, address)[1:]]
        # The unit's command waits for a minute.
        probe = ["1" if part == "60" else part for part in probe]
        done = subprocess.run(probe, capture_output=True, check=False, timeout=DEADLINE_S)
        assert (done.returncode == 0) is well, done.stderr


def test_serve_beside_a_running_server_says_so(server: PellucidServer, tmp_path: Path) -> None:
    port = int(server.address.rpartition(":")[2])
    done = _pellucid("serve", "--port", str(port), PELLUCID_DATA_DIR=str(tmp_path / "d"))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"pellucid: port {port} on 127.0.0.1 is taken: Pellucid {version('pellucid')} is already running on "
        f"http://127.0.0.1:{port}/",
        f"Stop it, or take another port: --port {port + 1}, PELLUCID_PORT={port + 1} or `make run PORT={port + 1}`",
    ]
    assert server.ask("/-/health").status == 200


def test_serve_says_what_is_missing(tmp_path: Path) -> None:
    no_weights = _pellucid("serve", PELLUCID_MODELS_DIR=str(tmp_path), PELLUCID_DATA_DIR=str(tmp_path / "d"))
    assert (no_weights.returncode, "pellucid models pull u2net" in no_weights.stderr) == (1, True)
    worker = _pellucid("work", PELLUCID_MODELS_DIR=str(tmp_path), PELLUCID_DATA_DIR=str(tmp_path / "d"))
    assert (worker.returncode, "pellucid models pull u2net" in worker.stderr) == (1, True)
    unknown = _pellucid("serve", PELLUCID_WROKERS="3")
    assert (unknown.returncode, "did you mean PELLUCID_WORKERS" in unknown.stderr) == (1, True)
    public = _pellucid("serve", "--host", "0.0.0.0")
    assert (public.returncode, "open image proxy" in public.stderr) == (1, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        busy = _pellucid("serve", "--port", str(port), PELLUCID_DATA_DIR=str(tmp_path / "d"))
    assert (busy.returncode, f"PELLUCID_PORT={port + 1}" in busy.stderr) == (1, True)
    (tmp_path / "file").write_text("")
    unwritable = _pellucid("serve", "--port", "0", PELLUCID_DATA_DIR=str(tmp_path / "file" / "data"))
    assert (unwritable.returncode, "PELLUCID_DATA_DIR" in unwritable.stderr) == (1, True)
    (tmp_path / "d").mkdir(parents=True, exist_ok=True)
    (tmp_path / "d" / "pellucid.sqlite").write_bytes(b"no database" * 1000)
    damaged = _pellucid("serve", "--port", "0", PELLUCID_DATA_DIR=str(tmp_path / "d"))
    assert (damaged.returncode, "move it away" in damaged.stderr, "Traceback" in damaged.stderr) == (1, True, False)
    assert "Traceback" not in no_weights.stderr + unknown.stderr + public.stderr + busy.stderr + unwritable.stderr


def test_the_library(dog_png: bytes, tmp_path: Path) -> None:
    cutout = pellucid.cut(dog_png)
    assert (cutout.matte.shape, cutout.matte.dtype) == ((512, 512), np.float32)
    assert cutout.matte.min() >= 0
    assert cutout.matte.max() <= 1
    rgba = cutout.rgba()
    assert (rgba.shape, rgba.dtype) == ((512, 512, 4), np.uint8)
    assert np.array_equal(rgba[:, :, 3], np.rint(cutout.matte * 255).astype(np.uint8))
    assert not cutout.empty
    assert cutout.confidence > 0.5

    path = tmp_path / "dog.png"
    path.write_bytes(dog_png)
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert np.array_equal(pellucid.cut(path).matte, cutout.matte)
    assert np.array_equal(pellucid.cut(pixels).matte, cutout.matte)

    half = np.dstack([pixels, np.full(pixels.shape[:2], 128, np.uint8)])
    assert pellucid.cut(half).matte.max() == np.float32(128 / 255), "the photo's own alpha is multiplied in"
