"""Pictures and mattes for the render tests, made by code."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pellucid.image.matte_file import pack_matte


def disc(height: int, width: int, *, softness: float = 0.06) -> NDArray[np.float32]:
    """A soft disc in the middle, 1 inside."""
    y, x = np.mgrid[:height, :width]
    radius = np.hypot((y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5)
    return np.clip((0.3 - radius) / softness + 0.5, 0, 1).astype(np.float32)


def levels(alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(alpha * 255).astype(np.uint8)


def mixed(
    foreground: NDArray[np.floating] | tuple[int, int, int],
    background: NDArray[np.floating] | tuple[int, int, int],
    alpha: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """The photo of a foreground before a background."""
    a = alpha[..., None]
    return np.rint(np.asarray(foreground, float) * a + np.asarray(background, float) * (1 - a)).astype(np.uint8)


def saved(pixels: NDArray[np.uint8], format_: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_, **options)
    return buffer.getvalue()


def opened(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)))


def matte(alpha: NDArray[np.float32], width: int, height: int) -> bytes:
    return pack_matte(alpha, width=width, height=height, confidence=1.0, empty=False, recipe_id="test")
