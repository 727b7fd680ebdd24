"""PURE: what lies behind the image."""

from __future__ import annotations

from pellucid.spec import COMPASS
from pellucid.url.codecs import (
    read_background,
    read_flag,
    read_number_in,
    read_word,
    write_background,
    write_flag,
    write_number_unless,
)
from pellucid.url.colours import parse_colour
from pellucid.url.params.param import Param
from pellucid.url.positions import write_gravity

_COLOUR = "3, 4, 6 or 8 hex digits without '#', or a CSS colour name"

BACKGROUND: tuple[Param, ...] = (
    Param(
        name="bg_color",
        aliases=("bg_colour",),
        reader=read_background,
        writer=write_background,
        field="background.colour",
        doc="The colour behind whatever is transparent or not covered: the removed background, padding, the corners of "
        "a rotated or rounded image. `auto` is the most prominent colour of the image.",
        grammar=f"{_COLOUR}; or transparent; or auto",
    ),
    Param(
        name="bg_img_fit",
        reader=read_flag,
        writer=write_flag,
        field="background.image_fit",
        doc="The padding of `func=fit` is a blurred copy of the image.",
        grammar="1 or 0",
        default="0",
    ),
    Param(
        name="bg_blur",
        reader=read_number_in(0, 1000),
        writer=write_number_unless(None),
        field="background.copy.blur",
        doc="How much that copy is blurred: the standard deviation in pixels of the result; by default 4 percent of "
        "the shorter side.",
        grammar="a number from 0 to 1000",
    ),
    Param(
        name="bg_opacity",
        reader=read_number_in(0, 1),
        writer=write_number_unless(1.0),
        field="background.copy.opacity",
        doc="How much of that copy is seen over `bg_color`, or white.",
        grammar="a number from 0 to 1",
        default="1",
    ),
    Param(
        name="bg_colorize",
        aliases=("bg_colourise",),
        reader=parse_colour,
        writer=write_background,
        field="background.copy.tint",
        doc="A colour over that copy: half of it is seen, or as much as the colour's own alpha says.",
        grammar=_COLOUR,
    ),
    Param(
        name="bg_gravity",
        reader=read_word({place.value: place for place in COMPASS} | {"centre": COMPASS[0]}),
        writer=write_gravity,
        field="background.copy.gravity",
        doc="Which part of that copy is seen.",
        grammar="one of center, centre, north, south, east, west, northeast, northwest, southeast, southwest",
        default="center",
    ),
)
