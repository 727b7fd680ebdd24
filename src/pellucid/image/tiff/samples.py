"""Pure: what the samples of a TIFF picture mean, which kinds libvips reads right, and where black and white lie.

libvips 8.18 takes 8 and 16 bits without sign for what they are. Other numbers it copies: 32 bits wrap, signed ones
shift, floats are taken for linear light up to 1, or for levels up to 255. The kinds it has no words for (ICC Lab,
YCbCr without JPEG, inks) it shows as if they were RGB or CMYK, and what it cannot decode as black. Here each kind is
named: read as it is, converted (`image.tiff.pixels`), or refused.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from math import isfinite

from pellucid.errors import ImageError, UnsupportedFormatError
from pellucid.image.tiff.directories import Directory, Tag


class Photometric(enum.IntEnum):
    """What a picture's channels are (TIFF 6.0, and the registered ones since)."""

    WHITE_IS_ZERO = 0
    BLACK_IS_ZERO = 1
    RGB = 2
    PALETTE = 3
    MASK = 4
    SEPARATED = 5
    YCBCR = 6
    CIELAB = 8
    ICCLAB = 9
    ITULAB = 10
    COLOUR_FILTER_ARRAY = 32803
    LOG_L = 32844
    LOG_LUV = 32845
    LINEAR_RAW = 34892


class Reading(enum.Enum):
    """What is to be done with the samples that libvips gives."""

    AS_IT_IS = enum.auto()
    RANGE = enum.auto()
    """Numbers whose black and white are to be found: floats, and integers that are signed or have 32 bits."""
    YCBCR = enum.auto()
    """Given as they are stored."""
    YCBCR_CONVERTED = enum.auto()
    """Converted by libtiff, with an alpha that the file does not have."""
    LAB_OF_8_BITS = enum.auto()
    """L* in 255 levels, a* and b* signed."""
    ICC_LAB = enum.auto()
    """L* without sign, a* and b* from -128 on."""


class Numbers(enum.IntEnum):
    """SampleFormat."""

    UNSIGNED = 1
    SIGNED = 2
    FLOAT = 3
    UNDEFINED = 4
    COMPLEX_INTEGERS = 5
    COMPLEX = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """How a directory's samples are read. `alpha` is the number of the channel that is one, if any is; `premultiplied`
    = colours are stored multiplied by it.
    """

    reading: Reading
    photometric: Photometric
    numbers: Numbers
    bits: int
    colours: int
    alpha: int | None
    premultiplied: bool
    has_tiles: bool


_JPEG = 7
_WHITE_IS_ONE, _PLANES, _CMYK = 1, 2, 1
_PREMULTIPLIED, _STRAIGHT = 1, 2
"""ExtraSamples; 0 says that the channel is something else, or that nobody knows."""

_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, _JPEG, 8, 32766, 32771, 32773, 32809, 32946, 34676, 34677, 50001})
"""None, fax, LZW, JPEG, deflate, NeXT, PackBits, ThunderScan, LogLuv, WebP: what the libvips wheel decodes."""

_OTHER_COMPRESSIONS = {
    6: "JPEG in its old form",
    9: "JBIG",
    10: "JBIG",
    32908: "PixarFilm",
    32909: "PixarLog",
    34661: "JBIG",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "a raw photo's JPEG",
    34925: "LZMA",
    50000: "Zstandard",
    50002: "JPEG XL",
    52546: "JPEG XL",
}

_COLOURS = {
    Photometric.WHITE_IS_ZERO: 1,
    Photometric.BLACK_IS_ZERO: 1,
    Photometric.RGB: 3,
    Photometric.PALETTE: 1,
    Photometric.SEPARATED: 4,
    Photometric.YCBCR: 3,
    Photometric.CIELAB: 3,
    Photometric.ICCLAB: 3,
    Photometric.LOG_LUV: 3,
}
"""Channels of what can be read, without alpha and other extra ones."""

_RAW_PHOTO = "a camera's raw photo"
_OTHER_PHOTOMETRICS = {
    Photometric.MASK: "a transparency mask",
    Photometric.ITULAB: "ITU Lab colours",
    Photometric.COLOUR_FILTER_ARRAY: _RAW_PHOTO,
    Photometric.LINEAR_RAW: _RAW_PHOTO,
    Photometric.LOG_L: "LogL luminance",
}


