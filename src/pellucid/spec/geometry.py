"""Sizes, shapes and positions that a URL asks for. Pure values: `render.plan` resolves them to whole pixels."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from fractions import Fraction


class Fit(enum.StrEnum):
    """How the image meets the box of width and height (Cloudimage's `func`)."""

    CROP = "crop"
    """Fill the box, keep proportions, cut the overflow."""
    FIT = "fit"
    """The whole image inside the box, padded to exactly its size."""
    CROPFIT = "cropfit"
    """`CROP` where the box is no larger than the image either way, else `FIT`."""
    BOUND = "bound"
    """Largest size that lies inside the box; proportions kept, nothing cut, nothing padded."""
    BOUNDMIN = "boundmin"
    """Smallest size that covers the box; proportions kept, nothing cut, nothing padded."""
    COVER = "cover"
    """Exactly the box; proportions are not kept."""
    FACE = "face"
    """`CROP` to the one face of the image."""
    PROXY = "proxy"
    """The file of an image as it is: nothing else of the URL counts."""


class Enlarge(enum.StrEnum):
    """Whether a rendition may be larger than its origin (Cloudimage's `org_if_sml`)."""

    ALLOWED = "allowed"
    NEVER = "never"


class Gravity(enum.StrEnum):
    """What is kept when the image is cropped, and where it lies when it is padded."""

    CENTER = "center"
    NORTH = "north"
    SOUTH = "south"
    EAST = "east"
    WEST = "west"
    NORTHEAST = "northeast"
    NORTHWEST = "northwest"
    SOUTHEAST = "southeast"
    SOUTHWEST = "southwest"
    AUTO = "auto"
    """Around the most prominent object; with `bg_remove`, the subject."""
    SMART = "smart"
    """Around the people, else as `AUTO`."""
    FACE = "face"
    """Around the one face; where there is none, or several, as `AUTO`."""
    TRIM = "trim"
    """By the sides that `trim` cut a border from."""


COMPASS: tuple[Gravity, ...] = tuple(Gravity)[:9]
"""The gravities that are places."""


class FocalUnit(enum.StrEnum):
    """What the numbers of a focal point count."""

    PIXELS = ""
    """Pixels of the upright origin."""
    PERCENT = "p"
    """Percent of the upright origin, 0 to 100."""
    RESULT_PERCENT = "s"
    """Percent of the resized image before it is cropped, 0 to 100."""


@dataclass(frozen=True, slots=True)
class FocalPoint:
    """A point that is kept in the middle as far as possible. `x` from the left, `y` from the top."""

    x: float
    y: float
    unit: FocalUnit = FocalUnit.PIXELS

    def __post_init__(self) -> None:
        most = 1e6 if self.unit is FocalUnit.PIXELS else 100
        if not (0 <= self.x <= most and 0 <= self.y <= most):
            raise ValueError(f"a focal point of {self.x}, {self.y} is outside 0..{most:g}")


@dataclass(frozen=True, slots=True)
class Point:
    """Pixels of the upright origin, from its upper left corner."""

    x: float
    y: float

    def __post_init__(self) -> None:
        if not (0 <= self.x <= 1e6 and 0 <= self.y <= 1e6):
            raise ValueError(f"a point of {self.x}, {self.y} is outside 0..1000000")


@dataclass(frozen=True, slots=True)
class AspectRatio:
    """Width divided by height: any from `low` to `high`, which are the same for a single one."""

    low: Fraction
    high: Fraction

    def __post_init__(self) -> None:
        if not Fraction(1, 1000) <= self.low <= self.high <= 1000:
            raise ValueError(f"aspect ratios of {self.low} to {self.high} are outside 1:1000 to 1000:1")


@dataclass(frozen=True, slots=True)
class Length:
    """Pixels of the output, or percent of its side (of its width for a length from left to right)."""

    value: float
    percent: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.value <= (50 if self.percent else 1e5):
            raise ValueError(f"a length of {self.value} is out of range")


@dataclass(frozen=True, slots=True)
class Margin:
    """Space around the image on a padded canvas."""

    top: Length
    right: Length
    bottom: Length
    left: Length


MAX_RADIUS = math.inf
"""As round as the sides allow."""


@dataclass(frozen=True, slots=True)
class Radius:
    """Radii of the corners in pixels of the output, `MAX_RADIUS` for as round as possible. In Cloudimage's order."""

    top_left: float
    bottom_left: float
    bottom_right: float
    top_right: float

    def __post_init__(self) -> None:
        for radius in (self.top_left, self.bottom_left, self.bottom_right, self.top_right):
            if not (0 <= radius <= 1e5 or radius == MAX_RADIUS):
                raise ValueError(f"a radius of {radius} px is out of range")


class Flip(enum.StrEnum):
    """Mirrored: `HORIZONTAL` exchanges left and right."""

    HORIZONTAL = "h"
    VERTICAL = "v"
    BOTH = "hv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Sizes are pixels of the output divided by `dpr`, decimals allowed, None = follows from the rest.

    In the order in which they apply: `top_left` and `bottom_right` cut a rectangle out of the origin (None = to the
    origin's own corner), `trim` cuts off a border of one colour (0 = off, 100 = most tolerant), `flip` and `rotation`
    (degrees counter-clockwise, 0 up to 360) turn what is left, and `width`, `height`, `aspect_ratio`, `fit`, `gravity`
    and `enlarge` resize it. `fit_enlarge` and `margin` belong to `Fit.FIT`, `face_margin` (percent of the face on each
    side) to `Fit.FACE`. `radius` rounds the corners of the image, not those of a padded canvas.
    """

    width: float | None = None
    height: float | None = None
    fit: Fit = Fit.CROP
    gravity: Gravity | FocalPoint = Gravity.CENTER
    aspect_ratio: AspectRatio | None = None
    enlarge: Enlarge = Enlarge.ALLOWED
    fit_enlarge: bool = False
    margin: Margin | None = None
    dpr: float = 1.0
    top_left: Point | None = None
    bottom_right: Point | None = None
    trim: float = 0.0
    flip: Flip | None = None
    rotation: float = 0.0
    radius: Radius | None = None
    face_margin: float = 60.0

    def __post_init__(self) -> None:
        for size in (self.width, self.height):
            if size is not None and not 0 < size < 1e6:
                raise ValueError(f"size {size} px is outside 0..1000000")
        if not 0 < self.dpr <= 5:
            raise ValueError(f"a device pixel ratio of {self.dpr} is outside 0..5")
        if not 0 <= self.trim <= 100:
            raise ValueError(f"trim {self.trim} is outside 0..100")
        if not 0 <= self.rotation < 360:
            raise ValueError(f"a rotation of {self.rotation} degrees is outside 0..360")
        if not 0 <= self.face_margin <= 1000:
            raise ValueError(f"a face margin of {self.face_margin} percent is outside 0..1000")
