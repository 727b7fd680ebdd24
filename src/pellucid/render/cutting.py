"""From a picture and its matte to the subject alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.compose import compose, with_alpha
from pellucid.render.foreground import unmix
from pellucid.spec import WHITE

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cut_out(photo: NDArray[np.uint8], matte_hw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The subject in its own colours: (height, width, 4) uint8 sRGB, straight alpha.

    `photo` is (height, width, 3 or 4) uint8 sRGB, straight alpha; `matte_hw` (height, width) uint8. The photo's own
    alpha is multiplied in.
    """
    if photo.shape[2] == 3:
        cutout = with_alpha(photo, matte_hw)
        unmix(cutout)
        return cutout
    # The model saw the picture over white, so that is what the matte's edges mix with. A pixel that was translucent
    # from the start already says its own colour.
    own_alpha = photo[..., 3]
    cutout = with_alpha(compose(photo[..., :3], own_alpha, WHITE), matte_hw)
    unmix(cutout)
    translucent = (own_alpha < 255) & (matte_hw > 0)
    cutout[..., :3][translucent] = photo[..., :3][translucent]
    cutout[..., 3] = matte_hw * (own_alpha / np.float32(255)) + np.float32(0.5)
    cutout[cutout[..., 3] == 0] = 0
    return cutout
