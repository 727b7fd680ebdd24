"""What lies behind the image: where it is padded, rotated, rounded or transparent."""

from __future__ import annotations

from dataclasses import dataclass, field

from pellucid.spec.colour import AutoColour, Colour
from pellucid.spec.geometry import Gravity


@dataclass(frozen=True, slots=True, kw_only=True)
class BlurredCopy:
    """The image itself as its background: it fills the canvas, and `gravity` says which part of it is seen. `blur` is
    the standard deviation in pixels of the output, None for a share of its size; `opacity` 0..1; `tint` a colour over
    it.
    """

    blur: float | None = None
    opacity: float = 1.0
    tint: Colour | None = None
    gravity: Gravity = Gravity.CENTER

    def __post_init__(self) -> None:
        if self.blur is not None and not 0 <= self.blur <= 1000:
            raise ValueError(f"a blur of {self.blur} is outside 0..1000 px")
        if not 0 <= self.opacity <= 1:
            raise ValueError(f"an opacity of {self.opacity} is outside 0..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """`colour` is None where the URL named none, `TRANSPARENT` where it asked for transparency. With `image_fit` the
    padding of `Fit.FIT` is a blurred copy of the image, as `copy` says, over the colour.
    """

    colour: Colour | AutoColour | None = None
    image_fit: bool = False
    copy: BlurredCopy = field(default_factory=BlurredCopy)