def describe(directory: Directory) -> Samples:
    """How the samples of `directory` are read. Raises UnsupportedFormatError for kinds that would come out wrong, or
    not at all; its words name the kind.
    """
    _check_compression(directory)
    photometric = _photometric(directory)
    colours, channels = _COLOURS[photometric], directory.integer(Tag.SAMPLES_PER_PIXEL, 1)
    if photometric is Photometric.SEPARATED and directory.integer(Tag.INK_SET, _CMYK) != _CMYK:
        raise _refused("inks other than cyan, magenta, yellow and black")
    if channels < colours:
        raise _refused(f"{channels} of the {colours} channels that its colours have")
    bits, numbers = _bits(directory), _numbers(directory)
    if channels > 1 and directory.integer(Tag.PLANAR_CONFIGURATION, 1) == _PLANES:
        _check_planes(directory, photometric, numbers, bits)
    extras = [int(each) for each in directory.tags.get(Tag.EXTRA_SAMPLES, ())][: channels - colours]
    alpha = next((each for each, kind in enumerate(extras) if kind in (_PREMULTIPLIED, _STRAIGHT)), None)
    if alpha is None and channels == colours + 1:
        alpha = 0  # of an unknown kind, or not named: as other programs take it
    premultiplied = alpha is not None and extras[alpha : alpha + 1] == [_PREMULTIPLIED]
    reading = _reading(directory, photometric, numbers, bits, channels)
    if premultiplied and (alpha or photometric in (Photometric.CIELAB, Photometric.ICCLAB)):
        raise _refused("Lab colours, or an alpha after other channels, multiplied by the alpha")
    return Samples(
        reading=reading,
        photometric=photometric,
        numbers=numbers,
        bits=bits,
        colours=colours,
        alpha=None if alpha is None else colours + alpha,
        premultiplied=premultiplied,
        has_tiles=bool(directory.tags.get(Tag.TILE_OFFSETS)),
    )


