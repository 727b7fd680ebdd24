from __future__ import annotations

import math
from typing import Any

import numpy as np
import picture_samples as samples
import pytest
import tiff_files as tiff
from numpy.typing import NDArray
from PIL import Image
from tiff_files import Directory, Tag

import colour_samples
from pellucid.errors import ImageError, ImageLimitError, UnsupportedFormatError
from pellucid.image import vips
from pellucid.image.decode import decode_full, decode_scaled
from pellucid.image.probe import probe
from pellucid.image.tiff.pixels import open_picture
from pellucid.image.tiff.samples import Numbers, Photometric, Reading, Samples, find_range

WIDTH, HEIGHT = 48, 32
_ACROSS, _DOWN = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
GREY = 0.7 * _ACROSS + 0.3 * _DOWN
RGB = np.stack([_ACROSS, _DOWN, 1 - _ACROSS / 2], axis=-1)
ALPHA = np.clip(_DOWN, 0.4, 1)[..., None]

Levels = NDArray[np.float64]


def decode(data: bytes) -> Levels:
    facts = probe(data, max_pixels=1_000_000)
    pixels = vips.to_array(decode_full(data, facts)).astype(float)
    assert pixels.shape == (facts.height, facts.width, 4 if facts.has_alpha else 3)
    return pixels


def check(data: bytes, truth: Levels, *, most: float = 1, mean: float = 0.5) -> None:
    """`truth` is 0 to 1; errors are in levels."""
    wanted = 255 * truth
    error = np.abs(decode(data) - (wanted if truth.ndim == 3 else wanted[..., None]))
    assert error.max() <= most + 0.5
    assert error.mean() <= mean


def stored(values: Levels, kind: str, white: float) -> NDArray[Any]:
    scaled = values * white
    return (scaled if kind.startswith("float") else np.rint(scaled)).astype(kind)


WHITES: list[tuple[str, float]] = [
    ("uint8", 255),
    ("uint16", 65_535),
    ("uint32", 2**32 - 1),
    ("uint32", 65_535),
    ("uint32", 255),
    ("int8", 127),
    ("int16", 32_767),
    ("int16", 255),
    ("int32", 2**31 - 1),
    ("int32", 65_535),
    ("int32", 255),
    ("float16", 1),
    ("float16", 255),
    ("float32", 1),
    ("float32", 255),
    ("float32", 65_535),
]
"""Kinds of numbers and what is white in them, as programs write them."""


def _tolerance(white: float) -> dict[str, float]:
    """128 levels instead of 256 are worse."""
    return {"most": 2, "mean": 1.1} if white == 127 else {}


ORDERS = pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True), (">", True)])


@ORDERS
@pytest.mark.parametrize(("kind", "white"), WHITES)
def test_numbers_of_every_kind_give_the_picture(kind: str, white: float, order: str, big: bool) -> None:
    def write(values: Levels, photometric: int, **options: Any) -> bytes:
        made = tiff.directory(stored(values, kind, white), photometric, order=order, **options)
        return tiff.write(made, order=order, big=big)

    check(write(GREY, tiff.BLACK_IS_ZERO), GREY, **_tolerance(white))
    check(write(RGB, tiff.RGB), RGB, **_tolerance(white))
    if not kind.startswith("int"):
        check(write(1 - GREY, tiff.WHITE_IS_ZERO), GREY)


@pytest.mark.parametrize(("kind", "white"), WHITES)
@pytest.mark.parametrize("layout", ["strips", "tiles", "planes", "deflate"])
def test_numbers_of_every_kind_come_in_every_layout(kind: str, white: float, layout: str) -> None:
    options: dict[str, Any] = {
        "strips": {"rows_per_strip": 5},
        "tiles": {"tile": 16},
        "planes": {"planar": True, "rows_per_strip": 8},
        "deflate": {"deflate": True, "tile": 32},
    }[layout]
    data = tiff.write(tiff.directory(stored(RGB, kind, white), tiff.RGB, **options))
    if (kind, layout) == ("float16", "planes"):
        with pytest.raises(UnsupportedFormatError, match="separate planes"):
            probe(data, max_pixels=1_000_000)
    else:
        check(data, RGB, **_tolerance(white))


