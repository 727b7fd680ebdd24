"""How often a matte is as good as its confidence says, how to say it better, and how often `no-subject` is wrong.

    .venv/bin/python bench/confidence.py DIR... [--quality standard] [--plot FILE]

DIR holds images/, masks/ and perhaps ignore/, as for `pellucid eval`; each is a set. Besides the photographs, their
subjects are put small (0.15 to 0.6 of the frame's side) on backgrounds made from the photographs by painting the
subject over, a set of its own; the painted backgrounds alone are the pictures without a subject. A matte counts as good
when its IoU with the truth is at least 0.9.

"As it is" is the confidence that the mattes came with. The others are fitted anew: a rising curve and beta calibration
over each feature of `calibration.evidence`, and beta calibration over all of them. What is printed of those is said of
pictures that were not in the fit (ten folds); the constants after it are fitted on all. Needs the extra `[eval]`, and
`[bench]` for the plot, which shows the fit with the lowest Brier score.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from calibration.evidence import FEATURES, Judged, evidence_of, goodness_of, judge
from calibration.fit import (
    Fit,
    Floats,
    brier,
    calibration_error,
    fit_beta,
    fit_curve,
    held_out,
    reliability,
    unavoidable_error,
)
from calibration.scenes import Pixels, paint_over, small_scenes
from comparison.markdown import table

from pellucid.engine import Engine
from pellucid.evaluate.dataset import Sample, name_sets, read_samples
from pellucid.image.decode import decode_layers
from pellucid.image.probe import probe
from pellucid.models.folder import default_models_dir

SCENES = "small subjects"
POOLED = ("photographs", "all")
LABELS = ("said", "found", "mattes")
AS_IT_IS = "as it is"


def main() -> None:
    parser = argparse.ArgumentParser(description="Reliability and calibration of the confidence.")
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    parser.add_argument("--quality", default="standard")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    engine = Engine(quality=options.quality, compiled_dir=default_models_dir() / "compiled")
    judged, without = judge_all(engine, options.folders)
    pictures = np.array([each.picture for each in judged])
    told = {AS_IT_IS: np.array([each.said for each in judged])} | {
        name: held_out(fit, evidence_of(judged)[:, columns], goodness_of(judged), pictures)
        for name, (fit, columns) in fits().items()
    }
    best = min((name for name in told if name != AS_IT_IS), key=lambda name: brier(told[name], goodness_of(judged)))
    print_scores(judged, told)
    for name in (AS_IT_IS, best):
        print_reliability(name, told[name], goodness_of(judged))
    print_constants(judged)
    wrong = sum(each.empty for each in judged)
    print(f"\nno-subject: {wrong} of {len(judged)} pictures with a subject, {sum(without)} of {len(without)} without")
    if options.plot:
        draw(reliability(told[best], goodness_of(judged)), options.plot)


def judge_all(engine: Engine, folders: Sequence[Path]) -> tuple[list[Judged], list[bool]]:
    """The mattes of all photographs, then of the scenes; and of each background alone, whether it counts as empty."""
    samples = [(name, sample) for name, folder in name_sets(folders).items() for sample in read_samples(folder)]
    photos = [decoded(sample) for _, sample in samples]
    rng = np.random.default_rng(1)
    grounds = [paint_over(photo, sample.truth >= 0.5, rng) for photo, (_, sample) in zip(photos, samples, strict=True)]
    judged = [
        judge(engine, photo, sample.truth, sample.valid, of=name, picture=number)
        for number, (photo, (name, sample)) in enumerate(zip(photos, samples, strict=True))
    ]
    scenes = small_scenes(photos, [sample.truth for _, sample in samples], grounds, rng)
    judged += [judge(engine, scene, truth, of=SCENES, picture=number) for number, scene, truth in scenes]
    return judged, [engine.segment(ground).empty for ground in grounds]


def decoded(sample: Sample) -> Pixels:
    facts = probe(sample.picture, max_pixels=100_000_000)
    return decode_layers(sample.picture, facts, width=facts.width, height=facts.height)[0]


def fits() -> dict[str, tuple[Fit, list[int]]]:
    """By name: how it is fitted, and to which columns of the evidence."""
    found: dict[str, tuple[Fit, list[int]]] = {}
    for column, name in enumerate(FEATURES):
        found |= {f"curve over {name}": (fit_curve, [column]), f"beta over {name}": (fit_beta, [column])}
    if len(FEATURES) > 1:
        found["beta over all"] = fit_beta, list(range(len(FEATURES)))
    return found


def parts(judged: Sequence[Judged]) -> Iterator[tuple[str, Floats]]:
    """Which mattes (bool) belong to all photographs, to everything, to each set."""
    sets = np.array([each.of for each in judged])
    yield POOLED[0], sets != SCENES
    yield POOLED[1], np.ones(len(sets), np.bool_)
    for name in dict.fromkeys(sets):
        yield name, sets == name


def print_scores(judged: Sequence[Judged], told: dict[str, Floats]) -> None:
    """The calibration error where bins are filled, beside what chance alone makes; the Brier score of each part."""
    good = goodness_of(judged)
    chosen = dict(parts(judged))
    labels = {name: f"{name} ({int(part.sum())}, good {good[part].mean():.2f})" for name, part in chosen.items()}
    errors = {
        name: [
            f"{calibration_error(said[part], good[part]):.3f} (chance {unavoidable_error(said[part]):.3f})"
            for said in told.values()
        ]
        for name, part in chosen.items()
        if name in POOLED
    }
    scores = {name: [f"{brier(said[part], good[part]):.3f}" for said in told.values()] for name, part in chosen.items()}
    for title, rows in (("calibration error", errors), ("Brier score", scores)):
        print("\n" + table([title, *told], [[labels[name], *cells] for name, cells in rows.items()]))


def print_reliability(name: str, said: Floats, good: Floats) -> None:
    columns = zip(*reliability(said, good), strict=True)
    forms = ("{:.2f}", "{:.2f}", "{}")
    rows = [[form.format(value) for value in column] for form, column in zip(forms, columns, strict=True)]
    print("\n" + table([name, *[""] * len(rows[0])], [[label, *row] for label, row in zip(LABELS, rows, strict=True)]))


def print_constants(judged: Sequence[Judged]) -> None:
    for name, (fit, columns) in fits().items():
        fitted = fit(evidence_of(judged)[:, columns], goodness_of(judged))
        print(f"\n{name}, fitted on all\n{fitted.constants([list(FEATURES)[column] for column in columns])}")


def draw(groups: list[tuple[float, float, int]], target: Path) -> None:
    style: dict[str, Any] = {"svg.hashsalt": "pellucid", "svg.fonttype": "none", "font.size": 9}
    with import_module("matplotlib").rc_context(style):
        figure: Any = import_module("matplotlib.figure").Figure(figsize=(4, 4))
        import_module("matplotlib.backends.backend_svg").FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1)
        axes.plot([each[0] for each in groups], [each[1] for each in groups], marker="o", color="#1f6f8b")
        for told, found, count in groups:
            axes.annotate(str(count), (told, found), textcoords="offset points", xytext=(6, -10))
        axes.set(xlabel="confidence", ylabel="share of mattes with IoU of at least 0.9", xlim=(0, 1), ylim=(0, 1.03))
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, format="svg", metadata={"Date": None}, bbox_inches="tight")


if __name__ == "__main__":
    main()
