"""PURE: how large the result is, and how the image meets its box."""

from __future__ import annotations

from pellucid.spec import Fit
from pellucid.url.codecs import (
    read_enlarge,
    read_flag,
    read_number,
    read_size,
    read_word,
    write_enlarge,
    write_flag,
    write_number_unless,
    write_size,
    write_word,
)
from pellucid.url.params.param import Param
from pellucid.url.positions import read_aspect_ratio, read_margin, write_aspect_ratio, write_margin

_PIXELS = "a number of pixels above 0 and below 1000000 in plain decimals, such as 400 or 562.5"


def read_dpr(text: str) -> float:
    """A ratio above 0 and up to 5."""
    if not 0 < (ratio := read_number(text)) <= 5:
        raise ValueError("not in 0..5")
    return ratio


SIZE: tuple[Param, ...] = (
    Param(
        name="w",
        aliases=("width",),
        reader=read_size,
        writer=write_size,
        field="geometry.width",
        doc="Width of the result. Alone it keeps the proportions.",
        grammar=_PIXELS,
    ),
    Param(
        name="h",
        aliases=("height",),
        reader=read_size,
        writer=write_size,
        field="geometry.height",
        doc="Height of the result. Alone it keeps the proportions.",
        grammar=_PIXELS,
    ),
    Param(
        name="func",
        reader=read_word({fit.value: fit for fit in Fit}),
        writer=write_word(default=Fit.CROP),
        field="geometry.fit",
        doc="How the image meets the `w` by `h` box. `crop` fills it and cuts what is over; `fit` lies inside, padded "
        "to exactly the box, and is not enlarged unless `fit_enlarge` says so; `cropfit` is `crop` where the box is no "
        "larger than the image, else `fit`; `bound` is the largest image inside the box, `boundmin` the smallest that "
        "covers it; `cover` is exactly the box, proportions are not kept; `face` is `crop` to the one face of the "
        "image; `proxy` sends the file of a picture as it is, and nothing else of the URL counts.",
        grammar="one of crop, fit, cropfit, bound, boundmin, cover, face, proxy",
        default="crop",
    ),
    Param(
        name="org_if_sml",
        reader=read_enlarge,
        writer=write_enlarge,
        field="geometry.enlarge",
        doc="Never enlarge: an image smaller than the box stays as large as it is, uncropped.",
        grammar="an integer; 0 is off, any other is on",
        default="0",
    ),
    Param(
        name="aspect_ratio",
        reader=read_aspect_ratio,
        writer=write_aspect_ratio,
        field="geometry.aspect_ratio",
        doc="Width to height of the result: the side that is not named follows from it; without sides the image is "
        "cropped, not scaled (`func=fit`: padded). Of a range the image's own counts if it is inside, else the nearer "
        "end. Without effect where both `w` and `h` are named.",
        grammar="a ratio such as 16:9 or 1.778, from 1:1000 to 1000:1; or a range of two, such as 4:3,16:9",
    ),
    Param(
        name="dpr",
        reader=read_dpr,
        writer=write_number_unless(1.0),
        field="geometry.dpr",
        doc="Device pixel ratio: sizes, margins and radii are multiplied by it.",
        grammar="a number above 0 and up to 5",
        default="1",
        extension=True,
    ),
    Param(
        name="fit_enlarge",
        reader=read_flag,
        writer=write_flag,
        field="geometry.fit_enlarge",
        doc="`func=fit` enlarges small images.",
        grammar="1 or 0",
        default="0",
    ),
    Param(
        name="margin",
        reader=read_margin,
        writer=write_margin,
        field="geometry.margin",
        doc="The least space around the image on the canvas of `func=fit`.",
        grammar="one to four lengths as in CSS (all; top and bottom, sides; top, sides, bottom; top, right, bottom, "
        "left), each a number of pixels, or of percent of that side with p: 20 or 10p,5p; 0 to 50p",
    ),
)
