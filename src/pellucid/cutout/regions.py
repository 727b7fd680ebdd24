"""Connected regions of a mask, and which of them are enclosed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pellucid.image import vips

_Value = TypeVar("_Value", bound=np.generic)

Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Regions:
    """`labels_hw`: a number from 0 for the region of each pixel, inside and outside of the mask alike. `sizes`: how
    many pixels each region has.
    """

    labels_hw: Numbers
    sizes: Numbers

    def within(self, mask: npt.NDArray[np.bool_]) -> Numbers:
        """The regions that pixels of `mask` belong to, sorted."""
        return np.unique(self.labels_hw[mask])

    def enclosed_within(self, mask: npt.NDArray[np.bool_]) -> Numbers:
        """Those of them that do not reach the picture's border, sorted."""
        return np.setdiff1d(self.within(mask), along_border(self.labels_hw))

    def cover(self, regions: Numbers) -> npt.NDArray[np.bool_]:
        """The pixels (H x W) of `regions`."""
        return np.isin(self.labels_hw, regions)


def along_border(plane_hw: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
    """The values of a plane (H x W) at the picture's border; corners twice."""
    return np.concatenate((plane_hw[0], plane_hw[-1], plane_hw[:, 0], plane_hw[:, -1]))


def find_regions(mask: npt.NDArray[np.bool_]) -> Regions:
    """The connected regions of `mask` (H x W) and of the rest."""
    labels = vips.label_regions(mask.astype(np.uint8))
    return Regions(labels, np.bincount(labels.ravel()))
