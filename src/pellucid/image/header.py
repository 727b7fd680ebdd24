"""What every reader reports of a file before decoding it, and the limit that all of them pass."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.errors import ImageError, ImageLimitError


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """`width` and `height` are those of the upright picture."""

    width: int
    height: int
    has_alpha: bool
    pages: int = 1
    least_decode_bytes: int = 0
    """Memory that decoding takes at the smallest size, as far as the header tells (`image.footprint`)."""


def check_size(*, width: int, height: int, max_pixels: int) -> None:
    """Raise `ImageLimitError` when a picture has more than `max_pixels`, `ImageError` when it has no pixels at all."""
    if width < 1 or height < 1:
        raise ImageError(f"the picture's header gives it a size of {width} x {height} pixels")
    if width * height > max_pixels:
        raise ImageLimitError(
            f"the picture has {width} x {height} = {width * height} pixels, the limit is {max_pixels} pixels"
        )
