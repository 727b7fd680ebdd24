"""PURE: what is done to the pixels of the image."""

from __future__ import annotations

from pellucid.url.codecs import read_number, write_number_unless
from pellucid.url.params.param import Param

_USUAL_SHARPENING = 30.0


def read_sharpening(text: str) -> float:
    """0, a flag of 1, or a strength from 2 to 100."""
    strength = read_number(text)
    if strength == 1:
        return _USUAL_SHARPENING
    if strength != 0 and not 2 <= strength <= 100:
        raise ValueError("not 0, 1 or 2..100")
    return strength


EFFECTS: tuple[Param, ...] = (
    Param(
        name="sharp",
        reader=read_sharpening,
        writer=write_number_unless(0.0),
        field="effects.sharpen",
        doc=f"Sharpens the image once it has its size; 1 is the usual strength, {_USUAL_SHARPENING:g}.",
        grammar="0, 1 or a number from 2 to 100",
        default="0",
    ),
)