@pytest.mark.parametrize(("kind", "white"), [each for each in WHITES if not each[0].startswith("int")])
@pytest.mark.parametrize("extra", [1, 2, 0, None], ids=["premultiplied", "straight", "unspecified", "unnamed"])
@pytest.mark.parametrize("colours", [GREY[..., None], RGB], ids=["grey", "rgb"])
def test_alpha_comes_out_straight(kind: str, white: float, extra: int | None, colours: Levels) -> None:
    tags: dict[int, Tag] = {} if extra is None else {338: ("H", [extra])}
    values = np.concatenate([colours * ALPHA if extra == 1 else colours, ALPHA], axis=-1)
    photometric = tiff.RGB if colours.shape[2] == 3 else tiff.BLACK_IS_ZERO
    data = tiff.write(tiff.directory(stored(values, kind, white), photometric, tags=tags))
    truth = np.concatenate([np.broadcast_to(colours, RGB.shape), ALPHA], axis=-1)
    # 8 bits that were multiplied by 0.4 are 1.25 levels off at most.
    check(data, truth, most=2 if extra == 1 else 1)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_channels_that_are_neither_colour_nor_alpha_are_dropped(kind: str) -> None:
    other = 1 - GREY[..., None]
    white = 255 if kind == "uint8" else 1

    def write(values: Levels, photometric: int, extras: list[int]) -> bytes:
        made = tiff.directory(stored(values, kind, white), photometric, tags={338: ("H", extras)})
        return tiff.write(made)

    check(write(np.concatenate([RGB, other, ALPHA], axis=-1), tiff.RGB, [0, 2]), np.concatenate([RGB, ALPHA], axis=-1))
    check(write(np.concatenate([RGB, ALPHA, other], axis=-1), tiff.RGB, [2, 0]), np.concatenate([RGB, ALPHA], axis=-1))
    check(write(np.concatenate([RGB, other, other], axis=-1), tiff.RGB, [0, 0]), RGB)
    check(write(np.concatenate([GREY[..., None], other, other], axis=-1), tiff.BLACK_IS_ZERO, [0, 0]), GREY)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("photometric", [tiff.WHITE_IS_ZERO, tiff.BLACK_IS_ZERO, tiff.PALETTE])
def test_few_bits_of_grey_and_of_a_palette(bits: int, photometric: int) -> None:
    top = 2**bits - 1
    numbers = np.rint(GREY * top).astype(np.uint8)
    tags: dict[int, Tag] = {}
    truth: Levels = numbers / top
    if photometric == tiff.PALETTE:
        colours = np.random.default_rng(1).integers(0, 256, (3, top + 1))
        tags = {320: ("H", [int(each) * 257 for each in colours.ravel()])}
        truth = colours[:, numbers].transpose(1, 2, 0) / 255
    if photometric == tiff.WHITE_IS_ZERO:
        numbers = top - numbers
    check(tiff.write(tiff.directory(numbers, photometric, bits=bits, tags=tags)), truth)


def _range(least: float, greatest: float, letter: str, channels: int) -> dict[int, Tag]:
    return {340: (letter, [least] * channels), 341: (letter, [greatest] * channels)}


@pytest.mark.parametrize(
    ("kind", "letter", "black", "white"),
    [
        ("int8", "b", -128, 127),
        ("int16", "h", -32_768, 32_767),
        ("int16", "h", -1024, 3071),
        ("int32", "i", -(2**31), 2**31 - 1),
        ("uint32", "I", 0, 4095),
        ("uint32", "I", 1000, 200_000),
        ("float32", "f", -1, 1),
        ("float32", "f", 0, 4095),
        ("float32", "d", 0, 1e9),
    ],
)
def test_a_file_may_name_its_black_and_white(kind: str, letter: str, black: float, white: float) -> None:
    def write(values: Levels, photometric: int) -> bytes:
        channels = 1 if values.ndim == 2 else 3
        numbers = black + values * (white - black)
        numbers = (numbers if kind == "float32" else np.rint(numbers)).astype(kind)
        return tiff.write(tiff.directory(numbers, photometric, tags=_range(black, white, letter, channels)))

    check(write(GREY, tiff.BLACK_IS_ZERO), GREY, mean=0.6)
    check(write(1 - GREY, tiff.WHITE_IS_ZERO), GREY, mean=0.6)
    check(write(RGB, tiff.RGB), RGB, mean=0.6)


