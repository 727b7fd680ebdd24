"""PQ and HLG: shown on a page, not dark."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import colour_samples as samples
from pellucid.formats import ImageFormat
from pellucid.image import vips
from pellucid.image.colour.described import describe, needs_all_bits
from pellucid.image.decode import decode_full
from pellucid.image.probe import probe

PQ, HLG = 16, 18
WHITE_NITS = 203


def pq_signal(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The samples for light, by SMPTE ST 2084's other direction."""
    power = (nits / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hlg_signal(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The samples for greys on the reference display of 1000 cd/m2, by BT.2100's other direction."""
    scene = (nits / 1000) ** (1 / 1.2)
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


SIGNALS = {PQ: pq_signal, HLG: hlg_signal}


def shown(signal: NDArray[np.float64], *chunks: samples.Chunk) -> NDArray[np.uint8]:
    """(n, 3): what becomes of n samples of grey, or (n, 3) of colours, with 16 bits."""
    levels = np.rint(signal * 65535).astype(np.uint16)
    rows = (levels[:, None].repeat(3, axis=1) if levels.ndim == 1 else levels)[None]
    data = samples.png(rows, *chunks)
    return vips.to_array(decode_full(data, probe(data, max_pixels=100_000)))[0]


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("primaries", [1, 9, 12])
def test_known_brightness_has_known_levels(primaries: int, transfer: int) -> None:
    nits = np.array([0.0, 10, 50, 100, WHITE_NITS, 1000])
    # Up to the reference white half the light; the brightest that there is, is white.
    right = samples.srgb_level(np.array([0, 10, 50, 100, WHITE_NITS, 2 * WHITE_NITS]) / (2 * WHITE_NITS))
    result = shown(SIGNALS[transfer](nits), samples.cicp(primaries, transfer))
    assert np.abs(result - right[:, None]).max() <= 0.6


@pytest.mark.parametrize("nits", [100, 203, 400, 1000, 4000, 10_000])
def test_the_brightest_of_a_picture_is_white_and_nothing_gets_lost_below(nits: int) -> None:
    signal = np.linspace(0, pq_signal(np.array(float(nits))), 10_000)
    levels = shown(signal, samples.cicp(9, PQ), samples.clli(nits))[:, 1].astype(int)
    assert (np.maximum.accumulate(levels) - levels).max() <= 1
    assert levels[0] == 0
    # What is no brighter than the page's white needs no tone mapping.
    top = samples.srgb_level(np.array(min(nits / WHITE_NITS, 1)))
    assert abs(levels[-1] - top) <= 1
    assert len(set(levels.tolist())) == levels[-1] + 1


def test_a_picture_that_says_that_it_is_dim_is_shown_brighter() -> None:
    signal = pq_signal(np.array([100.0]))
    levels = [int(shown(signal, samples.cicp(9, PQ), samples.clli(nits))[0, 1]) for nits in (200, 400, 700, 1000, 4000)]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] > levels[1] > levels[2] > levels[3] == levels[4]


def test_the_display_counts_where_the_picture_says_nothing() -> None:
    signal = pq_signal(np.array([100.0, 400.0]))
    by_picture = shown(signal, samples.cicp(9, PQ), samples.clli(500))
    assert (shown(signal, samples.cicp(9, PQ), samples.mdcv(500)) == by_picture).all()
    assert (shown(signal, samples.cicp(9, PQ), samples.mdcv(4000), samples.clli(500)) == by_picture).all()
    assert (shown(signal, samples.cicp(9, PQ), samples.mdcv(0)) == shown(signal, samples.cicp(9, PQ))).all()


def test_hues_stay() -> None:
    proportions = np.array([1.0, 0.6, 0.3])
    levels = shown(pq_signal(np.geomspace(20, 400, 50)[:, None] * proportions), samples.cicp(1, PQ))
    # Above the reference white the brightest channel is held back, and the others with it.
    light = ((levels / 255 + 0.055) / 1.055) ** 2.4
    assert light.max() < 0.9 * 400 / (2 * WHITE_NITS)
    assert np.abs(light / light[:, :1] - proportions).max() < 0.03


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("alpha", [None, 128])
def test_avif_is_shown_as_png_is(transfer: int, bits: int, alpha: int | None) -> None:
    data = samples.with_codes(samples.lossless_avif(bits=bits, alpha=alpha), (9, transfer, 0))
    result = vips.to_array(decode_full(data, probe(data, max_pixels=100_000)))
    right = vips.to_array(
        decode_full(png := samples.png(samples.card(alpha), samples.cicp(9, transfer)), probe(png, max_pixels=100_000))
    )
    # Samples of 10 bits are not quite those of 8.
    assert np.abs(samples.middles(result) - samples.middles(right)).max() <= (0 if bits == 8 else 2)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_avif_says_how_bright_it_is(transfer: int) -> None:
    dim = samples.with_properties(samples.avif(codes=(9, transfer, 6)), samples.brightness(250))
    plain = samples.avif(codes=(9, transfer, 6))
    dim_levels, levels = (
        samples.middles(vips.to_array(decode_full(data, probe(data, max_pixels=100_000)))) for data in (dim, plain)
    )
    assert (dim_levels[4:6] > levels[4:6] + 5).all()


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("is_deep", [False, True])
def test_heic_is_shown_as_png_is(transfer: int, is_deep: bool) -> None:
    heic = samples.heif_container(samples.colr(9, transfer, 9, 0))
    assert needs_all_bits(heic, ImageFormat.HEIC)
    pixels = samples.card()
    image = vips.from_deep_array(samples.deep(pixels)) if is_deep else vips.from_array(pixels)
    described = describe(image, heic, ImageFormat.HEIC)
    png = samples.png(pixels, samples.cicp(9, transfer))
    right = vips.to_array(decode_full(png, probe(png, max_pixels=100_000)))
    assert (vips.to_array(described.to_srgb_size(width=64, height=32)) == right).all()


def test_ordinary_heic_is_read_with_8_bits() -> None:
    for properties in ((), (samples.colr(1, 13, 6),), (samples.colr(12, 13, 6),)):
        assert not needs_all_bits(samples.heif_container(*properties), ImageFormat.HEIC)
