"""From a colour space to sRGB, as tables and matrices. Pure: the numbers, without pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from pellucid.image.colour.space import BT709, BT2020, SRGB_CURVE, ColourSpace
from pellucid.image.colour.tone import ToneMapping, mapping_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

_LEVELS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """How samples of some colour space become linear sRGB. White = 1."""

    light: NDArray[np.float32]
    """(65536, n): light for a 16-bit sample. n is 1 where all channels have the same curve, else 3."""

    to_mixing: Values | None
    """(3, 3): into the primaries in which `tones` mixes; None without them."""

    tones: ToneMapping | None

    to_srgb: Values
    """(3, 3): from there, or from the picture's own primaries."""


@lru_cache(maxsize=8)  # 0.3 to 0.8 MB each
def transform_for(space: ColourSpace) -> Transform:
    """Raises `ValueError` when the primaries describe no colour space."""
    transfers = space.transfers[:1] if len(set(space.transfers)) == 1 else space.transfers
    samples = np.linspace(0, 1, _LEVELS)
    from_d50 = np.linalg.inv(BT709.to_d50())
    to_d50 = space.primaries.to_d50()
    return Transform(
        light=np.stack([each.to_linear(samples) for each in transfers], axis=1).astype(np.float32),
        to_mixing=np.linalg.inv(BT2020.to_d50()) @ to_d50 if space.is_hdr else None,
        tones=mapping_for(space) if space.is_hdr else None,
        to_srgb=from_d50 @ (BT2020.to_d50() if space.is_hdr else to_d50),
    )


@lru_cache(maxsize=1)
def srgb_levels() -> NDArray[np.uint8]:
    """(65536,): the 8-bit sRGB level for linear light of 0 to 65535 = white."""
    # The boundaries between levels, by the curve in its own direction: it need not be written down twice.
    edges = SRGB_CURVE.to_linear((np.arange(255) + 0.5) / 255)
    return np.searchsorted(edges, np.linspace(0, 1, _LEVELS)).astype(np.uint8)
