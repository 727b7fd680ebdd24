"""The comparison's own arithmetic: a wrong ratio or verdict would be published as a fact."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from comparison.commands import run_watched
from comparison.latency import check_png, jpeg_size
from comparison.machine import plain_environ
from comparison.memory import slope
from comparison.pictures import Pictures
from comparison.protocol import receive, send
from comparison.quality import score
from comparison.report import END, START, put_section, section, tables
from comparison.results import (
    REMBG,
    Folder,
    FolderRun,
    Growth,
    Machine,
    Memory,
    Quality,
    Results,
    Startup,
    Timing,
    from_json,
    to_json,
)
from comparison.sides import Programs, Side, SideGoneError
from comparison.targets import fast_speed, judge
from PIL import Image

from pellucid.evaluate.dataset import Sample


def _machine(*features: str) -> Machine:
    return Machine(
        cpu="A CPU",
        cores=2,
        memory_gb=16,
        virtual=True,
        features=list(features),
        system="Linux",
        python="3.11",
        busy_elsewhere=0,
    )


def _quality(iou: float, boundary_iou: float, gradient: float) -> Quality:
    return Quality(iou=iou, boundary_iou=boundary_iou, mae=0.05, gradient=gradient)


@pytest.fixture
def results() -> Results:
    timings = {REMBG: Timing(seconds=[1.0, 1.2, 9.0], png_bytes=[10, 10, 10])}
    timings |= {"fast": Timing(seconds=[0.3], png_bytes=[10]), "standard": Timing(seconds=[0.5], png_bytes=[10])}
    run = FolderRun(seconds=10, peak_mb=900)
    growth = Growth(pictures=[0, 50, 100], rss_mb=[500, 510, 510], slope_mb=0)
    scores = {
        REMBG: [_quality(0.90, 0.70, 0.1), _quality(0.92, 0.72, 0.1)],
        "fast": [_quality(0.90, 0.70, 0.1), _quality(0.91, 0.70, 0.1)],
        "standard": [_quality(0.93, 0.74, 0.08), _quality(0.93, 0.76, 0.08)],
    }
    return Results(
        date="2026-01-01",
        quick=False,
        machine=_machine("avx2", "avx512_vnni"),
        versions={"rembg": "2.0.86"},
        tiers=["fast", "standard"],
        latency={"1": timings, "12": {REMBG: timings[REMBG], "standard": Timing(seconds=[0.9], png_bytes=[10])}},
        folder=Folder(pictures=40, runs={REMBG: [run], "fast": [FolderRun(seconds=2.5, peak_mb=600)]}),
        memory=Memory(
            large_megapixels=50,
            large_mb={REMBG: 1900, "standard": 1300},
            worker_mb={"standard": 600},
            growth={REMBG: growth},
        ),
        startup=Startup(seconds={REMBG: [2.0], "standard": [1.0]}, uncompiled={"standard": 2.0}),
        quality={"oxford-pets26": scores},
    )


def test_verdicts(results: Results) -> None:
    found = {(verdict.tier, verdict.what): verdict for verdict in judge(results)}
    speed = found["fast", "speed, 1 MP"]
    assert speed.measured == pytest.approx(4.0), "of medians: 1.2 to 0.3"
    assert speed.reached
    assert found["fast", "IoU, oxford-pets26"].measured == pytest.approx(-0.005)
    assert found["fast", "IoU, oxford-pets26"].reached is False
    assert found["fast", "images per second of a folder"].measured == pytest.approx(4.0)
    assert found["standard", "speed, 1 MP"].reached is False
    assert found["standard", "JPEG to PNG, 12 MP"].reached is False
    assert found["standard", "JPEG to PNG, 24 MP"].reached is None
    assert found["standard", "IoU, oxford-pets26"].measured == pytest.approx(0.02)
    assert found["standard", "boundary IoU, oxford-pets26"].measured == pytest.approx(0.04)
    assert found["standard", "gradient error, oxford-pets26"].measured == pytest.approx(-0.2)
    assert found["standard", "gradient error, oxford-pets26"].reached
    assert found["standard", "IoU, gsc-dev"].reached is None
    assert found["best", "JPEG to PNG, 1 MP"].reached is None
    assert found["standard", "matte worker's memory, 50 MP"].reached


@pytest.mark.parametrize(
    ("features", "wanted"), [(("avx_vnni",), 3.5), (("amx_bf16",), 1.8), (("asimddp",), 3.5), (("avx2",), None)]
)
def test_what_is_wanted_of_the_fast_tier_depends_on_the_cpu(features: tuple[str, ...], wanted: float | None) -> None:
    assert fast_speed(_machine(*features)) == wanted


def test_results_come_back_from_json(results: Results) -> None:
    assert from_json(to_json(results)) == results


def test_tables_show_ratios_and_verdicts(results: Results) -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in tables(results).splitlines() if "|" in line]
    assert ["1", "fast", "1", "0.300", "4.00", "0.00"] in rows
    assert ["fast", "16.00", "4.00", "600"] in rows
    assert ["standard", "speed, 1 MP", "at least 2.50 x", "2.40 x", "missed"] in rows
    assert ["standard", "gradient error, oxford-pets26", "at most -15%", "-20%", "reached"] in rows


def test_parts_that_were_not_measured_leave_no_table(results: Results) -> None:
    bare = Results(date="2026-01-01", quick=True, machine=results.machine, versions={}, tiers=[])
    assert tables(bare).startswith("Targets")


def test_the_section_is_replaced_and_the_rest_of_the_page_kept(results: Results) -> None:
    text = section(results, {"A plot": "plots/a.svg"})
    page = put_section("# Page\n\nBefore.\n", text)
    assert page.startswith("# Page\n\nBefore.\n\n" + START)
    assert "![A plot](plots/a.svg)" in page
    page += "\n## After\n"
    assert put_section(page, f"{START}\nnew\n{END}") == f"# Page\n\nBefore.\n\n{START}\nnew\n{END}\n\n## After\n"
    with pytest.raises(ValueError, match="one marker"):
        put_section(f"# Page\n{START}\n", text)


def test_plots_are_the_same_bytes_twice_and_carry_no_date(results: Results, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from comparison.plots import draw  # noqa: PLC0415

    names = draw(results, tmp_path / "a").values()
    assert set(names) == {"frontier.svg", "latency.svg", "memory.svg"}
    draw(results, tmp_path / "b")
    for name in names:
        first = (tmp_path / "a" / name).read_bytes()
        assert first == (tmp_path / "b" / name).read_bytes()
        assert b"dc:date" not in first
        assert b">rembg<" in first, "text, not outlines"


def test_messages_arrive_whole() -> None:
    pipe = io.BytesIO()
    send(pipe, {"do": "cut"}, b"x" * 100_000)
    send(pipe, {"seconds": 0.5})
    pipe.seek(0)
    head, body = receive(pipe)
    assert (head["do"], body) == ("cut", b"x" * 100_000)
    assert receive(pipe)[0]["seconds"] == 0.5
    with pytest.raises(EOFError):
        receive(pipe)


def test_pictures_are_of_the_wished_size_and_the_same_each_time() -> None:
    pictures = [Pictures([]).jpegs(7, 0.2) for _ in range(2)]
    assert pictures[0] == pictures[1]
    assert len(set(pictures[0])) == 7
    for jpeg in pictures[0]:
        with Image.open(io.BytesIO(jpeg)) as image:
            assert image.size == jpeg_size(jpeg)
            assert image.width * image.height == pytest.approx(200_000, rel=0.01)


def test_an_answer_that_is_no_cutout_is_refused() -> None:
    jpeg, png, grey, small = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.new("RGB", (40, 30)).save(jpeg, "JPEG")
    Image.new("RGBA", (40, 30)).save(png, "PNG")
    Image.new("L", (40, 30)).save(grey, "PNG")
    Image.new("RGBA", (30, 40)).save(small, "PNG")
    check_png("side", png.getvalue()[:33], jpeg.getvalue())
    for wrong in (grey, small):
        with pytest.raises(ValueError, match="something else"):
            check_png("side", wrong.getvalue()[:33], jpeg.getvalue())


def test_scores_leave_ignored_pixels_out() -> None:
    truth = np.zeros((60, 80), np.float32)
    truth[20:40, 20:60] = 1
    alpha, valid = truth.copy(), np.ones(truth.shape, np.bool_)
    alpha[0:5], valid[0:5] = 1, False
    sample = Sample(name="a", picture=b"", truth=truth, valid=valid)
    assert score(alpha, sample) == Quality(iou=1, boundary_iou=1, mae=0, gradient=0)
    with pytest.raises(ValueError, match="the matte is"):
        score(alpha[:-1], sample)


def test_growth_is_that_of_the_second_half() -> None:
    assert slope([0, 50, 100, 150], [100, 900, 900, 900]) == 0
    assert slope([0, 50, 100, 150], [100, 900, 901, 902]) == pytest.approx(2)
    assert slope([0, 50, 100], [0, 10, 20]) == pytest.approx(20)


def test_thread_settings_do_not_reach_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS", "PELLUCID_MODEL_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("KEPT", "1")
    environ = plain_environ()
    assert "KEPT" in environ
    assert not {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS", "PELLUCID_MODEL_THREADS"} & set(environ)


def test_the_peak_of_a_command_counts_its_children(tmp_path: Path) -> None:
    programs = Programs(rembg_env=tmp_path, u2net_home=tmp_path)
    child = "import time; held = bytearray(200_000_000); time.sleep(0.5)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert run_watched([sys.executable, "-c", parent], programs).peak_mb > 200
    with pytest.raises(RuntimeError, match="no such luck"):
        run_watched([sys.executable, "-c", "raise SystemExit('no such luck')"], programs)


@pytest.mark.slow
@pytest.mark.e2e
def test_a_side_cuts_and_one_that_ends_says_why(tmp_path: Path) -> None:
    """The real tier in a process of its own; as rembg's Python one without rembg."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    programs = Programs(rembg_env=tmp_path, u2net_home=tmp_path)
    picture = Pictures([]).jpeg(0, 0.1)
    with Side.start("standard", programs) as side:
        head, png = side.cut(picture, whole=True)
        check_png("standard", png, picture)
        assert head["png_bytes"] == len(png)
        assert side.memory_mb("VmHWM") >= side.memory_mb("VmRSS") > 100
    with pytest.raises(SideGoneError, match="rembg"), Side.start(REMBG, programs):
        pass
