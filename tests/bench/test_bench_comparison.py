"""The comparison's own arithmetic: a wrong ratio or verdict would be published as a fact."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from comparison.commands import run_watched
from comparison.cutouts import CutoutStore, made_by
from comparison.latency import check_png, jpeg_size
from comparison.machine import plain_environ
from comparison.memory import slope
from comparison.numbers import harmed, over_sets
from comparison.pictures import Pictures
from comparison.protocol import receive, send
from comparison.quality import measure_quality, score
from comparison.report import END, START, put_section, section, tables
from comparison.results import (
    REMBG,
    REMBG_MATTING,
    Folder,
    FolderRun,
    Growth,
    Machine,
    Memory,
    Quality,
    QualitySet,
    Results,
    Startup,
    Timing,
    from_json,
    joined,
    to_json,
)
from comparison.sides import Programs, Side, SideGoneError
from comparison.targets import MEAN, judge_cost, judge_quality
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


def _quality(iou: float, boundary_iou: float, gradient: float, *, mae: float = 0.05) -> Quality:
    return Quality(iou=iou, boundary_iou=boundary_iou, mae=mae, gradient=gradient, veil=0.01)


def _set(**scores: Sequence[Quality]) -> QualitySet:
    count = len(next(iter(scores.values())))
    return QualitySet(
        pictures=[f"picture{number}" for number in range(count)], scores={side: [*of] for side, of in scores.items()}
    )


@pytest.fixture
def results() -> Results:
    timings = {REMBG: Timing(seconds=[1.0, 1.2, 9.0], png_bytes=[10, 10, 10])}
    timings |= {"fast": Timing(seconds=[0.3], png_bytes=[10]), "standard": Timing(seconds=[0.5], png_bytes=[10])}
    run = FolderRun(seconds=10, peak_mb=900)
    growth = Growth(pictures=[0, 50, 100], rss_mb=[500, 510, 510], slope_mb=0)
    pets = _set(
        rembg=[_quality(0.90, 0.70, 0.1), _quality(0.92, 0.72, 0.1)],
        fast=[_quality(0.90, 0.70, 0.1), _quality(0.91, 0.70, 0.1, mae=0.06)],
        standard=[_quality(0.93, 0.74, 0.08), _quality(0.93, 0.76, 0.08)],
    )
    studio = _set(
        rembg=[_quality(0.80, 0.60, 2.0)], fast=[_quality(0.86, 0.60, 2.0)], standard=[_quality(0.80, 0.63, 1.0)]
    )
    return Results(
        date="2026-01-01",
        quick=False,
        machine=_machine("avx2", "avx512_vnni"),
        versions={"rembg": "2.0.86"},
        tiers=["fast", "standard"],
        recipes={"fast": "u2net-int8-fast-v5", "standard": "u2net-int8-standard-v5"},
        latency={"1": timings, "12": {REMBG: timings[REMBG], "standard": Timing(seconds=[0.9], png_bytes=[10])}},
        folder=Folder(pictures=40, runs={REMBG: [run], "fast": [FolderRun(seconds=2.5, peak_mb=600)]}),
        memory=Memory(
            large_megapixels=50,
            large_mb={REMBG: 1900, "standard": 1300},
            worker_mb={"standard": 600},
            growth={REMBG: growth},
        ),
        startup=Startup(seconds={REMBG: [2.0], "standard": [1.0]}, uncompiled={"standard": 2.0}),
        quality={"oxford-pets26": pets, "alphamatting-dev9": studio},
    )


def test_verdicts_on_each_set_and_on_the_mean_over_sets(results: Results) -> None:
    found = {(verdict.what, verdict.tier, verdict.where): verdict for verdict in judge_quality(results)}
    pets, studio = results.quality
    assert found["IoU", "fast", pets].measured == pytest.approx(-0.005)
    assert found["IoU", "fast", pets].reached is False
    assert found["IoU", "fast", studio].measured == pytest.approx(0.06)
    assert found["IoU", "fast", studio].reached
    mean = found["IoU", "fast", MEAN]
    assert mean.measured == pytest.approx((-0.005 + 0.06) / 2), "each set counts the same, however many pictures"
    assert mean.reached
    assert found["IoU over the cheaper tier's", "standard", studio].measured == pytest.approx(-0.06)
    assert found["IoU over the cheaper tier's", "standard", studio].reached is False
    assert found["boundary IoU", "standard", pets].measured == pytest.approx(0.04)
    assert found["MAE", "fast", pets].measured == pytest.approx(1.1)
    assert found["MAE", "fast", pets].reached is False
    assert found["gradient error", "standard", pets].measured == pytest.approx(0.8)
    assert found["gradient error", "standard", pets].reached
    assert found["IoU", "best", pets].reached is None
    assert ("gradient error, studio", "best", pets) not in found, "that one is for studio pictures"
    assert found["gradient error, studio", "best", studio].bound == 0.6


def test_verdicts_on_costs(results: Results) -> None:
    found = {(verdict.what, verdict.tier): verdict for verdict in judge_cost(results)}
    assert found["speed, 1 MP", "fast"].measured == pytest.approx(4.0), "of medians: 1.2 to 0.3"
    assert found["speed, 1 MP", "fast"].reached
    assert found["speed, 1 MP", "standard"].measured == pytest.approx(2.4)
    assert found["images per second of a folder", "fast"].measured == pytest.approx(4.0)
    assert found["JPEG to PNG, 12 MP", "standard"].reached is False
    assert found["JPEG to PNG, 24 MP", "standard"].reached is None
    assert found["JPEG to PNG, 1 MP", "best"].reached is None
    assert found["matte worker's memory, large picture", "standard"].reached


def test_harm_is_an_iou_of_more_than_a_twentieth_below_rembgs(results: Results) -> None:
    rembg, ours = [_quality(0.9, 0.5, 1)] * 4, [_quality(iou, 0.5, 1) for iou in (0.84, 0.86, 0.9, 0.1)]
    results.quality = {"a": _set(rembg=rembg, fast=ours)}
    assert harmed(results, "a", "fast") == 0.5
    assert harmed(results, "a", "best") is None


def test_a_mean_over_sets_wants_all_of_them() -> None:
    numbers = {"a": 1.0, "b": None}
    assert over_sets("a", numbers.get) == 1
    assert over_sets("ab", numbers.get) is None


def test_a_part_that_is_measured_anew_replaces_the_earlier_one(results: Results) -> None:
    now = Results(
        date="2026-01-02",
        quick=False,
        machine=_machine("avx2", "avx512_vnni"),
        versions=results.versions,
        tiers=results.tiers,
        recipes=results.recipes,
        quality={"new": results.quality["oxford-pets26"]},
    )
    both = joined(results, now, ["quality"])
    assert (both.date, list(both.quality), both.latency) == ("2026-01-02", ["new"], results.latency)
    now.machine.busy_elsewhere = 0.9
    assert joined(results, now, ["quality"]).machine.busy_elsewhere == results.machine.busy_elsewhere
    assert joined(results, now, ["latency"]).machine.busy_elsewhere == 0.9
    now.recipes = {"fast": "u2net-bf16-fast-v4"}
    with pytest.raises(ValueError, match="recipes"):
        joined(results, now, ["quality"])
    now.recipes, now.machine = results.recipes, _machine("avx2")
    with pytest.raises(ValueError, match="another machine"):
        joined(results, now, ["quality"])


def test_results_come_back_from_json(results: Results) -> None:
    assert from_json(to_json(results)) == results


def test_tables_show_ratios_and_verdicts(results: Results) -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in tables(results).splitlines() if "|" in line]
    assert ["1", "fast", "1", "0.300", "4.00", "0.00"] in rows
    assert ["fast", "16.00", "4.00", "600"] in rows
    assert ["fast", "speed, 1 MP", "at least 3.00 x", "4.00 x", "reached"] in rows
    assert ["standard", "JPEG to PNG, 12 MP", "at most 0.80 s", "0.90 s", "missed"] in rows
    changes = ["0.9050 (-0.0050)", "0.7000 (-0.0100)", "0.0550 (x 1.10)", "0.1000 (x 1.00)", "1.00%", "0.0%"]
    assert ["oxford-pets26 (2)", "fast", *changes] in rows
    means = ["0.8650 (+0.0100)", "0.6900 (+0.0350)", "0.0500 (x 1.00)", "(x 0.65)", "1.00%", "0.0%"]
    assert ["**mean over sets** (3)", "standard", *means] in rows
    ends = ["at least -0.0030", "**-0.0050**", "+0.0600", "at least +0.0100", "+0.0275"]
    assert ["IoU", "fast", *ends] in rows
    assert ["gradient error, studio", "best", "at most 0.60 x", "", "", "", ""] in rows


def test_parts_that_were_not_measured_leave_no_table(results: Results) -> None:
    bare = Results(date="2026-01-01", quick=True, machine=results.machine, versions={}, tiers=[], recipes={})
    assert tables(bare) == ""


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
    assert score(alpha, sample) == Quality(iou=1, boundary_iou=1, mae=0, gradient=0, veil=0)
    with pytest.raises(ValueError, match="the matte is"):
        score(alpha[:-1], sample)


def test_cutouts_are_kept_as_long_as_what_made_them_is_the_same(tmp_path: Path) -> None:
    first = CutoutStore(tmp_path, {REMBG: "0" * 16, REMBG_MATTING: "1" * 16})
    first.put(REMBG, b"picture", b"cut")
    first.put(REMBG_MATTING, b"picture", b"matted")
    same = CutoutStore(tmp_path, {REMBG: "0" * 16, REMBG_MATTING: "1" * 16})
    assert same.path(REMBG, b"picture").read_bytes() == b"cut"
    assert not same.path(REMBG, b"other").exists()
    other = CutoutStore(tmp_path, {REMBG: "2" * 16})
    assert not other.path(REMBG, b"picture").exists()
    assert not same.path(REMBG, b"picture").exists(), "what nobody will ask for is gone"
    assert same.path(REMBG_MATTING, b"picture").read_bytes() == b"matted"


def test_what_makes_cutouts_is_told_apart() -> None:
    hello = {"versions": {"rembg": "2.0.86"}}
    makers = [made_by(REMBG, hello), made_by(REMBG, {"versions": {"rembg": "3"}}), made_by("fast", hello)]
    assert len({*makers, made_by("best", hello)}) == 4
    assert made_by("fast", hello) == makers[2]


@pytest.mark.slow
def test_kept_cutouts_are_measured_without_cutting_again(tmp_path: Path) -> None:
    folder = tmp_path / "some-set"
    square = np.zeros((60, 80, 4), np.uint8)
    square[20:40, 20:60] = 255
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
        Image.fromarray(square).convert("L").save(folder / name / "a.png")
    store = CutoutStore(tmp_path / "kept", {REMBG: "0" * 16, "fast": "1" * 16})
    for side, alpha in ((REMBG, square), ("fast", np.roll(square, 20, axis=1))):
        png = io.BytesIO()
        Image.fromarray(alpha).save(png, "PNG")
        store.put(side, (folder / "images" / "a.png").read_bytes(), png.getvalue())
    nobody = Programs(rembg_env=tmp_path, u2net_home=tmp_path)
    found = measure_quality([REMBG, "fast"], store, nobody, [folder], limit=None)["some-set"]
    assert found.pictures == ["a"]
    assert found.scores[REMBG][0].iou == 1
    assert found.scores["fast"][0].iou == pytest.approx(1 / 3)


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
