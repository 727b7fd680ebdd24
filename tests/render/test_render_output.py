"""Which format an answer is written in."""

from __future__ import annotations

import pytest

from pellucid.formats import ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.render.output import choose_output
from pellucid.spec import TRANSPARENT, Colour, OriginRef, OutputFormat, OutputSpec, RenderSpec, Spec

WEBP_TOO = frozenset({ImageFormat.WEBP, ImageFormat.JPEG})
NOTHING: frozenset[ImageFormat] = frozenset()
J, P, W = ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP
SOLID = Colour(red=0x44, green=0x55, blue=0x66)
GLASS = Colour(red=1, green=2, blue=3, alpha=128)


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
    spec = Spec(
        origin=OriginRef(host="h.example", path="/a"),
        cutout=cutout,
        render=RenderSpec(background=background),
        output=OutputSpec(format=wish),
    )
    facts = ImageFacts(format=origin, width=10, height=10, has_alpha=alpha)
    choice = choose_output(spec, facts, cut=cut, accepted=accepted)
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
