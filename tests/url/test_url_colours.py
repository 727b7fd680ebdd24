"""Colours: CSS names, hex, transparency."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from PIL import ImageColor
from url_strategies import colours

from pellucid.spec import TRANSPARENT, WHITE, Colour
from pellucid.url.colours import CSS_COLOURS, format_colour, parse_colour


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("456", Colour(red=0x44, green=0x55, blue=0x66)),
        ("4568", Colour(red=0x44, green=0x55, blue=0x66, alpha=0x88)),
        ("F2f7Fa", Colour(red=0xF2, green=0xF7, blue=0xFA)),
        ("#f2f7fa", Colour(red=0xF2, green=0xF7, blue=0xFA)),
        ("f2f7fa80", Colour(red=0xF2, green=0xF7, blue=0xFA, alpha=0x80)),
        ("ffff", WHITE),
        ("White", WHITE),
        ("transparent", TRANSPARENT),
        ("TRANSPARENT", TRANSPARENT),
        ("0000", TRANSPARENT),
        ("RebeccaPurple", Colour(red=0x66, green=0x33, blue=0x99)),
        ("darkslategrey", Colour(red=47, green=79, blue=79)),
    ],
)
def test_spellings(text: str, colour: Colour) -> None:
    assert parse_colour(text) == colour


@pytest.mark.parametrize(
    "text", ["", "#", "12", "12345", "1234567", "123456789", "##fff", "ggg", "#red", "fff\n", "１２３"]
)
def test_what_is_no_colour(text: str) -> None:
    with pytest.raises(ValueError, match="neither hex digits nor a CSS colour name"):
        parse_colour(text)


def test_all_css_names_have_the_values_that_pillow_knows() -> None:
    assert len(CSS_COLOURS) == 148
    assert CSS_COLOURS.keys() == ImageColor.colormap.keys()
    assert all(parse_colour(name).rgb == ImageColor.getrgb(name) for name in CSS_COLOURS)


@pytest.mark.parametrize(
    ("colour", "text"),
    [
        (WHITE, "ffffff"),
        (TRANSPARENT, "transparent"),
        (Colour(red=255, green=0, blue=0, alpha=0), "ff000000"),
        (Colour(red=0, green=0, blue=0, alpha=1), "00000001"),
    ],
)
def test_the_canonical_spelling_of_a_colour(colour: Colour, text: str) -> None:
    assert format_colour(colour) == text


@settings(deadline=None)
@given(colours)
def test_a_colour_reads_back(colour: Colour) -> None:
    assert parse_colour(format_colour(colour)) == colour
