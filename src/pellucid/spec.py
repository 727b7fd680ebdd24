"""What one URL asks for: frozen, hashable values without I/O (standard library only).

A `Spec` knows nothing of real picture sizes; `render.plan` resolves it against them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NewType

Token = NewType("Token", str)
"""A customer's name-space. Every key and every call carries one."""

DEFAULT_TOKEN = Token("default")


class Fit(enum.StrEnum):
    """How the picture meets the box when both width and height are given (Cloudimage's `func`)."""

    CROP = "crop"
    """Fill the box, keep proportions, cut the overflow around the centre."""
    BOUND = "bound"
    """Largest size that lies inside the box; proportions kept, nothing cut, nothing padded."""


class Enlarge(enum.StrEnum):
    """Whether a rendition may be larger than its origin (Cloudimage's `org_if_sml`)."""

    ALLOWED = "allowed"
    NEVER = "never"


class OutputFormat(enum.StrEnum):
    """The wished output format (Cloudimage's `force_format`)."""

    AUTO = "auto"
    """The origin's family; a transparent result of a family without alpha is negotiated by `Accept`."""
    ORIGINAL = "original"
    """The origin's family whatever happens; a family without alpha gets a white backdrop."""
    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"


class Tier(enum.StrEnum):
    """How much is spent on a matte (`bg_quality`); `cutout.tiers` says what each does."""

    FAST = "fast"
    STANDARD = "standard"
    BEST = "best"


class Interim(enum.StrEnum):
    """What is answered while a matte is owed (`bg_pending`). No part of any rendition."""

    ORIGINAL = "original"
    """The same picture with its background."""
    WAIT = "wait"
    """Hold the answer until the cutout is there, up to the server's limit; then the original."""
    BLANK = "blank"
    """A picture of the right size: transparent, or the background colour."""
    ACCEPTED = "202"
    """No picture: 202 with the status as JSON."""
    LOCKED = "423"
    """No picture: 423 with a problem document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """An sRGB colour, 8 bits a channel, straight alpha (255 = opaque)."""

    red: int
    green: int
    blue: int
    alpha: int = 255

    def __post_init__(self) -> None:
        for channel in (self.red, self.green, self.blue, self.alpha):
            if not 0 <= channel <= 255:
                raise ValueError(f"colour channel {channel} is outside 0..255")

    @property
    def opaque(self) -> bool:
        return self.alpha == 255

    @property
    def rgb(self) -> tuple[int, int, int]:
        return self.red, self.green, self.blue


TRANSPARENT = Colour(red=0, green=0, blue=0, alpha=0)
WHITE = Colour(red=255, green=255, blue=255)


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginRef:
    """Where the source image is, as the URL named it: either a host or an alias.

    `host` is lower case and may carry a port (`example.com:8080`). `path` starts with `/`, `query` has no `?`; both
    are percent-encoded the one way `url.parse` normalises them. `scheme` is None when the URL had none: https is
    tried first, then http. With `alias` set (`_samples_`), host, scheme and query are empty.
    """

    path: str
    host: str = ""
    scheme: str | None = None
    query: str = ""
    alias: str = ""

    def __post_init__(self) -> None:
        if bool(self.host) == bool(self.alias):
            raise ValueError("an origin has a host or an alias, not both and not neither")
        if not self.path.startswith("/"):
            raise ValueError("an origin's path starts with '/'")
        if self.scheme not in (None, "http", "https"):
            raise ValueError(f"unknown origin scheme {self.scheme!r}")

    def __str__(self) -> str:
        """The origin as it stands in a canonical URL, without the leading slash."""
        if self.alias:
            return f"{self.alias}{self.path}"
        scheme = f"{self.scheme}://" if self.scheme else ""
        query = f"?{self.query}" if self.query else ""
        return f"{scheme}{self.host}{self.path}{query}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSpec:
    """Geometry and backdrop. Sizes are pixels of the output, decimals allowed, None = follows from the rest.

    `background` is None when the URL named no colour; `TRANSPARENT` when it asked for transparency.
    """

    width: float | None = None
    height: float | None = None
    fit: Fit = Fit.CROP
    enlarge: Enlarge = Enlarge.ALLOWED
    background: Colour | None = None

    def __post_init__(self) -> None:
        for size in (self.width, self.height):
            if size is not None and not 0 < size < 1e6:
                raise ValueError(f"size {size} px is outside 0..1000000")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec:
    """How the pixels become bytes. `quality` is 1..100, None = the format's default."""

    format: OutputFormat = OutputFormat.AUTO
    quality: int | None = None

    def __post_init__(self) -> None:
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(f"quality {self.quality} is outside 1..100")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What one URL asks for. `cutout` = the background is removed; `tier` None = the server's default. `notify` is
    a URL to be called when the cutout is ready or has failed; it changes no pixel.
    """

    origin: OriginRef
    cutout: bool = False
    tier: Tier | None = None
    interim: Interim = Interim.ORIGINAL
    notify: str | None = None
    render: RenderSpec = field(default_factory=RenderSpec)
    output: OutputSpec = field(default_factory=OutputSpec)