def _check_compression(directory: Directory) -> None:
    compression = directory.integer(Tag.COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        name = _OTHER_COMPRESSIONS.get(compression, f"method {compression}")
        raise UnsupportedFormatError(f"the TIFF file is compressed with {name}, which is not supported")


def _check_planes(directory: Directory, photometric: Photometric, numbers: Numbers, bits: int) -> None:
    if directory.tags.get(Tag.TILE_OFFSETS):
        raise _refused("tiles in separate planes")
    if photometric is Photometric.YCBCR or (numbers is Numbers.FLOAT and bits == 16):
        raise _refused(f"{'YCbCr' if photometric is Photometric.YCBCR else '16-bit floats'} in separate planes")


def _photometric(directory: Directory) -> Photometric:
    number = directory.integer(Tag.PHOTOMETRIC, -1)
    if number in _COLOURS:
        return Photometric(number)
    named = number in Photometric.__members__.values()
    raise _refused(_OTHER_PHOTOMETRICS[Photometric(number)] if named else f"colours of an unknown kind ({number})")


def _bits(directory: Directory) -> int:
    bits = {int(each) for each in directory.tags.get(Tag.BITS_PER_SAMPLE, ())} or {1}
    if len(bits) > 1:
        raise _refused("channels of different depths")
    return bits.pop()


def _numbers(directory: Directory) -> Numbers:
    kinds = {int(each) for each in directory.tags.get(Tag.SAMPLE_FORMAT, ())} or {Numbers.UNSIGNED}
    if len(kinds) > 1:
        raise _refused("channels of different kinds of numbers")
    kind = kinds.pop()
    if kind in (Numbers.COMPLEX_INTEGERS, Numbers.COMPLEX):
        raise _refused("complex numbers")
    # 0 is no kind, and written all the same.
    return Numbers(kind) if kind in (Numbers.SIGNED, Numbers.FLOAT) else Numbers.UNSIGNED


def _reading(directory: Directory, photometric: Photometric, numbers: Numbers, bits: int, channels: int) -> Reading:
    """Raises UnsupportedFormatError for what libvips does not read in the depth that the file has."""
    if photometric is Photometric.LOG_LUV:
        return Reading.AS_IT_IS  # its compression knows the depth
    reading = _READINGS[photometric].get((numbers, bits))
    if channels == 1 and reading is None:
        reading = _READINGS_OF_ONE_CHANNEL.get(photometric, {}).get((numbers, bits))
    if reading is None or (reading is Reading.YCBCR and channels > _COLOURS[photometric]):
        words = {Numbers.SIGNED: "signed ", Numbers.FLOAT: "floating-point "}.get(numbers, "")
        each = "1 channel" if channels == 1 else f"{channels} channels"
        raise _refused(f"{_NAMES[photometric]} in {each} of {bits}-bit {words}numbers")
    if reading is not Reading.YCBCR:
        return reading
    if directory.integer(Tag.COMPRESSION, 1) == _JPEG:
        return Reading.AS_IT_IS  # libjpeg converts
    # The default is 2, 2.
    whole = directory.tags.get(Tag.YCBCR_SUBSAMPLING, (2, 2))[:2] == (1, 1)
    return reading if whole else Reading.YCBCR_CONVERTED


_Readings = dict[tuple[Numbers, int], Reading]
"""By kind of numbers and bits."""

_PLAIN: _Readings = {(Numbers.UNSIGNED, 8): Reading.AS_IT_IS, (Numbers.UNSIGNED, 16): Reading.AS_IT_IS}
_ANY: _Readings = _PLAIN | {
    (Numbers.UNSIGNED, 32): Reading.RANGE,
    (Numbers.SIGNED, 8): Reading.RANGE,
    (Numbers.SIGNED, 16): Reading.RANGE,
    (Numbers.SIGNED, 32): Reading.RANGE,
    (Numbers.FLOAT, 16): Reading.RANGE,
    (Numbers.FLOAT, 32): Reading.RANGE,
}

_READINGS: dict[Photometric, _Readings] = {
    Photometric.WHITE_IS_ZERO: _ANY,
    Photometric.BLACK_IS_ZERO: _ANY,
    Photometric.RGB: _ANY,
    Photometric.PALETTE: {},
    Photometric.SEPARATED: _PLAIN,
    Photometric.YCBCR: {(Numbers.UNSIGNED, 8): Reading.YCBCR},
    # a* and b* are signed, whatever the file says of its numbers.
    Photometric.CIELAB: {
        (Numbers.UNSIGNED, 8): Reading.LAB_OF_8_BITS,
        (Numbers.SIGNED, 8): Reading.LAB_OF_8_BITS,
        (Numbers.UNSIGNED, 16): Reading.AS_IT_IS,
        (Numbers.SIGNED, 16): Reading.AS_IT_IS,
        (Numbers.FLOAT, 32): Reading.AS_IT_IS,
    },
    Photometric.ICCLAB: {(Numbers.UNSIGNED, 8): Reading.ICC_LAB, (Numbers.UNSIGNED, 16): Reading.ICC_LAB},
}

_FEW_BITS: _Readings = {(Numbers.UNSIGNED, bits): Reading.AS_IT_IS for bits in (1, 2, 4)}

_READINGS_OF_ONE_CHANNEL: dict[Photometric, _Readings] = {
    Photometric.WHITE_IS_ZERO: _FEW_BITS,
    Photometric.BLACK_IS_ZERO: _FEW_BITS,
    Photometric.PALETTE: _FEW_BITS | {(Numbers.UNSIGNED, 8): Reading.AS_IT_IS},
}

_NAMES = {
    Photometric.WHITE_IS_ZERO: "grey",
    Photometric.BLACK_IS_ZERO: "grey",
    Photometric.RGB: "RGB",
    Photometric.PALETTE: "a palette",
    Photometric.SEPARATED: "CMYK",
    Photometric.YCBCR: "YCbCr",
    Photometric.CIELAB: "Lab colours",
    Photometric.ICCLAB: "Lab colours",
}


def _refused(what: str) -> UnsupportedFormatError:
    return UnsupportedFormatError(f"the TIFF file holds {what}, which is not supported")


_WHITES: dict[tuple[Numbers, int], tuple[int, ...]] = {
    (Numbers.UNSIGNED, 32): (255, 65_535, 2**32 - 1),
    (Numbers.SIGNED, 8): (127,),
    (Numbers.SIGNED, 16): (255, 32_767),
    (Numbers.SIGNED, 32): (255, 65_535, 2**31 - 1),
    (Numbers.FLOAT, 16): (255, 65_535),
    (Numbers.FLOAT, 32): (255, 65_535),
}
"""What may be white, by kind of numbers and bits, besides 1 for floats."""

_LEVELS = 256

_RINGING = 0.1
"""How far below black floats may reach, as a share of white: resampling with a sharp kernel does that."""


def named_range(directory: Directory) -> tuple[float, float] | None:
    """Black and white where the file names its least and greatest sample (SMinSampleValue, SMaxSampleValue); those of
    floats within 0 to 1 are found in the samples, and the range is 0 to 1.
    """
    least, greatest = directory.tags.get(Tag.LEAST_SAMPLE, ()), directory.tags.get(Tag.GREATEST_SAMPLE, ())
    if not least or not greatest or not all(isfinite(each) for each in (*least, *greatest)):
        return None
    black, white = min(least), max(greatest)
    if black >= white:
        return None
    floats = directory.integer(Tag.SAMPLE_FORMAT, Numbers.UNSIGNED) == Numbers.FLOAT
    return (0, 1) if floats and black >= 0 and white <= 1 else (black, white)


def find_range(samples: Samples, *, least: float, greatest: float, share_above_1: float) -> tuple[float, float]:
    """Black and white of a picture whose file does not name them, from the `least` and the `greatest` of its colours'
    samples and, for floats, how many of those above 0 are above 1.

    Black is 0. White is 1 for floats, unless more than half are above 1; else, and for integers, the least of 255,
    65,535 (signed 16 bits: 32,767) and the greatest number of its kind that holds all samples. So a picture that was 8
    bits once comes out as it was, and highlights above 1 are cut off.

    Raises ImageError where this gives no picture: samples below 0, or so small that all of it were black.
    """
    if samples.numbers is Numbers.FLOAT and share_above_1 <= 0.5:
        white = 1.0
    else:
        white = next((float(each) for each in _WHITES[samples.numbers, samples.bits] if each >= greatest), 0.0)
    lowest = -_RINGING * white if samples.numbers is Numbers.FLOAT else 0
    if not white or least < lowest or 0 < greatest * _LEVELS < white:
        raise ImageError(
            f"the TIFF file's samples reach from {least:g} to {greatest:g}, and it does not say which of them is black "
            "and which white"
        )
    return 0.0, white


@dataclass(frozen=True, slots=True, kw_only=True)
class YcbcrMatrix:
    """RGB levels = `rows` times (`scales` times the samples, plus `offsets`)."""

    scales: list[float]
    offsets: list[float]
    rows: list[list[float]]


def ycbcr_matrix(directory: Directory) -> YcbcrMatrix:
    """From YCbCrCoefficients and ReferenceBlackWhite; by default those of Rec. 601 and the full range (TIFF 6.0,
    sections 20 and 21).
    """
    red, green, blue = 0.299, 0.587, 0.114
    named = directory.tags.get(Tag.YCBCR_COEFFICIENTS, ())
    if len(named) == 3 and all(0 < each < 1 for each in named):
        red, green, blue = named
    scales, offsets = [1.0, 1.0, 1.0], [0.0, -128.0, -128.0]
    reference = directory.tags.get(Tag.REFERENCE_BLACK_WHITE, ())
    pairs = list(zip(reference[::2], reference[1::2], strict=False))
    if len(pairs) == 3 and all(white > black for black, white in pairs):
        scales = [span / (white - black) for span, (black, white) in zip((255, 127, 127), pairs, strict=True)]
        offsets = [-black * scale for scale, (black, _) in zip(scales, pairs, strict=True)]
    from_red, from_blue = 2 - 2 * red, 2 - 2 * blue
    return YcbcrMatrix(
        scales=scales,
        offsets=offsets,
        rows=[
            [1, 0, from_red],
            [1, -blue * from_blue / green, -red * from_red / green],
            [1, from_blue, 0],
        ],
    )
