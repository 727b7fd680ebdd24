"""Colour spaces as files describe them without an ICC profile, and the codes for them of ITU-T H.273 ("CICP"). Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

Point = tuple[float, float]
"""CIE 1931 x and y."""

TransferName = Literal["srgb", "power", "smpte240", "smpte428", "pq", "hlg"]


@dataclass(frozen=True, slots=True)
class Primaries:
    """The chromaticities of white and of the three colours that are mixed."""

    white: Point
    red: Point
    green: Point
    blue: Point

    def to_d50(self) -> Values:
        """(3, 3): from linear RGB to CIE XYZ of D50, ICC's connection space, in which white has Y = 1.

        Raises `ValueError` when these are the primaries of no colour space: they are no chromaticities, three of them
        lie on a line, or no eye could take white for white.
        """
        points = (self.white, self.red, self.green, self.blue)
        columns: Values = np.array([(x, y, 1 - x - y) for x, y in points], np.float64).T
        white, mixed = columns[:, 0], columns[:, 1:]
        are_chromaticities = all(0 <= each <= 1 for point in points for each in point)
        seen_white = _BRADFORD @ white
        if not are_chromaticities or min(white[1], *seen_white, abs(np.linalg.det(mixed))) < _TINY:
            raise ValueError("the primaries describe no colour space")
        brightness: Values = np.linalg.solve(mixed, white) / white[1]
        adapted = np.diag(white[1] * (_BRADFORD @ _D50) / seen_white)
        return np.linalg.inv(_BRADFORD) @ adapted @ _BRADFORD @ (mixed * brightness)


_D50 = np.array((0.9642, 1.0, 0.8249))
"""The white of ICC's connection space, in XYZ."""

_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""How one white is adapted to another (ICC.1:2022, annex E)."""

_TINY = 1e-6
"""Of a white's y and what the three cones see of it, and of the determinant of three chromaticities: of sRGB's it is
0.23, of ProPhoto's 0.35.
"""


@dataclass(frozen=True, slots=True)
class Transfer:
    """How samples become light. `exponent` counts for "power" only."""

    name: TransferName
    exponent: float = 1.0

    def to_linear(self, samples: Values) -> Values:
        """Light for `samples` from 0 to 1: relative to white = 1, or for PQ and HLG to their own brightest."""
        return _TO_LINEAR[self.name](samples, self.exponent)


@dataclass(frozen=True, slots=True)
class ColourSpace:
    """`transfers` are those of red, green and blue; `peak_nits` is the brightest that the picture holds, for PQ and
    HLG, where the file says it.
    """

    primaries: Primaries
    transfers: tuple[Transfer, Transfer, Transfer]
    peak_nits: float | None = None

    @property
    def is_srgb(self) -> bool:
        """Whether the picture needs no transform."""
        return self.primaries == BT709 and self.transfers == (SRGB_CURVE,) * 3

    @property
    def is_hdr(self) -> bool:
        """Whether it reaches beyond the white of a page, and must be tone-mapped."""
        return self.transfers[0].name in ("pq", "hlg")


def uniform(primaries: Primaries, transfer: Transfer, *, peak_nits: float | None = None) -> ColourSpace:
    """A colour space whose three channels have one transfer function. `peak_nits` is left out where it means nothing,
    so that equal spaces are equal.
    """
    is_hdr = transfer.name in ("pq", "hlg")
    return ColourSpace(primaries, (transfer, transfer, transfer), peak_nits if is_hdr else None)


def _srgb(samples: Values, _: float) -> Values:
    return np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)


def _power(samples: Values, exponent: float) -> Values:
    return samples**exponent


def _smpte240(samples: Values, _: float) -> Values:
    return np.where(samples < 4 * 0.0228, samples / 4, ((samples + 0.1115) / 1.1115) ** (1 / 0.45))


def _smpte428(samples: Values, _: float) -> Values:
    return samples**2.6 * 52.37 / 48


def _pq(samples: Values, _: float) -> Values:
    # SMPTE ST 2084; 1 is 10,000 cd/m2.
    root = samples ** (32 / 2523)
    return (np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)) ** (16384 / 2610)


def _hlg(samples: Values, _: float) -> Values:
    # BT.2100, table 5; 1 is the brightest light of the scene.
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(samples <= 0.5, samples**2 / 3, (np.exp((samples - c) / a) + b) / 12)


_TO_LINEAR: dict[TransferName, Callable[[Values, float], Values]] = {
    "srgb": _srgb,
    "power": _power,
    "smpte240": _smpte240,
    "smpte428": _smpte428,
    "pq": _pq,
    "hlg": _hlg,
}

D65: Point = (0.3127, 0.3290)
_C: Point = (0.310, 0.316)

BT709 = Primaries(D65, (0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
"""Those of sRGB, too."""
BT2020 = Primaries(D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
DISPLAY_P3 = Primaries(D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_SMPTE170 = Primaries(D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))

PRIMARIES: dict[int, Primaries] = {
    1: BT709,
    4: Primaries(_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: Primaries(D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: _SMPTE170,
    7: _SMPTE170,
    8: Primaries(_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: BT2020,
    10: Primaries((1 / 3, 1 / 3), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)),
    11: Primaries((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: DISPLAY_P3,
    22: Primaries(D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
"""H.273, table 2."""

SRGB_CURVE = Transfer("srgb")
BT1886_CURVE = Transfer("power", 2.4)
"""How displays show what cameras encode after BT.709 and its kin."""

TRANSFERS: dict[int, Transfer] = {
    1: BT1886_CURVE,
    4: Transfer("power", 2.2),
    5: Transfer("power", 2.8),
    6: BT1886_CURVE,
    7: Transfer("smpte240"),
    8: Transfer("power", 1.0),
    11: BT1886_CURVE,  # IEC 61966-2-4, which is the same from 0 to 1
    13: SRGB_CURVE,
    14: BT1886_CURVE,
    15: BT1886_CURVE,
    16: Transfer("pq"),
    17: Transfer("smpte428"),
    18: Transfer("hlg"),
}
"""H.273, table 3, without the curves that browsers do not know: 9, 10 (logarithmic) and 12 (BT.1361)."""

SRGB = uniform(BT709, SRGB_CURVE)


def of_cicp(primaries: int, transfer: int, *, peak_nits: float | None = None) -> ColourSpace | None:
    """What a pair of codes means, to the letter of H.273; None when one of them is unspecified or unknown."""
    if primaries not in PRIMARIES or transfer not in TRANSFERS:
        return None
    return uniform(PRIMARIES[primaries], TRANSFERS[transfer], peak_nits=peak_nits)
