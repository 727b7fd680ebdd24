"""Which format an answer is written in."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import SpecError
from pellucid.formats import FORMATS, WRITABLE, ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.render.output import choose_output, is_negotiable
from pellucid.render.plan import plan
from pellucid.spec import (
    TRANSPARENT,
    Background,
    Colour,
    OriginRef,
    Output,
    OutputFormat,
    Removal,
    Spec,
)

WEBP_TOO = frozenset({ImageFormat.WEBP, ImageFormat.JPEG})
NOTHING: frozenset[ImageFormat] = frozenset()
J, P, W = ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP
SOLID = Colour(red=0x44, green=0x55, blue=0x66)
GLASS = Colour(red=1, green=2, blue=3, alpha=128)


class Choice(NamedTuple):
    format: ImageFormat
    negotiable: bool


def _output(
    origin: ImageFormat,
    *,
    size: tuple[int, int] = (10, 10),
    alpha: bool = False,
    cutout: bool = False,
    cut: bool = False,
    background: Colour | None = None,
    wish: OutputFormat = OutputFormat.AUTO,
    accepted: frozenset[ImageFormat] = NOTHING,
    memory_bytes: int = 1 << 30,
) -> Choice:
    spec = Spec(
        origin=OriginRef(host="h.example", path="/a"),
        removal=Removal(remove=cutout),
        background=Background(colour=background),
        output=Output(format=wish),
    )
    width, height = size
    facts = ImageFacts(format=origin, width=width, height=height, has_alpha=alpha)
    target = plan(spec.geometry, width=width, height=height, max_pixels=10**10)
    chosen = choose_output(spec, facts, target, cut=cut, accepted=accepted, memory_bytes=memory_bytes)
    return Choice(format=chosen, negotiable=is_negotiable(spec, facts))


def _choose(
    origin: ImageFormat,
    *,
    alpha: bool = False,
    cutout: bool = False,
    cut: bool = False,
    background: Colour | None = None,
    wish: OutputFormat = OutputFormat.AUTO,
    accepted: frozenset[ImageFormat] = NOTHING,
) -> tuple[ImageFormat, bool]:
    choice = _output(origin, alpha=alpha, cutout=cutout, cut=cut, background=background, wish=wish, accepted=accepted)
    return choice.format, choice.negotiable


@pytest.mark.parametrize("accepted", [NOTHING, WEBP_TOO])
def test_opaque_results_keep_the_family(accepted: frozenset[ImageFormat]) -> None:
    assert _choose(J, accepted=accepted) == (J, False)
    assert _choose(P, accepted=accepted) == (P, False)
    assert _choose(W, accepted=accepted) == (W, False)
    assert _choose(J, cutout=True, cut=True, background=SOLID, accepted=accepted) == (J, False)
    assert _choose(ImageFormat.TIFF, accepted=accepted) == (J, False)
    assert _choose(ImageFormat.GIF, alpha=True, accepted=accepted) == (P, False)


def test_a_transparent_jpeg_becomes_webp_where_named_and_png_elsewhere() -> None:
    assert _choose(J, cutout=True, cut=True, accepted=WEBP_TOO) == (W, True)
    assert _choose(J, cutout=True, cut=True) == (P, True)
    assert _choose(J, cutout=True, cut=True, background=TRANSPARENT) == (P, True)
    assert _choose(J, cutout=True, cut=True, background=GLASS, accepted=WEBP_TOO) == (W, True)
    assert _choose(ImageFormat.TIFF, alpha=True, accepted=WEBP_TOO) == (W, True)


@pytest.mark.parametrize("accepted", [NOTHING, WEBP_TOO])
def test_its_interim_stays_jpeg_and_varies_all_the_same(accepted: frozenset[ImageFormat]) -> None:
    assert _choose(J, cutout=True, cut=False, accepted=accepted) == (J, True)


def test_families_with_alpha_need_no_negotiation() -> None:
    assert _choose(P, cutout=True, cut=True, accepted=WEBP_TOO) == (P, False)
    assert _choose(W, cutout=True, cut=True) == (W, False)


@pytest.mark.parametrize("accepted", [NOTHING, WEBP_TOO])
def test_a_forced_format_is_the_format(accepted: frozenset[ImageFormat]) -> None:
    for wish, expected in ((OutputFormat.JPEG, J), (OutputFormat.PNG, P), (OutputFormat.WEBP, W)):
        assert _choose(J, cutout=True, cut=True, wish=wish, accepted=accepted) == (expected, False)
    assert _choose(J, cutout=True, cut=True, wish=OutputFormat.ORIGINAL, accepted=accepted) == (J, False)


SERVERS_OWN = (OutputFormat.AUTO, OutputFormat.ORIGINAL)
LONG = st.integers(16_384, 200_000)
SIZES = st.one_of(
    st.tuples(LONG, st.integers(1, 600)),
    st.tuples(st.integers(1, 600), LONG),
    st.tuples(*[st.integers(5000, 16_383)] * 2),
)


@given(
    origin=st.sampled_from(ImageFormat),
    size=SIZES,
    alpha=st.booleans(),
    background=st.sampled_from([None, TRANSPARENT, GLASS, SOLID]),
    wish=st.sampled_from(SERVERS_OWN),
    memory_bytes=st.sampled_from([256 << 20, 1 << 30]),
)
def test_what_the_server_chooses_holds_the_picture_in_every_state(
    origin: ImageFormat,
    size: tuple[int, int],
    alpha: bool,
    background: Colour | None,
    wish: OutputFormat,
    memory_bytes: int,
) -> None:
    negotiable: set[bool] = set()
    for cut, accepted in itertools.product((False, True), (NOTHING, WEBP_TOO)):
        choice = _output(
            origin,
            size=size,
            alpha=alpha,
            cutout=True,
            cut=cut,
            background=background,
            wish=wish,
            accepted=accepted,
            memory_bytes=memory_bytes,
        )
        transparent = (cut or alpha) and background is not SOLID
        assert choice.format in WRITABLE
        assert FORMATS[choice.format].holds(*size, transparent=transparent, memory_bytes=memory_bytes)
        if transparent and wish is OutputFormat.AUTO:
            assert FORMATS[choice.format].alpha
        negotiable.add(choice.negotiable)
    assert len(negotiable) == 1, "the same in every state and for everybody"


@pytest.mark.parametrize("size", [(16_384, 20), (20, 16_384), (65_500, 2)])
def test_what_is_too_long_for_webp_is_written_otherwise(size: tuple[int, int]) -> None:
    assert _output(ImageFormat.AVIF, size=size).format is J
    assert _output(W, size=size).format is J
    assert _output(W, size=size, alpha=True).format is P
    assert _output(W, size=size, alpha=True, background=SOLID).format is J
    assert _output(W, size=size, alpha=True, wish=OutputFormat.ORIGINAL).format is P
    for accepted in (NOTHING, WEBP_TOO):
        assert _output(J, size=size, cutout=True, cut=True, accepted=accepted) == Choice(format=P, negotiable=True)
        assert _output(J, size=size, cutout=True, cut=False, accepted=accepted).format is J


@pytest.mark.parametrize("size", [(65_501, 2), (2, 65_501), (1_000_000, 1)])
@pytest.mark.parametrize("origin", [J, ImageFormat.TIFF, ImageFormat.JP2, ImageFormat.HEIC])
def test_what_is_too_long_for_jpeg_is_written_as_png(origin: ImageFormat, size: tuple[int, int]) -> None:
    assert _output(origin, size=size).format is P
    assert _output(origin, size=size, wish=OutputFormat.ORIGINAL).format is P


def test_a_size_that_fits_keeps_its_format() -> None:
    assert _output(W, size=(16_383, 16_383)).format is W
    assert _output(J, size=(65_500, 65_500)).format is J
    assert _output(J, size=(5000, 5000), cutout=True, cut=True, accepted=WEBP_TOO).format is W


def test_a_cutout_that_webp_has_no_memory_for_is_png() -> None:
    """An opaque one takes a third of that."""
    large = (7000, 7000)
    assert _output(J, size=large, cutout=True, cut=True, accepted=WEBP_TOO).format is P
    assert _output(W, size=large, cutout=True, cut=True).format is P
    assert _output(W, size=large).format is W
    assert _output(J, size=large, cutout=True, cut=True, accepted=WEBP_TOO, memory_bytes=4 << 30).format is W
    assert _output(J, size=(2000, 2000), cutout=True, cut=True, accepted=WEBP_TOO, memory_bytes=256 << 20).format is P


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("accepted", [NOTHING, WEBP_TOO])
@pytest.mark.parametrize(
    ("wish", "size", "says"),
    [
        (OutputFormat.WEBP, (17_000, 6), "17000 x 6 pixels, WEBP holds 16383 a side"),
        (OutputFormat.WEBP, (7000, 7000), "WEBP holds 33554432 with transparency here"),
        (OutputFormat.JPEG, (6, 65_501), "JPEG holds 65500 a side"),
    ],
)
def test_a_forced_format_is_refused_in_every_state_alike(
    wish: OutputFormat, size: tuple[int, int], says: str, accepted: frozenset[ImageFormat], cut: bool
) -> None:
    """A URL that is 200 while its matte is owed, and 400 from then on, would lose its picture."""
    with pytest.raises(SpecError, match=says):
        _output(J, size=size, cutout=True, cut=cut, wish=wish, accepted=accepted)


def test_a_forced_webp_without_transparency_may_be_large() -> None:
    choice = _output(J, size=(7000, 7000), cutout=True, background=SOLID, wish=OutputFormat.WEBP)
    assert choice == Choice(format=W, negotiable=False)
