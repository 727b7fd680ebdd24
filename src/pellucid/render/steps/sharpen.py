"""Sharpen the image once it has its size."""

from __future__ import annotations

from pellucid.image.vips import VipsImage
from pellucid.render.job import RenderJob

_SIGMA_PX = 0.8
"""Of the blur: what making an image smaller softens is a pixel wide."""

_STRENGTH_OF_WHOLE = 50.0
"""At this strength what the blur takes away is added once more."""


def sharpen(image: VipsImage, job: RenderJob) -> VipsImage:
    """An unsharp mask over the colours, which is the image and its difference to a blurred copy. An alpha stays as it
    is, and what is transparent has no part in the blur. 5 ms a megapixel, with alpha 25.
    """
    if job.sharpen == 0:
        return image
    amount = job.sharpen / _STRENGTH_OF_WHOLE
    if image.bands == 4:
        blurred = image.premultiply().gaussblur(_SIGMA_PX, precision="float").unpremultiply().extract_band(0, n=3)
    else:
        # In half the time, and off by one level at most.
        blurred = image.gaussblur(_SIGMA_PX, precision="integer")
    colours = image.extract_band(0, n=3)
    # 0.5: a cast cuts off. What leaves 0..255 is brought back to it.
    sharpened = (colours.linear(1 + amount, 0.5) + blurred.linear(-amount, 0)).cast("uchar")
    if image.bands == 4:
        sharpened = sharpened.bandjoin(image.extract_band(3, n=1))
    # Now, not once for each that asks for it: alpha, colours, encoder.
    return sharpened.copy(interpretation="srgb").copy_memory()
