"""The cutouts of both programs, kept on disk by what made them: a run that was interrupted goes on where it ended, and
contact sheets show what was measured.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pellucid
from comparison.progress import say
from comparison.rembg_home import BENCH
from comparison.results import REMBG, REMBG_MATTING
from comparison.sides import Programs, Side
from pellucid.models.cards import find_card

DEFAULT_STORE = BENCH.parent / ".bench" / "cutouts"

_AT_ONCE = 2
"""Sides that work at the same time: while one decodes or encodes on one core, the other's model has the others."""

_PACKAGE = Path(pellucid.__file__).parent


class CutoutStore:
    """A folder of PNG files, `<side>-<what made it>/<digest of the picture>.png`."""

    def __init__(self, folder: Path, made_by: Mapping[str, str]) -> None:
        """`made_by`: a digest of what makes the cutouts of each side. What others made is deleted, side by side."""
        self._folders = {
            side: folder / f"{side.replace(', ', '-').replace(' ', '-')}-{digest}" for side, digest in made_by.items()
        }
        for kept in self._folders.values():
            for old in kept.parent.glob(f"{kept.name.rpartition('-')[0]}-{'?' * 16}"):
                if old != kept:
                    shutil.rmtree(old)
            kept.mkdir(parents=True, exist_ok=True)

    def path(self, side: str, picture: bytes) -> Path:
        """Where the cutout of an encoded picture is, or will be."""
        return self._folders[side] / f"{hashlib.sha256(picture).hexdigest()[:32]}.png"

    def put(self, side: str, picture: bytes, png: bytes) -> None:
        """Keep a cutout. It is there whole or not at all."""
        path = self.path(side, picture)
        half = path.with_suffix(".half")
        half.write_bytes(png)
        half.replace(path)

    def fill(self, programs: Programs, pictures: Iterable[Path]) -> None:
        """Have each side cut those of `pictures` that it has not cut yet. Raises SideGoneError."""
        files = list(pictures)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda side: self._cut(side, programs, files), self._folders))

    def _cut(self, side: str, programs: Programs, files: list[Path]) -> None:
        missing = [file for file in files if not self.path(side, file.read_bytes()).exists()]
        if not missing:
            return
        name, way = (REMBG, "matting") if side == REMBG_MATTING else (side, "default")
        with Side.start(name, programs) as process:
            for number, file in enumerate(missing):
                if number % 10 == 0:
                    say(f"cutouts: {side}, {number + 1} of {len(missing)}")
                picture = file.read_bytes()
                self.put(side, picture, process.cut(picture, way=way, whole=True)[1])


def made_by(side: str, hello: Mapping[str, Any]) -> str:
    """A digest of what decides a side's pixels: the versions of its libraries, its weights, and of Pellucid its tier,
    recipe and every file of the package. `hello`: its first message.
    """
    digest = hashlib.sha256(json.dumps([side, hello, find_card("u2net").sha256], sort_keys=True).encode())
    if side not in (REMBG, REMBG_MATTING):
        for file in sorted(_PACKAGE.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(_PACKAGE)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]
