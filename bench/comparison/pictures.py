"""Photographs as JPEG at a wished number of pixels: the samples of the demo page, or those of a folder."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from pellucid.demo.samples import SAMPLES, SAMPLES_FOLDER

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

_GRAIN_LEVELS = 4.0
"""Standard deviation of the noise added after enlarging, of 255. An enlarged picture is smooth, its PNG smaller and
faster to write than a photo's. Bytes per pixel and channel as Pillow writes them, 1 and 8 megapixels: 0.17 to 0.36
without grain, 0.42 to 0.50 with it; photographs at their own size have 0.3 to 0.6.
"""

_STRIP_ROWS = 256
_QUALITY = 92


class Pictures:
    """The same pictures at every run; the wished number is made of the photos there are, cropped and mirrored."""

    def __init__(self, folders: list[Path]) -> None:
        """`folders`: photos to take instead of the samples. Exits when there are none."""
        if folders:
            files = [file for folder in folders for file in sorted(folder.iterdir())]
            self._files = [file for file in files if file.suffix.lower() in _SUFFIXES]
            if not self._files:
                sys.exit("there are no photos in " + ", ".join(str(folder) for folder in folders))
        else:
            self._files = [SAMPLES_FOLDER / name for name in SAMPLES]
        self._kept: dict[tuple[int, float], bytes] = {}

    def jpegs(self, count: int, megapixels: float) -> list[bytes]:
        """`count` JPEGs of so many megapixels, sRGB, quality 92."""
        return [self.jpeg(number, megapixels) for number in range(count)]

    def jpeg(self, number: int, megapixels: float) -> bytes:
        """The picture of that number. Those of up to 2 megapixels are kept in memory."""
        key = (number, megapixels)
        if key in self._kept:
            return self._kept[key]
        made = self._make(number, megapixels)
        if megapixels <= 2:
            self._kept[key] = made
        return made

    def _make(self, number: int, megapixels: float) -> bytes:
        draw = np.random.default_rng(number)
        with Image.open(self._files[number % len(self._files)]) as file:
            image = ImageOps.exif_transpose(file).convert("RGB")
        if number >= len(self._files):
            keep = float(draw.uniform(0.8, 1.0))
            width, height = int(image.width * keep), int(image.height * keep)
            left = int(draw.integers(0, image.width - width + 1))
            top = int(draw.integers(0, image.height - height + 1))
            image = image.crop((left, top, left + width, top + height))
            image = ImageOps.mirror(image) if draw.random() < 0.5 else image
        scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
        size = round(image.width * scale), round(image.height * scale)
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
        out = io.BytesIO()
        (add_grain(image, draw) if scale > 1 else image).save(out, "JPEG", quality=_QUALITY)
        return out.getvalue()


def add_grain(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """The RGB picture with noise in each channel, three quarters of it common to all three, as after demosaicing."""
    pixels: npt.NDArray[np.uint8] = np.array(image)
    for top in range(0, pixels.shape[0], _STRIP_ROWS):
        strip = pixels[top : top + _STRIP_ROWS]
        common = draw.standard_normal((*strip.shape[:2], 1), np.float32) * np.float32(0.75**0.5)
        own = draw.standard_normal(strip.shape, np.float32) * np.float32(0.5)
        strip[:] = np.clip(np.rint(strip + (common + own) * np.float32(_GRAIN_LEVELS)), 0, 255)
    return Image.fromarray(pixels)
