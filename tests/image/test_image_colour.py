"""Colours that files describe without an ICC profile. What is right is worked out here from the standards' numbers;
`e2e/test_e2e_colour.py` asks a browser.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import colour_samples as samples
from pellucid.errors import ImageError
from pellucid.formats import ImageFormat
from pellucid.image import vips
from pellucid.image.box import Box
from pellucid.image.colour.described import describe
from pellucid.image.decode import decode_full, decode_layers, decode_scaled
from pellucid.image.probe import probe
from pellucid.image.sniff import sniff

Light = Callable[[NDArray[np.float64]], NDArray[np.float64]]

COLOURS = np.array(samples.COLOURS)
GREYS = COLOURS[:, [1, 1, 1]]


def decoded(data: bytes) -> NDArray[np.uint8]:
    return vips.to_array(decode_full(data, probe(data, max_pixels=1_000_000)))


def colours_in(data: bytes) -> NDArray[np.int64]:
    """(8, 3): what becomes of the card's colours."""
    return samples.middles(decoded(data))[:, :3]


def by_power(exponent: float) -> Light:
    return lambda signal: signal**exponent


def by_srgb(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def by_240m(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(signal < 0.0912, signal / 4, ((signal + 0.1115) / 1.1115) ** (1 / 0.45))


def by_428(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    return 52.37 / 48 * signal**2.6


def wanted(curve: Light, primaries: Sequence[float], colours: NDArray[np.int64] = COLOURS) -> NDArray[np.float64]:
    return samples.expected(curve(colours / 255), primaries)


DESCRIBED: dict[str, tuple[tuple[samples.Chunk, ...], NDArray[np.float64]]] = {
    "gamma 1": ((samples.gama(1),), wanted(by_power(1), samples.SRGB)),
    "gamma 1/1.8": ((samples.gama(1 / 1.8),), wanted(by_power(1.8), samples.SRGB)),
    "sRGB and 2.2": ((samples.chrm(samples.SRGB), samples.gama(0.45455)), wanted(by_power(2.2), samples.SRGB)),
    "P3 and 2.2": ((samples.chrm(samples.P3), samples.gama(0.45455)), wanted(by_power(2.2), samples.P3)),
    "Adobe RGB": ((samples.chrm(samples.ADOBE), samples.gama(0.45455)), wanted(by_power(2.2), samples.ADOBE)),
    "codes of P3": ((samples.cicp(12, 13),), wanted(by_srgb, samples.P3)),
    "codes of BT.2020": ((samples.cicp(9, 14),), wanted(by_power(2.4), samples.BT2020)),
    "codes of linear BT.2020": ((samples.cicp(9, 8),), wanted(by_power(1), samples.BT2020)),
    "codes of BT.470": ((samples.cicp(1, 5),), wanted(by_power(2.8), samples.SRGB)),
    "codes of SMPTE 240M": ((samples.cicp(1, 7),), wanted(by_240m, samples.SRGB)),
    "codes of SMPTE 428": ((samples.cicp(12, 17),), wanted(by_428, samples.P3)),
}


@pytest.mark.parametrize("name", DESCRIBED)
@pytest.mark.parametrize("is_deep", [False, True])
@pytest.mark.parametrize("alpha", [None, 90])
def test_a_described_png_becomes_srgb(name: str, is_deep: bool, alpha: int | None) -> None:
    chunks, right = DESCRIBED[name]
    pixels = samples.card(alpha)
    result = decoded(samples.png(samples.deep(pixels) if is_deep else pixels, *chunks))
    assert np.abs(samples.middles(result)[:, :3] - right).max() <= 0.6  # half a level, and the table's steps
    assert alpha is None or (result[..., 3] == alpha).all()


@pytest.mark.parametrize(
    ("name", "curve"),
    [("gamma 1", by_power(1)), ("P3 and 2.2", by_power(2.2)), ("codes of P3", by_srgb), ("Adobe RGB", by_power(2.2))],
)
@pytest.mark.parametrize("is_deep", [False, True])
def test_grey_needs_the_curve_only(name: str, curve: Light, is_deep: bool) -> None:
    grey = samples.card()[..., 1]
    result = decoded(samples.png(samples.deep(grey) if is_deep else grey, *DESCRIBED[name][0]))
    assert np.ptp(samples.middles(result), axis=1).max() == 0
    assert np.abs(samples.middles(result) - wanted(curve, samples.SRGB, GREYS)).max() <= 0.6


def test_the_cases_of_the_field() -> None:
    assert colours_in(samples.png(samples.card(), samples.cicp(12, 13)))[0].tolist() == [218, 0, 6]
    linear = colours_in(samples.png(samples.card(), samples.gama(1)))
    assert linear[[0, 4]].tolist() == [[229, 96, 96], [188, 188, 188]]
    by_chromaticities = samples.png(samples.card(), samples.chrm(samples.P3), samples.gama(0.45455))
    assert colours_in(by_chromaticities)[0].tolist() == [220, 0, 0]


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("alpha", [None, 128])
@pytest.mark.parametrize(
    ("codes", "right"),
    [
        ((12, 13), wanted(by_srgb, samples.P3)),
        ((9, 1), wanted(by_srgb, samples.BT2020)),  # pictures with BT.709's curve were made from sRGB
        ((9, 14), wanted(by_srgb, samples.BT2020)),
        ((1, 8), wanted(by_power(1), samples.SRGB)),
        ((2, 8), wanted(by_power(1), samples.SRGB)),
        ((12, 2), wanted(by_srgb, samples.P3)),
        ((1, 6), wanted(by_srgb, samples.SRGB)),
        ((2, 2), wanted(by_srgb, samples.SRGB)),
    ],
    ids=str,
)
def test_a_described_avif_becomes_srgb(
    bits: int, alpha: int | None, codes: tuple[int, int], right: NDArray[np.float64]
) -> None:
    data = samples.with_codes(samples.lossless_avif(bits=bits, alpha=alpha), (*codes, 0))
    assert np.abs(colours_in(data) - right).max() <= 1


@pytest.mark.parametrize("alpha", [None, 128])
def test_heic_says_it_as_avif_does(alpha: int | None) -> None:
    # There is no HEVC encoder here; the container is all that colours are read from.
    pixels = samples.card(alpha)
    heic = samples.heif_container(samples.colr(12, 13, 6))
    assert sniff(heic) is ImageFormat.HEIC
    described = describe(vips.from_array(pixels), heic, ImageFormat.HEIC)
    result = vips.to_array(described.to_srgb_size(width=64, height=32).copy_memory())
    assert np.abs(samples.middles(result)[:, :3] - wanted(by_srgb, samples.P3)).max() <= 1
    assert alpha is None or (result[..., 3] == alpha).all()


def from_matrix(kr: float, kb: float) -> NDArray[np.float64]:
    """What the card becomes when its samples, made with BT.601, are read with other coefficients."""
    red, green, blue = (COLOURS / 255).T
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    cb, cr = (blue - luma) / (2 * (1 - 0.114)), (red - luma) / (2 * (1 - 0.299))
    new_red, new_blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    new_green = (luma - kr * new_red - kb * new_blue) / (1 - kr - kb)
    return 255 * np.clip(np.stack([new_red, new_green, new_blue], axis=1), 0, 1)


@pytest.mark.parametrize("is_full", [True, False])
@pytest.mark.parametrize(
    ("matrix", "kr", "kb"),
    [
        (1, 0.2126, 0.0722),
        (4, 0.30, 0.11),
        (5, 0.299, 0.114),
        (6, 0.299, 0.114),
        (7, 0.212, 0.087),
        (9, 0.2627, 0.0593),
        (12, 0.2126, 0.0722),  # derived from the primaries
    ],
)
def test_samples_become_rgb_by_the_matrix_that_the_file_names(matrix: int, kr: float, kb: float, is_full: bool) -> None:
    data = samples.avif(codes=(1, 13, matrix), full=is_full, range="full" if is_full else "limited")
    assert np.abs(colours_in(data) - from_matrix(kr, kb)).max() <= 3  # the samples are rounded, the file is lossy


def test_the_identity_is_a_matrix_too() -> None:
    assert (colours_in(samples.lossless_avif()) == COLOURS).all()


@pytest.mark.parametrize("format_", [ImageFormat.AVIF, ImageFormat.HEIC])
@pytest.mark.parametrize(("matrix", "full"), [(10, 1), (10, 0), (13, 1), (8, 0)])
def test_samples_that_would_be_misread_are_refused(format_: ImageFormat, matrix: int, full: int) -> None:
    brand = {ImageFormat.AVIF: b"avif", ImageFormat.HEIC: b"heic"}[format_]
    data = samples.heif_container(samples.colr(9, 13, matrix, full), brand=brand)
    with pytest.raises(ImageError, match=f"{format_.upper()} picture .* not supported .matrix coefficients {matrix} "):
        describe(vips.from_array(samples.card()), data, format_)


def test_a_matrix_that_is_refused_is_refused_of_a_whole_file() -> None:
    with pytest.raises(ImageError, match="matrix coefficients 10"):
        decoded(samples.avif(codes=(9, 13, 10)))


def test_premultiplied_avif_is_straightened() -> None:
    data = samples.avif("rgba", alpha_premultiplied=True)
    result = decoded(data)
    assert np.abs(samples.middles(result)[:, :3] - COLOURS).max() <= 4  # half of the levels are gone
    assert np.abs(result[..., 3].astype(int) - 128).max() <= 1


@pytest.mark.parametrize("version", [4, 5])
def test_a_calibrated_bmp_becomes_srgb(version: int) -> None:
    data = samples.bmp(version=version, primaries=samples.P3, exponents=(2.2, 2.2, 2.2))
    assert np.abs(colours_in(data) - wanted(by_power(2.2), samples.P3)).max() <= 1


def test_each_channel_of_a_bmp_may_have_its_own_curve() -> None:
    light = (COLOURS / 255) ** np.array([1.0, 2.2, 1.8])
    data = samples.bmp(primaries=samples.SRGB, exponents=(1.0, 2.2, 1.8))
    assert np.abs(colours_in(data) - samples.srgb_level(light)).max() <= 1


PROFILED = samples.profile(samples.P3, 1.8)


@pytest.mark.parametrize(
    "data",
    [
        samples.bmp(version=5, kind=samples.EMBEDDED, profile_data=PROFILED),
        samples.jp2(b"\2\0\0" + PROFILED),
        samples.jp2(b"\3\0\0" + PROFILED),
        samples.saved("TIFF", icc_profile=PROFILED),
        samples.png(samples.card(), samples.iccp(PROFILED)),
        samples.ico(samples.png(samples.card(255), samples.iccp(PROFILED))),
    ],
    ids=["BMP", "JP2, restricted", "JP2, any", "TIFF", "PNG", "ICO"],
)
def test_an_icc_profile_is_found_in_every_format(data: bytes) -> None:
    assert np.abs(colours_in(data) - wanted(by_power(1.8), samples.P3)).max() <= 1


def test_a_grey_jpeg_2000_may_have_a_profile_for_grey() -> None:
    data = samples.jp2(b"\2\0\0" + samples.grey_profile(1.0), samples.card()[..., 1])
    # lcms takes greys through 16 bits of lightness.
    assert np.abs(colours_in(data) - wanted(by_power(1), samples.SRGB, GREYS)).max() <= 2


def test_numbers_for_colours_in_jpeg_2000() -> None:
    luma, cb, cr = COLOURS[:, 0], COLOURS[:, 1] - 128, COLOURS[:, 2] - 128
    rgb = np.stack([luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb], axis=1)
    assert np.abs(colours_in(samples.jp2(samples.enumerated(18))) - np.clip(rgb, 0, 255)).max() <= 1
    assert (colours_in(samples.jp2(samples.enumerated(16))) == COLOURS).all()
    assert (colours_in(samples.jp2(samples.enumerated(17), samples.card()[..., 1])) == GREYS).all()
    with pytest.raises(ImageError, match="CIELab"):
        decoded(samples.jp2(samples.enumerated(14)))


def test_a_png_inside_an_icon_says_it_too() -> None:
    data = samples.ico(samples.png(samples.card(255), samples.cicp(12, 13)))
    assert np.abs(colours_in(data) - wanted(by_srgb, samples.P3)).max() <= 1


@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "TIFF", "PNG", "AVIF"])
def test_a_profile_may_name_a_space_by_codes(format_: str) -> None:
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(format_, {})
    data = samples.saved(format_, icc_profile=samples.profile(samples.SRGB, 1.0, cicp_codes=(12, 13)), **options)
    assert np.abs(colours_in(data) - wanted(by_srgb, samples.P3)).max() <= (12 if format_ == "AVIF" else 2)


UNSAID = {
    "PNG": samples.png(samples.card()),
    "PNG, sRGB": samples.png(samples.card(), samples.srgb(), samples.gama(0.45455), samples.chrm(samples.SRGB)),
    "PNG, neutral gamma": samples.png(samples.card(), samples.gama(0.45455)),
    "PNG, codes of sRGB": samples.png(samples.card(), samples.cicp(1, 13)),
    "PNG, 16 bits": samples.png(samples.deep(samples.card())),
    "PNG, grey": samples.png(samples.card()[..., 0]),
    "AVIF, codes of sRGB": samples.avif(),
    "AVIF, unspecified": samples.avif(codes=(2, 2, 2)),
    "AVIF, BT.709": samples.avif(codes=(1, 1, 1)),
    "AVIF, no codes": samples.without_colours(samples.avif()),
    "JPEG": samples.saved("JPEG"),
    "WebP": samples.saved("WEBP"),
    "TIFF": samples.saved("TIFF"),
    "GIF": samples.saved("GIF"),
}


@pytest.mark.parametrize("name", UNSAID)
def test_what_says_srgb_or_nothing_is_left_alone(name: str) -> None:
    data = UNSAID[name]
    loader = {"PNG": "pngload_buffer", "AVIF": "heifload_buffer", "JPEG": "jpegload_buffer", "WebP": "webpload_buffer"}
    loader |= {"TIFF": "tiffload_buffer", "GIF": "gifload_buffer"}
    image = vips.load(loader[name.partition(",")[0]], data)
    described = describe(image, data, sniff(data))
    assert described.image is image
    assert described.transform is None


@pytest.mark.parametrize("says", [samples.gama(1), samples.cicp(9, 16)], ids=["linear", "PQ"])
@pytest.mark.parametrize("alpha", [None, 90])
def test_smaller_and_cropped_pictures_have_the_same_colours(says: samples.Chunk, alpha: int | None) -> None:
    data = samples.png(samples.card(alpha), says)
    facts = probe(data, max_pixels=1_000_000)
    whole = decoded(data)
    half = vips.to_array(decode_scaled(data, facts, width=32, height=16))
    # Half transparent, they are resampled premultiplied, with 8 bits; a level of light is up to three of sRGB.
    off = np.abs(half[4::8, 4::8].astype(int) - whole[8::16, 8::16])
    assert off.max() <= (0 if alpha is None else 3)
    part = decode_scaled(data, facts, width=64, height=32, crop=Box(left=10, top=3, width=40, height=20))
    assert (vips.to_array(part) == whole[3:23, 10:50]).all()


@pytest.mark.parametrize("says", [samples.gama(1), samples.cicp(9, 18)], ids=["linear", "HLG"])
def test_hidden_colours_do_not_bleed(says: samples.Chunk) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[..., 0] = 255  # transparent and red
    pixels[:, 32:] = (0, 0, 255, 255)
    data = samples.png(pixels, says)
    small = vips.to_array(decode_scaled(data, probe(data, max_pixels=10_000), width=21, height=21))
    shown = small[small[..., 3] > 8]
    assert len(shown) > 100
    assert np.ptp(shown[:, :3].astype(int), axis=0).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_described_pictures_stand_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    profile = samples.profile(samples.SRGB, 1.0, cicp_codes=(12, 8))
    Image.fromarray(samples.card()).save(buffer, "PNG", exif=exif, icc_profile=profile)
    plain = io.BytesIO()
    Image.fromarray(samples.card()).save(plain, "PNG", exif=exif)
    data, reference = buffer.getvalue(), decoded(plain.getvalue())
    right = samples.expected(reference[8::16, 8::16] / 255, samples.P3)
    assert np.abs(decoded(data)[8::16, 8::16] - right).max() <= 1
    facts = probe(data, max_pixels=10_000)
    half = vips.to_array(decode_scaled(data, facts, width=facts.width // 2, height=facts.height // 2))
    assert np.abs(half[4::8, 4::8] - right).max() <= 1


@pytest.mark.parametrize("name", DESCRIBED)
def test_models_see_the_same_colours(name: str) -> None:
    chunks, right = DESCRIBED[name]
    data = samples.png(samples.card(), *chunks)
    seen = decode_layers(data, probe(data, max_pixels=10_000), width=64, height=32)[0]
    assert np.abs(samples.middles(seen) - right).max() <= 0.6
    see_through = samples.png(samples.card(128), *chunks)
    seen = decode_layers(see_through, probe(see_through, max_pixels=10_000), width=64, height=32)[0]
    assert np.abs(samples.middles(seen) - (right * 128 + 255 * 127) / 255).max() <= 1.6


def test_dark_light_of_16_bits_has_no_steps() -> None:
    light = np.linspace(0, 0.02, 4096)
    ramp = np.rint(light * 65535).astype(np.uint16)[None, :, None].repeat(3, axis=2)
    result = decoded(samples.png(ramp, samples.gama(1)))[0, :, 0]
    assert np.abs(result - samples.srgb_level(ramp[0, :, 0] / 65535)).max() <= 0.6
    # Of 8 bits there would be 6 levels.
    assert len(set(result.tolist())) == 1 + round(float(samples.srgb_level(np.array(0.02))))
