"""PQ and HLG on a page: light beyond its white is brought below it. Pure: the numbers, without pixels.

The reference white tone mapping operator of SMPTE ST 2094-50, annex D, which browsers use for pictures without
instructions of their own: up to the reference white everything is dimmed alike, to a half where the picture reaches
1000 cd/m2 or more; above, a Bezier curve leads to the white of the page. One factor for all three channels, after the
brightest of them in BT.2020, so that hues stay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pellucid.image.colour.space import ColourSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

REFERENCE_WHITE_NITS = 203.0
"""BT.2408: the white of a page among HDR pictures."""

DEFAULT_PEAK_NITS = 1000.0
"""Of a file that does not say how bright it becomes; also the reference display of HLG."""

_PQ_NITS = 10_000.0
_MAX_HEADROOM = 6.0
"""In stops; PQ reaches 5.6 above the reference white."""

BT2020_LUMINANCE = (0.2627, 0.6780, 0.0593)
_OOTF_EXPONENT = 0.2

_CURVATURE = 0.65
"""Where the Bezier curve's middle point lies between the end of the straight part and white's corner."""

_LEVELS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ToneMapping:
    """What becomes of the light of an HDR picture, in BT.2020's primaries. White of the page = 1."""

    ootf_exponent: float
    """All channels are multiplied by this power of their luminance: HLG on its reference display (BT.2100, table 5)."""

    brightest: float
    """A sample's brightest light in terms of the reference white: all channels are multiplied by this,"""

    factors: NDArray[np.float32]
    """(65536,): and by this, found by the brightest of them: 65535 is a sample's brightest light."""


def mapping_for(space: ColourSpace) -> ToneMapping:
    """How pictures of an HDR space are shown."""
    is_hlg = space.transfers[0].name == "hlg"
    brightest = (DEFAULT_PEAK_NITS if is_hlg else _PQ_NITS) / REFERENCE_WHITE_NITS
    light = np.linspace(0, brightest, _LEVELS)
    light[0] = light[1]  # black stays black by whichever factor
    peak = (space.peak_nits or DEFAULT_PEAK_NITS) / REFERENCE_WHITE_NITS
    return ToneMapping(
        ootf_exponent=_OOTF_EXPONENT if is_hlg else 0.0,
        brightest=brightest,
        factors=(tone_mapped(light, peak) / light).astype(np.float32),
    )


def tone_mapped(light: Values, peak: float) -> Values:
    """What becomes of `light`, for a picture that reaches up to `peak`; reference white = white of the page = 1."""
    headroom = min(math.log2(max(peak, 1.0)), _MAX_HEADROOM)
    if headroom == 0:
        return light
    white = 1 - 0.5 * min(headroom / math.log2(DEFAULT_PEAK_NITS / REFERENCE_WHITE_NITS), 1)
    # A quadratic Bezier curve from (1, white) to (peak, 1), its middle point on the line through the origin and white.
    middle = 1 - _CURVATURE + _CURVATURE / white
    # x(t) = 1 + b t + a t^2, solved for t so that nothing cancels out.
    b, a = 2 * (middle - 1), 1 - 2 * middle + 2.0**headroom
    above = np.clip(light, 1, 2.0**headroom) - 1
    t = 2 * above / (b + np.sqrt(b * b + 4 * a * above))
    curve = white * (1 - t) ** 2 + 2 * white * middle * t * (1 - t) + t**2
    return np.where(light <= 1, white * light, curve)
