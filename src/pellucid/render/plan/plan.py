"""PURE: a plan, whole pixels only."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.image.box import Box
from pellucid.spec import Flip


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What happens to the pixels of one upright image, in this order; every size is at least 1.

    The image is scaled to `scaled_width` x `scaled_height`, and the box `crop` of that is kept. What is kept is
    mirrored (`flip`), then rotated by `rotation` degrees counter-clockwise if these are quarter turns. Its corners are
    rounded by `radii` (top left, bottom left, bottom right, top right; in pixels). Any other rotation comes then: it
    makes the image `rotated_size` (width, height) large, with transparent corners, of which the box `kept` remains. At
    last the image lies on a canvas of `width` x `height`, its upper left corner at `left`, `top`.
    """

    scaled_width: int
    scaled_height: int
    crop: Box
    flip: Flip | None = None
    rotation: float = 0.0
    rotated_size: tuple[int, int] | None = None
    kept: Box | None = None
    radii: tuple[int, int, int, int] | None = None
    left: int = 0
    top: int = 0
    width: int
    height: int

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the image on its canvas."""
        if self.kept is not None:
            return self.kept.width, self.kept.height
        if self.rotation in (90, 270):
            return self.crop.height, self.crop.width
        return self.crop.width, self.crop.height

    @property
    def is_padded(self) -> bool:
        """Whether some of the canvas is not covered by the image."""
        return self.image_size != (self.width, self.height)

    @property
    def has_gaps(self) -> bool:
        """Whether the result shows what is behind the image even if that is opaque."""
        return self.is_padded or self.rotated_size is not None or self.radii is not None
