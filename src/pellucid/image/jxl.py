"""JPEG XL by way of `image.libjxl`: what a file's header says, and its pixels."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.errors import DamagedImageError, ImageError
from pellucid.image import libjxl, vips
from pellucid.image.header import Header

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pellucid.image.vips import VipsImage

_MOST_EXTRA_CHANNELS = 16
"""Besides colours and alpha; each takes 14 bytes a pixel to decode, and none of them is shown."""


_MOST_FRAMES = 10_000
"""That are counted: 0.1 ms for a hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JxlInfo:
    """What the header says. `width` and `height` are those of the upright picture; `bits` are those of a colour sample.
    `extra_channels` counts all but colours, alpha among them. `is_lossy` = colours are stored as XYB. `has_layers` =
    the first picture is put together from several frames. `profile` is the ICC profile of what is decoded, b"" for
    none.
    """

    width: int
    height: int
    bits: int
    is_grey: bool
    has_alpha: bool
    is_animated: bool
    is_lossy: bool
    extra_channels: int
    has_layers: bool
    profile: bytes = field(repr=False)

    @property
    def bands(self) -> int:
        """Of the pixels that come out."""
        return (1 if self.is_grey else 3) + self.has_alpha

    def needed_bytes(self, *, result_bytes: int, all_bits: bool = False) -> int:
        """What decoding takes at the peak, whatever size is wanted (libjxl decodes to no smaller size).

        A lossless file may take 32 bytes a pixel where it was written "responsive", 16 where it has a palette: its
        header does not tell, and the bound on the process is what stops it.
        """
        sample_bytes = 2 if all_bits else 1
        kept = 3 * sample_bytes
        if self.extra_channels or self.has_layers:
            kept = 23 + 14 * self.extra_channels + (20 if self.has_layers else 0)
        elif self.bits > 8 and not self.is_lossy:
            kept = 16
        return self.width * self.height * (self.bands * sample_bytes + kept) + result_bytes


def read_info(data: bytes) -> JxlInfo:
    """The header's words, 0.1 ms. Raises `DamagedImageError`, `UnsupportedFormatError` where libjxl is missing, and
    `ImageError` for what is not shown right.
    """
    with libjxl.decoder(data, libjxl.BASIC_INFO | libjxl.COLOURS | libjxl.FRAME) as (library, decoder):
        # Layers are told apart only when libjxl does not join them.
        library.JxlDecoderSetCoalescing(decoder, 0)
        if library.JxlDecoderProcessInput(decoder) != libjxl.BASIC_INFO:
            raise DamagedImageError("the JPEG XL file's header cannot be read: it is damaged or cut short")
        info = _basic_info(library, decoder)
        kinds = _extra_kinds(library, decoder, info)
        status, profile = library.JxlDecoderProcessInput(decoder), b""
        if status == libjxl.COLOURS:
            profile = _profile(library, decoder)
            status = library.JxlDecoderProcessInput(decoder)
        frame = libjxl.FrameHeader()
        known = (
            status == libjxl.FRAME and library.JxlDecoderGetFrameHeader(decoder, ctypes.byref(frame)) == libjxl.SUCCESS
        )
    if libjxl.BLACK in kinds:
        raise ImageError("the JPEG XL picture has the inks of a printer (CMYK), which is not supported")
    if info.extra_channels > _MOST_EXTRA_CHANNELS:
        raise ImageError(f"the JPEG XL picture has {info.extra_channels} extra channels, {_MOST_EXTRA_CHANNELS} may be")
    return JxlInfo(
        width=info.width,
        height=info.height,
        bits=info.bits,
        is_grey=info.colour_channels == 1,
        has_alpha=bool(info.alpha_bits),
        is_animated=bool(info.have_animation),
        is_lossy=not info.uses_original_profile,
        extra_channels=info.extra_channels,
        has_layers=bool(known and not frame.is_last and not frame.duration),
        profile=profile,
    )


