"""PURE: which part of the image is shown, and how it is turned and cut."""

from __future__ import annotations

from pellucid.url.codecs import read_angle, read_number_in, write_number_unless, write_word
from pellucid.url.params.param import Param
from pellucid.url.positions import (
    read_flip,
    read_gravity,
    read_point,
    read_radius,
    write_gravity,
    write_point,
    write_radius,
)

_POINT = "two numbers of pixels of the origin from its upper left corner, such as 310,70"

POSITION: tuple[Param, ...] = (
    Param(
        name="tl_px",
        reader=read_point,
        writer=write_point,
        field="geometry.top_left",
        doc="Upper left corner of a rectangle of the origin that is cut out before anything else; alone, it reaches to "
        "the lower right corner of the image.",
        grammar=_POINT,
    ),
    Param(
        name="br_px",
        reader=read_point,
        writer=write_point,
        field="geometry.bottom_right",
        doc="Lower right corner of that rectangle; alone, it begins at the upper left corner of the image.",
        grammar=_POINT,
    ),
    Param(
        name="trim",
        reader=read_number_in(0, 100),
        writer=write_number_unless(0.0),
        field="geometry.trim",
        doc="Cuts off a border of one colour before the image is resized; larger numbers tolerate more difference. "
        "With `bg_remove` the image is cut to the subject.",
        grammar="a number from 0 (off) to 100; 1 to 10 are usual",
        default="0",
    ),
    Param(
        name="flip",
        reader=read_flip,
        writer=write_word(default=None),
        field="geometry.flip",
        doc="Mirrors the image, before it is rotated: `h` exchanges left and right, `v` top and bottom.",
        grammar="one of h, v, hv; also x, y, xy",
    ),
    Param(
        name="r",
        reader=read_angle,
        writer=write_number_unless(0.0),
        field="geometry.rotation",
        doc="Rotates the image counter-clockwise before it is resized; exposed corners take the background.",
        grammar="a number of degrees, which may be negative or have decimals",
        default="0",
    ),
    Param(
        name="gravity",
        reader=read_gravity,
        writer=write_gravity,
        field="geometry.gravity",
        doc="What a crop keeps, and where `func=fit` puts the image: a place; `auto`, the most prominent object (with "
        "`bg_remove` the subject); `smart`, people, else as `auto`; `face`, the one face, else as `auto`; `trim`, by "
        "the sides that `trim` cut; or a focal point, in pixels of the origin, in percent of it (p), in percent of the "
        "resized image (s) or as a fraction of the origin (c).",
        grammar="one of center, centre, north, south, east, west, northeast, northwest, southeast, southwest, auto, "
        "smart, face, trim; or a point such as 500,300, 50p,25.5p, 50s,10s or 0.5c,0.25c",
        default="center",
    ),
    Param(
        name="face_margin",
        reader=read_number_in(0, 1000),
        writer=write_number_unless(60.0),
        field="geometry.face_margin",
        doc="Space around the face of `func=face`, in percent of the face on each side.",
        grammar="a number from 0 to 1000",
        default="60",
    ),
    Param(
        name="radius",
        reader=read_radius,
        writer=write_radius,
        field="geometry.radius",
        doc="Rounds the corners of the image. They are transparent where the format can be, else, and with `bg_color`, "
        "filled.",
        grammar="a number of pixels of the result, or max for as round as possible; or four of them, with commas: top "
        "left, bottom left, bottom right, top right",
        default="0",
    ),
)
