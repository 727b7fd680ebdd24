"""Pellucid beside rembg: one machine, one run, the same weights.

    .venv/bin/python bench/compare.py [--data DIR...] [--photos DIR...] [--only PART,PART] [--quick] [--docs]
    .venv/bin/python bench/compare.py --data DIR... --only quality --update FILE [--docs]
    .venv/bin/python bench/compare.py --redraw FILE [--docs]

Parts: latency (JPEG bytes to PNG bytes in resident processes that take turns), folder (both commands), memory,
startup, quality (on folders with `images/`, `masks/` and perhaps `ignore/`, named with --data); "speed" is all but
quality. With --update the parts that are not measured come from an earlier results.json of the same machine and
versions. Cutouts for quality are kept in .bench/cutouts as long as what makes them is the same; a run that was
interrupted goes on from there. rembg gets an environment of its own, made once from `bench/rembg.lock`. Writes
results.json, tables.md and plots to --out; with --docs also the plots and the section of docs/benchmarks.md. Needs
the extras `[eval]` and `[bench]`. Exit status 0, whatever the targets say.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from comparison.cutouts import DEFAULT_STORE, CutoutStore, made_by
from comparison.folder import measure_folder
from comparison.latency import Counts, measure_latency
from comparison.machine import busy_share, describe_machine
from comparison.memory import measure_memory
from comparison.pictures import Pictures
from comparison.plots import draw
from comparison.progress import say
from comparison.quality import measure_quality
from comparison.rembg_home import BENCH, ensure_env, linked_weights
from comparison.report import heading, put_section, section, tables
from comparison.results import (
    PARTS,
    REMBG,
    REMBG_DECONTAMINATE,
    REMBG_MATTING,
    Results,
    from_json,
    joined,
    to_json,
)
from comparison.sides import Programs, find_sides
from comparison.startup import measure_startup

from pellucid.system.extras import install_command

SPEED = [part for part in PARTS if part != "quality"]
DOCS = BENCH.parent / "docs"


def main() -> None:
    options = read_options()
    if find_spec("matplotlib") is None:
        sys.exit(f"matplotlib is missing: {install_command('bench')}")
    if options.redraw:
        results = from_json(options.redraw.read_bytes())
    else:
        env = ensure_env(options.rembg_env)
        with linked_weights() as home:
            measured = run(options, Programs(rembg_env=env, u2net_home=home))
        results = from_json(to_json(measured))  # what is drawn now is what is drawn from the file later
    if options.docs and results.quick:
        sys.exit("the documentation takes no quick run")
    write(results, options.out, docs=options.docs)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare Pellucid with rembg.")
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="folders with images/ and masks/")
    parser.add_argument("--photos", type=Path, nargs="+", default=[], help="photos to take for everything else")
    parser.add_argument("--rembg-env", type=Path, help="an environment that has rembg")
    parser.add_argument("--out", type=Path, default=BENCH.parent / ".bench" / "out")
    parser.add_argument("--only", type=read_parts, default=list(PARTS), help=f"{','.join(PARTS)} or speed")
    parser.add_argument("--update", type=Path, metavar="FILE", help="take the other parts from this results.json")
    parser.add_argument("--fresh", action="store_true", help="cut anew what earlier runs have kept")
    parser.add_argument("--images", type=int, default=40, help="pictures of the folder")
    parser.add_argument("--memory-pictures", type=int, default=500, help="pictures in a row for the memory plot")
    parser.add_argument("--quick", action="store_true", help="tiny counts: does it run?")
    parser.add_argument("--docs", action="store_true", help="write the section of docs/benchmarks.md, too")
    parser.add_argument("--redraw", type=Path, metavar="FILE", help="tables and plots of an earlier results.json")
    options = parser.parse_args()
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if options.quick and options.docs:
        parser.error("the documentation takes no quick run")
    return options


def run(options: argparse.Namespace, programs: Programs) -> Results:
    """Measure the wished parts, one after the other."""
    quick: bool = options.quick
    pictures = Pictures(options.photos)
    hellos = find_sides(programs)
    versions = {name: number for hello in hellos.values() for name, number in hello["versions"].items()}
    del versions["numpy"]  # each side has its own
    tiers = [name for name in hellos if name != REMBG]
    results = Results(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        quick=quick,
        machine=describe_machine(),
        versions=versions,
        tiers=tiers,
        recipes={tier: hellos[tier]["recipe"] for tier in tiers},
    )
    if options.update:
        try:
            results = joined(from_json(options.update.read_bytes()), results, options.only)
        except ValueError as error:
            sys.exit(f"{options.update}: {error}")
    if "latency" in options.only:
        counts = Counts(
            pictures={1: 2, 12: 1, 24: 1} if quick else {1: 15, 12: 7, 24: 5},
            ways={REMBG_DECONTAMINATE: 1, REMBG_MATTING: 1} if quick else {REMBG_DECONTAMINATE: 5, REMBG_MATTING: 3},
        )
        results.latency = measure_latency(tiers, programs, pictures, counts)
    if "folder" in options.only:
        count, rounds = (3, 1) if quick else (options.images, 3)
        results.folder = measure_folder(tiers, programs, pictures, count=count, rounds=rounds)
    if "memory" in options.only:
        count, every = (8, 2) if quick else (options.memory_pictures, max(1, options.memory_pictures // 10))
        results.memory = measure_memory(tiers, programs, pictures, large_megapixels=50, count=count, every=every)
    if "startup" in options.only:
        results.startup = measure_startup(tiers, programs, pictures, rounds=1 if quick else 5)
    if "quality" in options.only:
        sides = [REMBG, *tiers, *([] if quick else [REMBG_MATTING])]
        if options.fresh:
            shutil.rmtree(DEFAULT_STORE, ignore_errors=True)
        store = CutoutStore(DEFAULT_STORE, {side: made_by(side, hellos.get(side, hellos[REMBG])) for side in sides})
        results.quality = measure_quality(sides, store, programs, options.data, limit=2 if quick else None)
    results.machine.busy_elsewhere = max(results.machine.busy_elsewhere, busy_share())
    return results


def read_parts(text: str) -> list[str]:
    return [part for name in text.split(",") for part in (SPEED if name == "speed" else [name])]


def write(results: Results, out: Path, *, docs: bool) -> None:
    """results.json, tables.md, plots; and the section."""
    out.mkdir(parents=True, exist_ok=True)
    text = f"{heading(results)}\n\n{tables(results)}\n"
    print(text)
    (out / "results.json").write_bytes(to_json(results))
    (out / "tables.md").write_text(text)
    draw(results, out)
    if docs:
        plots = draw(results, DOCS / "plots")
        page = DOCS / "benchmarks.md"
        links = {words: f"plots/{name}" for words, name in plots.items()}
        page.write_text(put_section(page.read_text(), section(results, links)))
    say(f"written to {out}")


if __name__ == "__main__":
    main()
