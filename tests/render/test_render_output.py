"""Which format an answer is written in."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import SpecError
from pellucid.formats import FORMATS, NEGOTIATED, WRITABLE, ImageFormat
from pellucid.image.effort import effort_for
from pellucid.image.facts import ImageFacts
from pellucid.render.output import NOTHING, Choice, choose_output, is_negotiable
from pellucid.render.plan import plan
from pellucid.spec import (
    TRANSPARENT,
    Background,
    Colour,
    Geometry,
    OriginRef,
    Output,
    OutputFormat,
    Radius,
    Removal,
    Spec,
)

WEBP_TOO = frozenset({ImageFormat.WEBP})
BOTH = NEGOTIATED
AVIF_ALONE = frozenset({ImageFormat.AVIF})
ACCEPTS = (NOTHING, WEBP_TOO, AVIF_ALONE, BOTH)
A, G, J, P, W = ImageFormat.AVIF, ImageFormat.GIF, ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP
SOLID = Colour(red=0x44, green=0x55, blue=0x66)
GLASS = Colour(red=1, green=2, blue=3, alpha=128)
ORIGINAL = (OutputFormat.ORIGINAL,)
ROUND = Radius(3, 3, 3, 3)


class Chosen(NamedTuple):
    format: ImageFormat
    negotiable: bool


class Asked(NamedTuple):
    """A spec, and what is known of its origin."""

    origin: ImageFormat
    size: tuple[int, int] = (10, 10)
    alpha: bool = False
    cutout: bool = False
    background: Colour | None = None
    wish: tuple[OutputFormat, ...] = ()
    radius: Radius | None = None

    @property
    def spec(self) -> Spec:
        return Spec(
            origin=OriginRef(host="h.example", path="/a"),
            removal=Removal(remove=self.cutout),
            geometry=Geometry(radius=self.radius),
            background=Background(colour=self.background),
            output=Output(formats=self.wish),
        )

    @property
    def facts(self) -> ImageFacts:
        width, height = self.size
        return ImageFacts(format=self.origin, width=width, height=height, has_alpha=self.alpha)

    def choose(
        self,
        accepted: frozenset[ImageFormat] = NOTHING,
        *,
        cut: bool = False,
        negotiate: frozenset[ImageFormat] = NEGOTIATED,
        memory_bytes: int = 1 << 30,
    ) -> Choice:
        width, height = self.size
        target = plan(self.spec.geometry, width=width, height=height, max_pixels=10**10)
        return choose_output(
            self.spec,
            self.facts,
            target,
            cut=cut,
            accepted=accepted,
            negotiate=negotiate,
            memory_bytes=memory_bytes,
        )

    def negotiable(self, negotiate: frozenset[ImageFormat] = NEGOTIATED) -> bool:
        return is_negotiable(self.spec, self.facts, negotiate=negotiate)


def _table(asked: Asked, *, cut: bool = False, negotiate: frozenset[ImageFormat] = NEGOTIATED) -> list[ImageFormat]:
    """What is sent to those who name nothing, WebP, AVIF and both."""
    return [asked.choose(each, cut=cut, negotiate=negotiate).format for each in ACCEPTS]


@pytest.mark.parametrize(
    ("origin", "negotiate", "formats"),
    [
        (J, BOTH, [J, W, A, A]),
        (J, WEBP_TOO, [J, W, J, W]),
        (J, AVIF_ALONE, [J, J, A, A]),
        (J, NOTHING, [J, J, J, J]),
        (ImageFormat.TIFF, BOTH, [J, W, A, A]),
        (ImageFormat.HEIC, BOTH, [J, W, A, A]),
        (P, BOTH, [P, W, P, W]),
        (G, BOTH, [P, W, P, W]),
        (ImageFormat.SVG, BOTH, [P, W, P, W]),
        (W, BOTH, [W, W, A, A]),
        (A, BOTH, [W, W, A, A]),
        (A, NOTHING, [W, W, W, W]),
    ],
)
def test_opaque_results(origin: ImageFormat, negotiate: frozenset[ImageFormat], formats: list[ImageFormat]) -> None:
    """With a cutout on a colour as without; in its interims the family is kept, and the answer varies all the same."""
    varies = len(set(formats)) > 1
    asked = Asked(origin)
    assert _table(asked, negotiate=negotiate) == formats
    assert asked.negotiable(negotiate) is varies
    cutout = Asked(origin, cutout=True, background=SOLID)
    assert _table(cutout, cut=True, negotiate=negotiate) == formats
    assert _table(cutout, cut=False, negotiate=negotiate) == [FORMATS[origin].written_as] * 4
    assert cutout.negotiable(negotiate) is varies


@pytest.mark.parametrize(
    ("megapixels", "formats"),
    [(0.01, [J, W, A, A]), (3.9, [J, W, A, A]), (4.2, [J, W, J, W]), (9.0, [J, W, J, W]), (9.5, [J, J, J, J])],
)
def test_what_takes_too_long_to_encode_is_sent_in_another_format(megapixels: float, formats: list[ImageFormat]) -> None:
    asked = Asked(J, size=(round(megapixels * 1000), 1000))
    assert _table(asked) == formats
    assert asked.negotiable()


@pytest.mark.parametrize("negotiate", [NOTHING, BOTH])
def test_transparent_results(negotiate: frozenset[ImageFormat]) -> None:
    """WebP where named, PNG elsewhere; families with alpha need no negotiation."""
    for asked in (
        Asked(J, cutout=True),
        Asked(J, cutout=True, background=TRANSPARENT),
        Asked(J, cutout=True, background=GLASS),
        Asked(ImageFormat.TIFF, alpha=True),
    ):
        assert _table(asked, cut=asked.cutout, negotiate=negotiate) == [P, W, P, W]
        assert asked.negotiable(negotiate)
    assert _table(Asked(J, cutout=True), negotiate=negotiate) == [J, J, J, J], "its interim"
    for family in (P, W):
        asked = Asked(family, cutout=True, alpha=True)
        assert _table(asked, cut=True, negotiate=negotiate) == [family] * 4
        assert not asked.negotiable(negotiate)


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (OutputFormat.JPEG, Choice(format=J, opaque=True)),
        (OutputFormat.PNG, Choice(format=P)),
        (OutputFormat.WEBP, Choice(format=W, or_jpeg=True)),
        (OutputFormat.STRICT_WEBP, Choice(format=W)),
        (OutputFormat.AVIF, Choice(format=A)),
        (OutputFormat.GIF, Choice(format=G)),
        (OutputFormat.ORIGINAL, Choice(format=J, opaque=True)),
    ],
)
def test_a_single_format_is_forced(wish: OutputFormat, expected: Choice) -> None:
    for accepted, cut in itertools.product(ACCEPTS, (False, True)):
        asked = Asked(J, cutout=True, wish=(wish,))
        assert asked.choose(accepted, cut=cut) == expected
        assert not asked.negotiable()


_S = OutputFormat


@pytest.mark.parametrize(
    ("wish", "formats"),
    [
        ((_S.WEBP, _S.JPEG), [J, W, J, W]),
        ((_S.AVIF, _S.WEBP, _S.PNG), [P, W, A, A]),
        ((_S.WEBP, _S.AVIF, _S.JPEG), [J, W, A, W]),
        ((_S.STRICT_WEBP, _S.GIF), [G, W, G, W]),
        ((_S.WEBP, _S.ORIGINAL), [J, W, J, W]),
        ((_S.AVIF, _S.WEBP), [J, W, A, A]),
        ((_S.JPEG, _S.WEBP), [J, J, J, J]),
        ((_S.PNG, _S.AVIF, _S.WEBP), [P, P, P, P]),
    ],
)
@pytest.mark.parametrize("negotiate", [NOTHING, BOTH])
def test_the_first_of_a_list_that_is_accepted(
    wish: tuple[OutputFormat, ...], formats: list[ImageFormat], negotiate: frozenset[ImageFormat]
) -> None:
    asked = Asked(J, wish=wish)
    assert _table(asked, negotiate=negotiate) == formats
    assert asked.negotiable(negotiate) is (len(set(formats)) > 1)
    cutout = asked._replace(cutout=True)
    for cut in (False, True):
        transparent = [P if cut and each is J and wish == (_S.AVIF, _S.WEBP) else each for each in formats]
        assert _table(cutout, cut=cut, negotiate=negotiate) == transparent
    assert cutout.negotiable(negotiate) is asked.negotiable(negotiate)


def test_of_a_list_what_cannot_hold_the_picture_is_passed_over() -> None:
    asked = Asked(J, size=(17_000, 20), wish=(_S.AVIF, _S.WEBP, _S.JPEG))
    assert _table(asked) == [J, J, J, J]
    assert _table(asked._replace(size=(66_000, 9))) == [P, P, P, P]
    assert asked.negotiable(), "a smaller one of the same origin differs"


def test_padding_looks_the_same_for_everybody() -> None:
    """White for a family without alpha, unless a format with alpha is forced; transparent for others."""
    for accepted in ACCEPTS:
        assert Asked(J, radius=ROUND).choose(accepted).opaque
        assert Asked(ImageFormat.TIFF, radius=ROUND, background=GLASS).choose(accepted).opaque
        assert not Asked(P, radius=ROUND).choose(accepted).opaque
        assert not Asked(W, radius=ROUND).choose(accepted).opaque
        assert not Asked(J, radius=ROUND, cutout=True).choose(accepted, cut=True).opaque
        assert not Asked(J, radius=ROUND, wish=(OutputFormat.WEBP,)).choose(accepted).opaque


LONG = st.integers(16_384, 200_000)
SIZES = st.one_of(
    st.tuples(LONG, st.integers(1, 600)),
    st.tuples(st.integers(1, 600), LONG),
    st.tuples(*[st.integers(5000, 16_383)] * 2),
    st.tuples(*[st.integers(1, 4000)] * 2),
)
ANY = st.builds(
    Asked,
    origin=st.sampled_from(ImageFormat),
    size=SIZES,
    alpha=st.booleans(),
    cutout=st.booleans(),
    background=st.sampled_from([None, TRANSPARENT, GLASS, SOLID]),
    wish=st.just(())
    | st.just(ORIGINAL)
    | st.lists(st.sampled_from(OutputFormat), min_size=2, max_size=4, unique=True).map(tuple),
    radius=st.none() | st.just(ROUND),
)
SETTINGS = st.sampled_from(ACCEPTS)


@given(asked=ANY, negotiate=SETTINGS, memory_bytes=st.sampled_from([256 << 20, 1 << 30]))
def test_what_the_server_chooses_holds_the_picture_in_every_state(
    asked: Asked, negotiate: frozenset[ImageFormat], memory_bytes: int
) -> None:
    for cut, accepted in itertools.product({False, asked.cutout}, ACCEPTS):
        choice = asked.choose(accepted, cut=cut, negotiate=negotiate, memory_bytes=memory_bytes)
        keeps_alpha = asked.background is not SOLID
        transparent = keeps_alpha and (cut or asked.alpha)
        holes = not choice.opaque and keeps_alpha and (transparent or asked.radius is not None)
        assert choice.format in WRITABLE
        assert FORMATS[choice.format].holds(*asked.size, transparent=holes, memory_bytes=memory_bytes)
        if transparent and not asked.wish:
            assert not choice.opaque
            assert FORMATS[choice.format].alpha
            assert choice.format is not A
        if choice.format is A and not asked.wish:
            pixels = asked.size[0] * asked.size[1]
            assert effort_for(A, pixels=pixels, transparent=holes) is not None


@given(asked=ANY, negotiate=SETTINGS)
def test_it_varies_exactly_where_two_clients_can_get_different_formats(
    asked: Asked, negotiate: frozenset[ImageFormat]
) -> None:
    """At some size that the URL could have, in some state that it can be in."""
    small = asked._replace(size=(40, 30))
    differs = any(
        len({small.choose(accepted, cut=cut, negotiate=negotiate) for accepted in ACCEPTS}) > 1
        for cut in {False, asked.cutout}
    )
    assert asked.negotiable(negotiate) is small.negotiable(negotiate) is differs


@pytest.mark.parametrize("size", [(16_384, 20), (20, 16_384), (65_500, 2)])
def test_what_is_too_long_for_webp_is_written_otherwise(size: tuple[int, int]) -> None:
    for accepted in (NOTHING, WEBP_TOO):
        assert Asked(A, size=size).choose(accepted).format is J
        assert Asked(W, size=size).choose(accepted).format is J
        assert Asked(W, size=size, alpha=True).choose(accepted).format is P
        assert Asked(W, size=size, alpha=True, background=SOLID).choose(accepted).format is J
        assert Asked(W, size=size, alpha=True, wish=ORIGINAL).choose(accepted).format is P
        cutout = Asked(J, size=size, cutout=True)
        assert cutout.choose(accepted, cut=True).format is P
        assert cutout.choose(accepted, cut=False).format is J
        assert cutout.negotiable()


@pytest.mark.parametrize("size", [(65_501, 2), (2, 65_501), (1_000_000, 1)])
@pytest.mark.parametrize("origin", [J, ImageFormat.TIFF, ImageFormat.JP2, ImageFormat.HEIC])
@pytest.mark.parametrize("wish", [(), ORIGINAL])
def test_what_is_too_long_for_jpeg_is_written_as_png(
    origin: ImageFormat, size: tuple[int, int], wish: tuple[OutputFormat, ...]
) -> None:
    for accepted in ACCEPTS:
        assert Asked(origin, size=size, wish=wish).choose(accepted) == Choice(format=P, opaque=True)


def test_a_size_that_fits_keeps_its_format() -> None:
    assert Asked(W, size=(16_383, 16_383)).choose().format is W
    assert Asked(J, size=(65_500, 65_500)).choose().format is J
    assert Asked(J, size=(5000, 5000), cutout=True).choose(WEBP_TOO, cut=True).format is W


def test_a_cutout_that_webp_has_no_memory_for_is_png() -> None:
    """An opaque one takes a third of that."""
    large = (7000, 7000)
    cutout = Asked(J, size=large, cutout=True)
    assert cutout.choose(WEBP_TOO, cut=True).format is P
    assert Asked(W, size=large, cutout=True).choose(cut=True).format is P
    assert Asked(W, size=large).choose().format is W
    assert cutout.choose(WEBP_TOO, cut=True, memory_bytes=4 << 30).format is W
    assert cutout._replace(size=(2000, 2000)).choose(WEBP_TOO, cut=True, memory_bytes=256 << 20).format is P


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("accepted", ACCEPTS)
@pytest.mark.parametrize(
    ("wish", "size", "says"),
    [
        (OutputFormat.WEBP, (17_000, 6), "17000 x 6 pixels, WEBP holds 16383 a side"),
        (OutputFormat.WEBP, (7000, 7000), "WEBP holds 33554432 with transparency here"),
        (OutputFormat.AVIF, (6, 16_385), "AVIF holds 16384 a side"),
        (OutputFormat.AVIF, (5000, 5000), "AVIF holds 24233756 with transparency here"),
        (OutputFormat.GIF, (65_536, 3), "GIF holds 65535 a side"),
        (OutputFormat.JPEG, (6, 65_501), "JPEG holds 65500 a side"),
    ],
)
def test_a_forced_format_is_refused_in_every_state_alike(
    wish: OutputFormat, size: tuple[int, int], says: str, accepted: frozenset[ImageFormat], cut: bool
) -> None:
    """A URL that is 200 while its matte is owed, and 400 from then on, would lose its picture."""
    with pytest.raises(SpecError, match=says):
        Asked(J, size=size, cutout=True, wish=(wish,)).choose(accepted, cut=cut)


def test_a_forced_format_without_transparency_may_be_large() -> None:
    asked = Asked(J, size=(7000, 7000), cutout=True, background=SOLID, wish=(OutputFormat.WEBP,))
    assert asked.choose() == Choice(format=W, or_jpeg=True)
    assert not asked.negotiable()
    opaque = Asked(J, size=(6000, 6000), wish=(OutputFormat.AVIF,))
    assert opaque.choose().format is A
    with pytest.raises(SpecError, match="AVIF holds 41543582 here"):
        opaque._replace(size=(7000, 7000)).choose()