def test_the_least_and_greatest_of_floats_within_0_to_1_are_statistics() -> None:
    data = tiff.write(tiff.directory((0.3 + GREY / 4).astype(np.float32), 1, tags=_range(0.3, 0.55, "f", 1)))
    check(data, 0.3 + GREY / 4)


@pytest.mark.parametrize("least", [math.nan, -math.inf, 5.0])
def test_a_range_that_is_none_is_not_believed(least: float) -> None:
    data = tiff.write(tiff.directory(GREY.astype(np.float32), tiff.BLACK_IS_ZERO, tags=_range(least, 1, "f", 1)))
    check(data, GREY)


def test_highlights_above_1_are_cut_off() -> None:
    bright = GREY.copy()
    bright[:4, :4] = 900
    check(tiff.write(tiff.directory(bright.astype(np.float32), tiff.BLACK_IS_ZERO)), np.minimum(bright, 1))


def test_what_is_no_number_is_black() -> None:
    holes, beyond = GREY.astype(np.float32), GREY.astype(np.float32)
    holes[:4, :4] = math.nan
    check(tiff.write(tiff.directory(holes, tiff.BLACK_IS_ZERO)), np.nan_to_num(holes).astype(float))
    beyond[:4, :4] = math.inf
    beyond[8:12, :4] = -0.01
    check(tiff.write(tiff.directory(beyond, tiff.BLACK_IS_ZERO)), np.clip(beyond, 0, 1).astype(float))


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (HEIGHT, WIDTH, 3)], ids=["grey", "rgb"])
@pytest.mark.parametrize("kind", ["float32", "uint32", "int16"])
def test_a_black_picture_is_black(kind: str, shape: tuple[int, ...]) -> None:
    black = np.zeros(shape)
    check(tiff.write(tiff.directory(black.astype(kind), tiff.RGB if black.ndim == 3 else tiff.BLACK_IS_ZERO)), black)


@pytest.mark.parametrize(
    ("kind", "least", "greatest"),
    [
        ("int8", -128, 127),
        ("int16", -1000, 3000),
        ("int32", -5, 255),
        ("float32", -1, 1),
        ("float32", 0, 1e9),
        ("float32", 0, 1e-4),
        ("uint32", 0, 1_000_000),
    ],
)
def test_a_range_that_cannot_be_told_is_a_refusal_with_numbers(kind: str, least: float, greatest: float) -> None:
    data = tiff.write(tiff.directory((least + GREY * (greatest - least)).astype(kind), tiff.BLACK_IS_ZERO))
    facts = probe(data, max_pixels=1_000_000)
    with pytest.raises(ImageError, match="which of them is black"):
        decode_full(data, facts)


@pytest.mark.parametrize(
    ("least", "greatest", "share_above_1", "white"),
    [
        (0, 1, 0, 1),
        (0, 0.2, 0, 1),
        (0, 40, 0.1, 1),
        (-0.05, 1.2, 0.01, 1),
        (0, math.inf, 0.01, 1),
        (0, 200, 0.8, 255),
        (-3, 255, 0.98, 255),
        (0, 256, 0.98, 65_535),
    ],
)
def test_what_is_white_among_floats(least: float, greatest: float, share_above_1: float, white: float) -> None:
    described = Samples(
        reading=Reading.RANGE,
        photometric=Photometric.BLACK_IS_ZERO,
        numbers=Numbers.FLOAT,
        bits=32,
        colours=1,
        alpha=None,
        premultiplied=False,
        has_tiles=False,
    )
    assert find_range(described, least=least, greatest=greatest, share_above_1=share_above_1) == (0, white)


