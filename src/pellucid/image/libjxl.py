"""libjxl by way of its C interface: the libvips wheel lacks it, and no Python package gives what is needed here.

The library is the one inside the wheel of `pylibjxl` (BSD-3-Clause, libjxl 0.11.2 linked in, its C functions exported);
its Python half is not imported. Where there is no such wheel (Linux on aarch64, musl), the system's libjxl is taken if
it is new enough: Debian 13 has 0.11. Called directly because the packages for it decode all frames of an animation
(`pyjpegxl`, which then shows the last one), give 8 bits and no profile (`pylibjxl`), decode on opening, before any
limit (`pillow-jxl-plugin`, which is under the GPL), or are 80 MB large (`imagecodecs`). None of them shows what is
there of a file that is cut short.

One thread decodes a file: no runner is given to libjxl.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from pellucid.errors import UnsupportedFormatError

MISSING = (
    "this is a JPEG XL picture, which is not supported by this installation: its extra jxl is missing; "
    "`pellucid doctor` says how to add it"
)

_OLDEST_VERSION, _BEYOND_VERSION = 9_000, 12_000
"""0.9.0 to 0.11: since then `JxlDecoderGetICCProfileSize` has no pixel format among its arguments; what comes after is
not known.
"""

_OF_SYSTEM = ("libjxl.so.0.11", "libjxl.so.0.10", "libjxl.so.0.9")

SUCCESS, NEED_BUFFER = 0, 5
BASIC_INFO, COLOURS, FRAME, FULL_IMAGE = 0x40, 0x100, 0x400, 0x1000
"""JxlDecoderStatus."""

UINT8, UINT16 = 2, 3
"""JxlDataType."""

OF_PIXELS = 1
"""JxlColorProfileTarget: the profile of what is decoded, not the one that the file was made from."""

BLACK = 4
"""JxlExtraChannelType."""


class BasicInfo(ctypes.Structure):
    """JxlBasicInfo of libjxl 0.9 to 0.11."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("have_container", "width", "height", "bits", "exponent_bits")),
        ("intensity_target", ctypes.c_float),
        ("min_nits", ctypes.c_float),
        ("relative_to_max_display", ctypes.c_uint32),
        ("linear_below", ctypes.c_float),
        *(
            (name, ctypes.c_uint32)
            for name in (
                *("uses_original_profile", "have_preview", "have_animation", "orientation", "colour_channels"),
                *("extra_channels", "alpha_bits", "alpha_exponent_bits", "alpha_premultiplied"),
                *("preview_width", "preview_height", "ticks_numerator", "ticks_denominator", "loops", "timecodes"),
                *("intrinsic_width", "intrinsic_height"),
            )
        ),
        ("padding", ctypes.c_uint8 * 100),
    )


class PixelFormat(ctypes.Structure):
    """JxlPixelFormat."""

    _fields_ = (
        ("channels", ctypes.c_uint32),
        ("data_type", ctypes.c_int),
        ("endianness", ctypes.c_int),
        ("align", ctypes.c_size_t),
    )


class ExtraChannelInfo(ctypes.Structure):
    """JxlExtraChannelInfo, of which the kind is read."""

    _fields_ = (("kind", ctypes.c_int), ("rest", ctypes.c_uint8 * 124))


class FrameHeader(ctypes.Structure):
    """JxlFrameHeader up to the layer's place."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("duration", "timecode", "name_length", "is_last")),
        ("layer", ctypes.c_uint8 * 128),
    )


def find() -> str | None:
    """The version of the library, None where there is none."""
    library = _library()
    if library is None:
        return None
    version: int = library.JxlDecoderVersion()
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"


@contextmanager
def decoder(data: bytes, events: int) -> Generator[tuple[Any, int]]:
    """libjxl, and a decoder that has the whole file. Raises UnsupportedFormatError where there is no libjxl."""
    library = _library()
    if library is None:
        raise UnsupportedFormatError(MISSING)
    made = library.JxlDecoderCreate(None)
    if not made:
        raise MemoryError
    try:
        library.JxlDecoderSubscribeEvents(made, events)
        library.JxlDecoderSetInput(made, data, len(data))
        library.JxlDecoderCloseInput(made)
        yield library, made
    finally:
        library.JxlDecoderDestroy(made)


def candidates() -> Iterator[str]:
    """Files that may be libjxl: the one in the package, then the system's."""
    package = importlib.util.find_spec("pylibjxl")
    for folder in (package and package.submodule_search_locations) or ():
        yield from map(str, sorted(Path(folder).glob("_pylibjxl*.so")))
    yield from _OF_SYSTEM


def _opened(path: str) -> Any:  # noqa: ANN401 - a loaded library
    """The library if it can be used, else None."""
    try:
        library = ctypes.CDLL(path)
        return library if _OLDEST_VERSION <= library.JxlDecoderVersion() < _BEYOND_VERSION else None
    except (OSError, AttributeError):
        return None  # not there, of another machine, or its functions are hidden


@lru_cache(maxsize=1)
def _library() -> Any:  # noqa: ANN401
    library = next((each for each in map(_opened, candidates()) if each is not None), None)
    if library is None:
        return None
    address, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    for name, arguments in {
        "JxlDecoderDestroy": (address,),
        "JxlDecoderSubscribeEvents": (address, number),
        "JxlDecoderSetInput": (address, ctypes.c_char_p, size),
        "JxlDecoderCloseInput": (address,),
        "JxlDecoderProcessInput": (address,),
        "JxlDecoderGetBasicInfo": (address, address),
        "JxlDecoderGetExtraChannelInfo": (address, size, address),
        "JxlDecoderGetFrameHeader": (address, address),
        "JxlDecoderSetCoalescing": (address, number),
        "JxlDecoderSetUnpremultiplyAlpha": (address, number),
        "JxlDecoderGetICCProfileSize": (address, number, address),
        "JxlDecoderGetColorAsICCProfile": (address, number, ctypes.c_char_p, size),
        "JxlDecoderSetImageOutBuffer": (address, address, address, size),
        "JxlDecoderFlushImage": (address,),
    }.items():
        getattr(library, name).argtypes = arguments
    library.JxlDecoderCreate.argtypes, library.JxlDecoderCreate.restype = (address,), address
    return library
