"""What one URL asks for: frozen, hashable values without I/O (standard library only), one module a concern.

A `Spec` knows nothing of real image sizes; `render.plan` resolves it against them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pellucid.spec.background import Background, BlurredCopy
from pellucid.spec.colour import TRANSPARENT, WHITE, AutoColour, Colour
from pellucid.spec.effects import Effects
from pellucid.spec.geometry import (
    COMPASS,
    MAX_RADIUS,
    AspectRatio,
    Enlarge,
    Fit,
    Flip,
    FocalPoint,
    FocalUnit,
    Geometry,
    Gravity,
    Length,
    Margin,
    Point,
    Radius,
)
from pellucid.spec.origin import DEFAULT_TOKEN, OriginRef, Token
from pellucid.spec.output import Output, OutputFormat
from pellucid.spec.removal import Interim, Removal, Tier
from pellucid.spec.source import Source

__all__ = [
    "COMPASS",
    "DEFAULT_TOKEN",
    "MAX_RADIUS",
    "TRANSPARENT",
    "WHITE",
    "AspectRatio",
    "AutoColour",
    "Background",
    "BlurredCopy",
    "Colour",
    "Effects",
    "Enlarge",
    "Fit",
    "Flip",
    "FocalPoint",
    "FocalUnit",
    "Geometry",
    "Gravity",
    "Interim",
    "Length",
    "Margin",
    "OriginRef",
    "Output",
    "OutputFormat",
    "Point",
    "Radius",
    "Removal",
    "Source",
    "Spec",
    "Tier",
    "Token",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What one URL asks for. `version` is the URL's cache buster, '' for none: another one is another rendition of the
    same pixels.
    """

    origin: OriginRef
    version: str = ""
    source: Source = field(default_factory=Source)
    removal: Removal = field(default_factory=Removal)
    geometry: Geometry = field(default_factory=Geometry)
    background: Background = field(default_factory=Background)
    effects: Effects = field(default_factory=Effects)
    output: Output = field(default_factory=Output)
