"""The sample photographs behind the built-in alias `_samples_`: those of the scikit-image package, extra `[demo]`.

Three are written as JPEG, because that is what pages ask for and what makes the format of a cutout interesting.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pellucid.formats import ImageFormat
from pellucid.image.decode import decode_full
from pellucid.image.encode import encode
from pellucid.image.probe import probe

SAMPLES_ALIAS = "_samples_"

# Name served, file of scikit-image's data folder. What they show: a cat's face, a cup of coffee, an astronaut
# (Eileen Collins), a rocket before its launch: all CC0 or public domain.
SAMPLES = {
    "cat.jpg": "chelsea.png",
    "coffee.jpg": "coffee.png",
    "astronaut.jpg": "astronaut.png",
    "astronaut.png": "astronaut.png",
    "rocket.jpg": "rocket.jpg",
}

_JPEG_QUALITY = 92
_MAX_PIXELS = 1_000_000


def make_samples(folder: Path) -> bool:
    """Write into `folder` the samples that are not there yet; False when scikit-image is not installed."""
    found = importlib.util.find_spec("skimage")  # found, not imported: that would take a second
    if found is None or not found.submodule_search_locations:
        return False
    source = Path(next(iter(found.submodule_search_locations))) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in SAMPLES.items():
        target = folder / name
        if target.exists() or not (source / file).is_file():
            continue
        part = target.with_suffix(".part")
        if target.suffix == ".jpg" and not file.endswith(".jpg"):
            part.write_bytes(_as_jpeg((source / file).read_bytes()))
        else:
            part.write_bytes((source / file).read_bytes())
        part.replace(target)
    return True


def _as_jpeg(data: bytes) -> bytes:
    facts = probe(data, max_pixels=_MAX_PIXELS)
    return encode(decode_full(data, facts), format=ImageFormat.JPEG, quality=_JPEG_QUALITY)