def _lab(rgb: Levels) -> Levels:
    """L* of 0 to 100, a*, b* (CIE 15, from sRGB's own white)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ (matrix / matrix.sum(axis=1, keepdims=True)).T
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


# Soft colours: a* and b* of one step are then a level or two.
_SOFT = 0.3 + 0.4 * RGB
_SIGNED_8 = np.concatenate([_lab(_SOFT)[..., :1] * 2.55, np.rint(_lab(_SOFT)[..., 1:]) % 256], axis=-1)
_ICC_8 = np.concatenate([_lab(_SOFT)[..., :1] * 2.55, _lab(_SOFT)[..., 1:] + 128], axis=-1)
_SIGNED_16 = np.concatenate([_lab(_SOFT)[..., :1] * 655.35, np.rint(_lab(_SOFT)[..., 1:] * 256) % 65_536], axis=-1)
_ICC_16 = np.concatenate([_lab(_SOFT)[..., :1] * 652.8, (_lab(_SOFT)[..., 1:] + 128) * 256], axis=-1)


@pytest.mark.parametrize(
    ("numbers", "photometric", "most"),
    [
        (np.rint(_SIGNED_8).astype(np.uint8), tiff.CIELAB, 4),
        (np.rint(_ICC_8).astype(np.uint8), tiff.ICCLAB, 4),
        (np.rint(_SIGNED_16).astype(np.uint16), tiff.CIELAB, 1),
        (np.rint(_ICC_16).astype(np.uint16), tiff.ICCLAB, 1),
        (_lab(_SOFT).astype(np.float32), tiff.CIELAB, 1),
    ],
    ids=["CIELab 8", "ICCLab 8", "CIELab 16", "ICCLab 16", "CIELab float"],
)
@pytest.mark.parametrize("layout", [{}, {"tile": 16}, {"deflate": True}], ids=["strips", "tiles", "deflate"])
def test_lab(numbers: NDArray[Any], photometric: int, most: float, layout: dict[str, Any]) -> None:
    check(tiff.write(tiff.directory(numbers, photometric, **layout)), _SOFT, most=most, mean=1)


@pytest.mark.parametrize(("kind", "white"), [("uint8", 255), ("uint16", 65_535)])
def test_lab_with_alpha(kind: str, white: float) -> None:
    icc = _ICC_8 if kind == "uint8" else _ICC_16
    numbers = np.rint(np.concatenate([icc, ALPHA * white], axis=-1)).astype(kind)
    data = tiff.write(tiff.directory(numbers, tiff.ICCLAB, tags={338: ("H", [2])}))
    check(data, np.concatenate([_SOFT, ALPHA], axis=-1), most=4, mean=1)


def _ycbcr(rgb: Levels, red: float = 0.299, blue: float = 0.114) -> Levels:
    """Levels, chroma about 128."""
    luma = rgb @ np.array([red, 1 - red - blue, blue])
    chroma = [(rgb[..., 2] - luma) / (2 - 2 * blue) + 0.5, (rgb[..., 0] - luma) / (2 - 2 * red) + 0.5]
    return np.stack([luma * 255, *(255 * (each - 0.5) + 128 for each in chroma)], axis=-1)


def _rounded(levels: Levels) -> NDArray[np.uint8]:
    return np.rint(np.clip(levels, 0, 255)).astype(np.uint8)


@pytest.mark.parametrize(("across", "down"), [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (4, 2), (4, 4)])
def test_ycbcr_without_jpeg(across: int, down: int) -> None:
    # Even where the chroma is shared.
    coarse = np.repeat(np.repeat(RGB[::4, ::4], 4, axis=0), 4, axis=1)
    data = tiff.write(tiff.ycbcr(_rounded(_ycbcr(coarse)), across, down))
    check(data, coarse, most=2, mean=1)


def test_ycbcr_is_subsampled_unless_it_says_not() -> None:
    coarse = np.repeat(np.repeat(RGB[::4, ::4], 4, axis=0), 4, axis=1)
    made = tiff.ycbcr(_rounded(_ycbcr(coarse)), 2, 2)
    del made.tags[530]
    check(tiff.write(made), coarse, most=2, mean=1)


@pytest.mark.parametrize("layout", [{"tile": 16}, {"deflate": True, "rows_per_strip": 5}], ids=["tiles", "deflate"])
def test_ycbcr_in_other_layouts(layout: dict[str, Any]) -> None:
    made = tiff.directory(_rounded(_ycbcr(RGB)), tiff.YCBCR, tags={530: ("H", [1, 1])}, **layout)
    check(tiff.write(made), RGB, most=3, mean=1)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2)])
def test_ycbcr_of_another_matrix_and_range(subsampling: tuple[int, int]) -> None:
    coarse = np.repeat(np.repeat(RGB[::4, ::4], 4, axis=0), 4, axis=1)
    full = _ycbcr(coarse, red=0.2126, blue=0.0722)
    # Rec. 709, luma of 16 to 235, chroma of 16 to 240.
    studio = np.stack(
        [16 + full[..., 0] * 219 / 255, *(128 + (full[..., each] - 128) * 112 / 127 for each in (1, 2))], -1
    )
    tags: dict[int, Tag] = {
        529: ("r", [0.2126, 0.7152, 0.0722]),
        532: ("r", [16, 235, 128, 240, 128, 240]),
    }
    check(tiff.write(tiff.ycbcr(_rounded(studio), *subsampling, tags=tags)), coarse, most=4, mean=1)


def test_ycbcr_that_libtiff_converts_has_no_alpha() -> None:
    data = tiff.write(tiff.ycbcr(np.full((16, 16, 3), 128, np.uint8), 2, 2))
    assert not probe(data, max_pixels=1_000_000).has_alpha


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("alpha", [False, True])
def test_cmyk(kind: str, alpha: bool) -> None:
    inks = np.zeros((16, 16, 5 if alpha else 4))
    inks[:8, :, 1:3] = 1  # red above, white below
    if alpha:
        inks[..., 4] = 0.6
    white = np.iinfo(kind).max
    tags: dict[int, Tag] = {332: ("H", [1])} | ({338: ("H", [2])} if alpha else {})
    pixels = decode(tiff.write(tiff.directory(stored(inks, kind, white), tiff.INKS, tags=tags)))
    # Which red exactly is the press profile's business.
    assert pixels[4, 4, 0] > 180
    assert max(pixels[4, 4, 1:3]) < 90
    assert min(pixels[12, 12, :3]) > 245
    if alpha:
        assert np.abs(pixels[..., 3] - 0.6 * 255).max() <= 1


def _log_luv(luminance: Levels) -> Directory:
    """Grey in 32-bit LogLuv (Larson, 1998), whose white is that of equal energy; each row as four planes of bytes."""
    log = np.floor(256 * (np.log2(np.maximum(luminance, 1e-6)) + 64)).astype(np.uint32)
    words = (log << 16) | (int(410 * 0.2105) << 8) | int(410 * 0.4737)
    packed = b"".join(
        bytes([words.shape[1]]) + ((row >> shift) & 255).astype(np.uint8).tobytes()
        for row in words
        for shift in (24, 16, 8, 0)
    )
    made = tiff.directory(np.zeros((*luminance.shape, 3), np.int16), 32845, tags={259: ("H", [34676])})
    return Directory(tags=made.tags, blocks=[packed])


def test_log_luv_is_linear_light() -> None:
    encoded = np.where(GREY <= 0.0031308, 12.92 * GREY, 1.055 * GREY ** (1 / 2.4) - 0.055)
    # The nearest of 163 x 163 chromaticities: a cast of some levels.
    check(tiff.write(_log_luv(GREY)), encoded, most=8, mean=4)


PROFILE: dict[int, Tag] = {34675: ("B", list(colour_samples.profile(colour_samples.P3, 1.8)))}


@pytest.mark.parametrize(
    ("made", "same"),
    [
        (tiff.directory(stored(RGB, "uint32", 2**32 - 1), tiff.RGB, tags=PROFILE), "uint16"),
        (tiff.directory(stored(RGB, "float32", 1), tiff.RGB, tags=PROFILE), "uint16"),
        (tiff.directory(stored(RGB, "float16", 255), tiff.RGB, tags=PROFILE, tile=16), "uint16"),
        (tiff.ycbcr(_rounded(_ycbcr(RGB)), 1, 1, tags=PROFILE), "uint8"),
    ],
    ids=["32 bits", "float", "float in tiles", "YCbCr"],
)
def test_a_profile_holds_for_what_is_converted(made: Directory, same: str) -> None:
    plain = tiff.directory(stored(RGB, same, np.iinfo(same).max), tiff.RGB, tags=PROFILE)
    wanted = decode(tiff.write(plain))
    assert np.abs(wanted - 255 * RGB).max() > 20
    error = np.abs(decode(tiff.write(made)) - wanted)
    # Of 8 bits the profile's curve stretches the dark ones.
    assert error.max() <= (2 if same == "uint16" else 12)
    assert error.mean() < 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["uint32", "float32", "ycbcr", "ycbcr subsampled"])
def test_what_is_converted_comes_upright(kind: str, orientation: int) -> None:
    transpose = samples.TRANSPOSES[orientation]
    upright = samples.card()
    lying = upright if transpose is None else upright.transpose(transpose)
    tags: dict[int, Tag] = {274: ("H", [orientation])}
    if kind.startswith("ycbcr"):
        side = 2 if kind.endswith("subsampled") else 1
        made = tiff.ycbcr(np.asarray(lying.convert("YCbCr")), side, side, tags=tags)
    else:
        values = np.asarray(lying) / 255
        made = tiff.directory(stored(values, kind, 1 if kind == "float32" else 2**32 - 1), tiff.RGB, tags=tags)
    data = tiff.write(made)
    facts = probe(data, max_pixels=1_000_000)
    assert (facts.width, facts.height) == upright.size
    for scale in (1, 2):
        image = decode_scaled(data, facts, width=facts.width // scale, height=facts.height // scale)
        wanted = (samples.RED, samples.GREEN, samples.BLUE, samples.YELLOW)
        for actual, colour in zip(samples.quarters(vips.to_array(image)), wanted, strict=True):
            assert samples.close(actual, colour, 3)


@pytest.mark.parametrize("name", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "tiff_deflate", "jpeg"])
def test_compressed_files_of_another_writer(name: str) -> None:
    image = Image.fromarray(_rounded(255 * RGB))
    check(samples.save(image, "TIFF", compression=name), RGB, most=8, mean=2)


REFUSED: dict[str, tuple[Directory, str]] = {
    **{
        f"{bits} bits": (tiff.directory(np.zeros((8, 8), np.uint16), 1, bits=bits), f"grey .*{bits}-bit")
        for bits in (3, 6, 10, 12, 14)
    },
    **{
        f"RGB {bits} bits": (tiff.directory(np.zeros((8, 8, 3), np.uint32), 2, bits=bits), f"RGB .*{bits}-bit")
        for bits in (1, 2, 4, 12, 24)
    },
    **{
        f"{kind}": (tiff.directory(np.zeros((8, 8), kind), 1), words)
        for kind, words in [("uint64", "64-bit numbers"), ("float64", "64-bit floating"), ("complex64", "complex")]
    },
    **{
        f"compression {number}": (
            tiff.directory(np.zeros((8, 8), np.uint8), 1, tags={259: ("H", [number])}),
            f"compressed with {words}",
        )
        for number, words in [
            (6, "JPEG in its old form"),
            (9, "JBIG"),
            (34661, "JBIG"),
            (34712, "JPEG 2000"),
            (34887, "LERC"),
            (34925, "LZMA"),
            (50000, "Zstandard"),
            (50002, "JPEG XL"),
            (12345, "method 12345"),
        ]
    },
    **{
        f"colours {number}": (tiff.directory(np.zeros((8, 8), np.uint8), number), words)
        for number, words in [(4, "mask"), (32803, "raw photo"), (32844, "LogL"), (777, r"unknown kind \(777\)")]
    },
    "linear raw": (tiff.directory(np.zeros((8, 8, 3), np.uint16), 34892), "raw photo"),
    "ITU Lab": (tiff.directory(np.zeros((8, 8, 3), np.uint8), 10), "ITU Lab"),
    "three inks": (tiff.directory(np.zeros((8, 8, 3), np.uint8), 5, tags={332: ("H", [2])}), "inks other than"),
    "six inks": (tiff.directory(np.zeros((8, 8, 6), np.uint8), 5, tags={332: ("H", [2])}), "inks other than"),
    "three of four inks": (tiff.directory(np.zeros((8, 8, 3), np.uint8), 5), "3 of the 4 channels"),
    "two of three colours": (tiff.directory(np.zeros((8, 8, 2), np.uint8), 2), "2 of the 3 channels"),
    "CMYK of floats": (tiff.directory(np.zeros((8, 8, 4), np.float32), 5), "CMYK .*floating-point"),
    "YCbCr of 16 bits": (tiff.directory(np.zeros((8, 8, 3), np.uint16), 6), "YCbCr .*16-bit"),
    "YCbCr in planes": (tiff.directory(np.zeros((8, 8, 3), np.uint8), 6, planar=True), "YCbCr in separate planes"),
    "tiles in planes": (
        tiff.directory(np.zeros((16, 16, 3), np.uint8), 2, planar=True, tile=16),
        "tiles in separate planes",
    ),
    "palette of 16 bits": (
        tiff.directory(np.zeros((8, 8), np.uint16), 3, tags={320: ("H", [0] * 3 * 65_536)}),
        "palette .*16-bit",
    ),
    "5, 6 and 5 bits": (
        tiff.directory(np.zeros((8, 8, 3), np.uint8), 2, tags={258: ("H", [5, 6, 5])}),
        "different depths",
    ),
    "mixed numbers": (
        tiff.directory(np.zeros((8, 8, 3), np.uint8), 2, tags={339: ("H", [1, 2, 2])}),
        "different kinds of numbers",
    ),
    "premultiplied Lab": (tiff.directory(np.zeros((8, 8, 4), np.uint8), 9, tags={338: ("H", [1])}), "multiplied"),
}


@pytest.mark.parametrize(("made", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_would_come_out_wrong_is_refused_by_its_name(made: Directory, words: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=words):
        probe(tiff.write(made), max_pixels=1_000_000)


@pytest.mark.parametrize("name", ["zstd", "lzma"])
def test_real_files_of_a_compression_that_is_lacking(name: str) -> None:
    data = samples.save(samples.card(), "TIFF", compression=name)
    with pytest.raises(UnsupportedFormatError, match="compressed with"):
        probe(data, max_pixels=1_000_000)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize("layout", [{"rows_per_strip": 8}, {"tile": 16}], ids=["strips", "tiles"])
def test_pixels_that_are_missing_are_noticed(kind: str, layout: dict[str, Any]) -> None:
    made = tiff.directory(stored(RGB, kind, 255 if kind == "uint8" else 1), tiff.RGB, deflate=True, **layout)
    sound = tiff.write(made)
    made.blocks[-1] = made.blocks[-1][:20]
    data = tiff.write(made)
    facts = probe(data, max_pixels=1_000_000)
    opened = open_picture(data)
    with pytest.raises(vips.VipsError):
        opened.convert(opened.load(fail_on="truncated"), fail_on="truncated").copy_memory()
    # What is there is shown all the same.
    shown, whole = vips.to_array(decode_full(data, facts)), vips.to_array(decode_full(sound, facts))
    assert (shown[:16, :16] == whole[:16, :16]).all()


def test_memory_is_that_of_the_picture_and_not_of_its_thumbnail() -> None:
    thumbnail = tiff.directory(np.zeros((8, 8), np.uint8), 1, tags={254: ("I", [1])})
    planes = tiff.directory(np.zeros((1000, 1000, 3), np.float32), 2, planar=True)
    data = tiff.write(thumbnail, planes)
    with pytest.raises(ImageLimitError, match="memory"):
        probe(data, max_pixels=2_000_000, max_bytes=8 << 20)
    assert probe(data, max_pixels=2_000_000).width == 1000
