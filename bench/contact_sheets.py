"""Contact sheets: every picture of some sets beside both programs' cutouts on white, black and magenta.

    .venv/bin/python bench/contact_sheets.py DIR... [--tier standard] [--out FOLDER] [--format jpg|png]

DIR holds images/, masks/ and perhaps ignore/, as for `pellucid eval`. Writes FOLDER/<set>-<tier>-<page>.jpg, what loses
most IoU against rembg first. Cutouts that `bench/compare.py` has kept are not made again. Needs the extra `[eval]`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from comparison.contact import BACKDROPS, pages, row
from comparison.cutouts import DEFAULT_STORE, CutoutStore, made_by
from comparison.progress import say
from comparison.quality import measure_quality
from comparison.rembg_home import BENCH, ensure_env, linked_weights
from comparison.results import REMBG, TIERS, QualitySet
from comparison.sides import Programs, find_sides
from PIL import Image, ImageOps

from pellucid.evaluate.dataset import find_pairs, name_sets

_QUALITY = 90


def main() -> None:
    parser = argparse.ArgumentParser(description="Contact sheets of cutouts beside rembg's.")
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    parser.add_argument("--tier", choices=TIERS, default="standard")
    parser.add_argument("--out", type=Path, default=BENCH.parent / ".bench" / "sheets")
    parser.add_argument("--format", choices=("jpg", "png"), default="jpg")
    parser.add_argument("--rembg-env", type=Path, help="an environment that has rembg")
    options = parser.parse_args()
    tier: str = options.tier
    with linked_weights() as home:
        programs = Programs(rembg_env=ensure_env(options.rembg_env), u2net_home=home)
        hellos = find_sides(programs, (tier, REMBG))
        if len(hellos) < 2:
            sys.exit("both programs are needed")
        store = CutoutStore(DEFAULT_STORE, {side: made_by(side, hello) for side, hello in hellos.items()})
        found = measure_quality([tier, REMBG], store, programs, options.folders, limit=None)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, folder in name_sets(options.folders).items():
        title = f"{name}: photo; on {', on '.join(BACKDROPS)}: {tier}, rembg"
        files = [picture for picture, _, _ in find_pairs(folder)]
        for number, page in enumerate(pages(title, draw(files, found[name], tier, store)), start=1):
            page.save(options.out / f"{name}-{tier}-{number:02}.{options.format}", quality=_QUALITY)
        say(f"{name}: {number} pages")


def draw(files: list[Path], found: QualitySet, tier: str, store: CutoutStore) -> Iterator[Image.Image]:
    """A row for each picture, the largest loss first."""
    scored = list(zip(files, found.scores[tier], found.scores[REMBG], strict=True))
    for file, ours, theirs in sorted(scored, key=lambda each: each[1].iou - each[2].iou):
        caption = (
            f"{file.stem}   IoU {ours.iou:.3f}, rembg {theirs.iou:.3f} ({ours.iou - theirs.iou:+.3f})   "
            f"boundary IoU {ours.boundary_iou:.3f}, {theirs.boundary_iou:.3f}   veil {ours.veil:.1%}, {theirs.veil:.1%}"
        )
        picture = file.read_bytes()
        cutouts = [Image.open(store.path(side, picture)).convert("RGBA") for side in (tier, REMBG)]
        with Image.open(file) as photo:
            yield row(caption, ImageOps.exif_transpose(photo), cutouts, BACKDROPS.values())


if __name__ == "__main__":
    main()
