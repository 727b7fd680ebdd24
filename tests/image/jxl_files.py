"""JPEG XL files, by the encoder in the library that reads them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.image import libjxl

HAS_LIBRARY = libjxl.find() is not None

_OUT_BYTES = 1 << 22
_TYPES = {"uint8": (2, 8, 0), "uint16": (3, 16, 0), "float32": (0, 32, 8)}
"""JxlDataType, bits, bits of the exponent."""


class _ColourEncoding(ctypes.Structure):
    """JxlColorEncoding."""

    _fields_ = (
        ("space", ctypes.c_int),
        ("white_point", ctypes.c_int),
        ("white", ctypes.c_double * 2),
        ("primaries", ctypes.c_int),
        ("red_green_blue", ctypes.c_double * 6),
        ("transfer", ctypes.c_int),
        ("gamma", ctypes.c_double),
        ("intent", ctypes.c_int),
    )


P3, SRGB_PRIMARIES = 11, 1
PQ, SRGB_CURVE, LINEAR = 16, 13, 8


def encode(
    pixels: NDArray[Any],
    *,
    lossless: bool = False,
    orientation: int = 1,
    primaries: int = SRGB_PRIMARIES,
    transfer: int = SRGB_CURVE,
    icc: bytes | None = None,
    container: bool = False,
    more_frames: Sequence[NDArray[Any]] = (),
    effort: int = 3,
) -> bytes:
    """A file of pixels (height, width, 1 to 4). With `more_frames` it is an animation of 10 frames a second."""
    library: Any = ctypes.CDLL(next(iter(libjxl.candidates())))
    library.JxlEncoderCreate.restype = ctypes.c_void_p
    library.JxlEncoderFrameSettingsCreate.restype = ctypes.c_void_p
    encoder = ctypes.c_void_p(library.JxlEncoderCreate(None))
    try:
        return _encoded(
            library, encoder, [pixels, *more_frames], lossless, orientation, primaries, transfer, icc, container, effort
        )
    finally:
        library.JxlEncoderDestroy(encoder)


def _encoded(
    library: Any,
    encoder: ctypes.c_void_p,
    frames: Sequence[NDArray[Any]],
    lossless: bool,
    orientation: int,
    primaries: int,
    transfer: int,
    icc: bytes | None,
    container: bool,
    effort: int,
) -> bytes:
    height, width, bands = frames[0].shape
    kind, bits, exponent_bits = _TYPES[frames[0].dtype.name]
    info = libjxl.BasicInfo()
    library.JxlEncoderInitBasicInfo(ctypes.byref(info))
    info.width, info.height, info.bits, info.exponent_bits = width, height, bits, exponent_bits
    info.orientation, info.uses_original_profile = orientation, int(lossless)
    info.colour_channels = 1 if bands < 3 else 3
    if bands in (2, 4):
        info.extra_channels, info.alpha_bits, info.alpha_exponent_bits = 1, bits, exponent_bits
    if len(frames) > 1:
        info.have_animation, info.ticks_numerator, info.ticks_denominator = 1, 10, 1
    library.JxlEncoderUseContainer(encoder, int(container))
    if bits > 8 and lossless:
        library.JxlEncoderSetCodestreamLevel(encoder, 10)
    assert library.JxlEncoderSetBasicInfo(encoder, ctypes.byref(info)) == 0
    if icc is not None:
        assert library.JxlEncoderSetICCProfile(encoder, icc, ctypes.c_size_t(len(icc))) == 0
    else:
        colours = _ColourEncoding()
        library.JxlColorEncodingSetToSRGB(ctypes.byref(colours), int(bands < 3))
        colours.primaries, colours.transfer = primaries, transfer
        assert library.JxlEncoderSetColorEncoding(encoder, ctypes.byref(colours)) == 0
    settings = ctypes.c_void_p(library.JxlEncoderFrameSettingsCreate(encoder, None))
    library.JxlEncoderFrameSettingsSetOption(settings, 0, ctypes.c_int64(effort))
    library.JxlEncoderSetFrameLossless(settings, int(lossless))
    if not lossless:
        library.JxlEncoderSetFrameDistance(settings, ctypes.c_float(0.5))
    for frame in frames:
        if len(frames) > 1:
            header = (ctypes.c_uint32 * 128)()
            library.JxlEncoderInitFrameHeader(header)
            header[0] = 1
            assert library.JxlEncoderSetFrameHeader(settings, header) == 0
        data = np.ascontiguousarray(frame).tobytes()
        layout = libjxl.PixelFormat(bands, kind, 0, 0)
        size = ctypes.c_size_t(len(data))
        assert library.JxlEncoderAddImageFrame(settings, ctypes.byref(layout), data, size) == 0
    library.JxlEncoderCloseInput(encoder)
    out = ctypes.create_string_buffer(_OUT_BYTES)
    at, left = ctypes.c_void_p(ctypes.addressof(out)), ctypes.c_size_t(_OUT_BYTES)
    assert library.JxlEncoderProcessOutput(encoder, ctypes.byref(at), ctypes.byref(left)) == 0
    return out.raw[: _OUT_BYTES - left.value]
