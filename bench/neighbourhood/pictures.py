"""The pictures that are asked for, all made by code."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


@cache
def product() -> bytes:
    """A red mug on a wooden table, one megapixel, as JPEG: any model finds it."""
    noise = np.random.default_rng(1).normal(0, 6, (800, 1250, 3))
    table = np.full((800, 1250, 3), (196, 164, 120), np.float64) + noise
    table[:420] = np.full((420, 1250, 3), (226, 226, 222), np.float64) + noise[:420]
    image = Image.fromarray(np.clip(table, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.ellipse((800, 330, 960, 560), outline=(150, 20, 30), width=34)
    draw.rounded_rectangle((430, 220, 860, 690), 60, fill=(190, 25, 38))
    draw.ellipse((430, 180, 860, 270), fill=(120, 12, 20))
    return _encoded(image.filter(ImageFilter.GaussianBlur(1.2)), "JPEG", quality=88)


@cache
def large_photo() -> bytes:
    """Twelve megapixels of JPEG."""
    noise = np.random.default_rng(2).integers(0, 255, (300, 400, 3), np.uint8)
    return _encoded(Image.fromarray(noise).resize((4000, 3000), Image.Resampling.BICUBIC), "JPEG", quality=80)


BOMBS = ("jp2", "avif", "png")
"""By extension: few bytes, 81 to 100 million pixels."""


@cache
def bombs() -> dict[str, bytes]:
    """`BOMBS` by extension; drawing them takes some ten seconds."""
    jp2 = Image.new("RGB", (10000, 10000), (200, 30, 40))
    avif = Image.new("RGB", (9000, 9000), (200, 30, 40))
    png = Image.new("RGBA", (10000, 10000), (200, 30, 40, 90))
    drawn = (
        _encoded(jp2, "JPEG2000", quality_layers=[500]),
        _encoded(avif, "AVIF", quality=10, speed=10),
        _encoded(png, "PNG"),
    )
    return dict(zip(BOMBS, drawn, strict=True))


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