def read_header(data: bytes) -> Header:
    """As `heif.read_header`. Raises what `read_info` raises."""
    info = read_info(data)
    return Header(
        width=info.width,
        height=info.height,
        has_alpha=info.has_alpha,
        pages=max(1, count_frames(data, most=_MOST_FRAMES)) if info.is_animated else 1,
        least_decode_bytes=info.needed_bytes(result_bytes=0),
    )


def count_frames(data: bytes, *, most: int) -> int:
    """How many frames an animation has, `most` for that many or more. No pixel is decoded."""
    with libjxl.decoder(data, libjxl.FRAME) as (library, decoder):
        count = 0
        while count < most and library.JxlDecoderProcessInput(decoder) == libjxl.FRAME:
            count += 1
        return count


def read_pixels(data: bytes, *, all_bits: bool = False, tolerant: bool = False) -> VipsImage:
    """The picture, or an animation's first frame: upright, grey or RGB, straight alpha, its ICC profile attached. 8
    bits a channel, or 16 if `all_bits` and the file has more than 8. What lies beyond black and white is cut off.

    Raises `DamagedImageError`; with `tolerant` only where there is no pixel, and else what is there on black.
    """
    info = read_info(data)
    deep = all_bits and info.bits > 8
    # Not empty: what is missing is to be black, not memory of before.
    pixels: NDArray[Any] = np.zeros((info.height, info.width, info.bands), np.uint16 if deep else np.uint8)
    with libjxl.decoder(data, libjxl.COLOURS | libjxl.FULL_IMAGE) as (library, decoder):
        library.JxlDecoderSetUnpremultiplyAlpha(decoder, 1)
        profile, sound = b"", False
        while True:
            status = library.JxlDecoderProcessInput(decoder)
            if status == libjxl.COLOURS:
                profile = _profile(library, decoder)
            elif status == libjxl.NEED_BUFFER:
                format_ = libjxl.PixelFormat(info.bands, libjxl.UINT16 if deep else libjxl.UINT8, 0, 0)
                to = pixels.ctypes.data_as(ctypes.c_void_p)
                library.JxlDecoderSetImageOutBuffer(decoder, ctypes.byref(format_), to, pixels.nbytes)
            else:
                sound = status == libjxl.FULL_IMAGE
                break
        if not sound and tolerant:
            library.JxlDecoderFlushImage(decoder)
    if not (sound or (tolerant and pixels.any())):
        raise DamagedImageError("the JPEG XL picture cannot be decoded: its file is damaged or cut short")
    image = vips.from_deep_array(pixels) if deep else vips.from_array(pixels)
    return vips.attach_icc(image, profile) if profile else image


def _basic_info(library: Any, decoder: int) -> libjxl.BasicInfo:  # noqa: ANN401 - a loaded library
    info = libjxl.BasicInfo()
    if library.JxlDecoderGetBasicInfo(decoder, ctypes.byref(info)) != libjxl.SUCCESS:
        raise DamagedImageError("the JPEG XL file's header cannot be read: it is damaged or cut short")
    return info


def _extra_kinds(library: Any, decoder: int, info: libjxl.BasicInfo) -> set[int]:  # noqa: ANN401
    kinds: set[int] = set()
    channel = libjxl.ExtraChannelInfo()
    for index in range(min(info.extra_channels, _MOST_EXTRA_CHANNELS)):
        if library.JxlDecoderGetExtraChannelInfo(decoder, index, ctypes.byref(channel)) == libjxl.SUCCESS:
            kinds.add(channel.kind)
    return kinds


def _profile(library: Any, decoder: int) -> bytes:  # noqa: ANN401
    size = ctypes.c_size_t()
    if library.JxlDecoderGetICCProfileSize(decoder, libjxl.OF_PIXELS, ctypes.byref(size)) != libjxl.SUCCESS:
        return b""
    profile = ctypes.create_string_buffer(size.value)
    failed = library.JxlDecoderGetColorAsICCProfile(decoder, libjxl.OF_PIXELS, profile, size.value) != libjxl.SUCCESS
    return b"" if failed else profile.raw
