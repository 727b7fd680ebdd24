"""From a picture and its matte to the subject alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.compose import compose, with_alpha
from pellucid.render.foreground import estimate_foreground
from pellucid.spec import WHITE

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cut_out(photo: NDArray[np.uint8], matte_hw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The subject in its own colours: (height, width, 4) uint8 sRGB, straight alpha.

    `photo` is (height, width, 3 or 4) uint8 sRGB, straight alpha; `matte_hw` (height, width) uint8. The photo's own
    alpha is multiplied in.
    """
    if photo.shape[2] == 3:
        return with_alpha(estimate_foreground(photo, matte_hw), matte_hw)
    # The model saw the picture over white, so that is what the matte's edges mix with. A pixel that was translucent
    # from the start already says its own colour.
    own_alpha = photo[..., 3]
    foreground = estimate_foreground(compose(photo[..., :3], own_alpha, WHITE), matte_hw)
    translucent = (own_alpha < 255) & (matte_hw > 0)
    foreground[translucent] = photo[..., :3][translucent]
    both = (matte_hw * (own_alpha / np.float32(255)) + np.float32(0.5)).astype(np.uint8)
    foreground[both == 0] = 0
    return with_alpha(foreground, both)
