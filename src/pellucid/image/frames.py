"""The frames of an animation, each at the size that is wanted.

GIF and WebP are put together by libvips, disposal, blending and partial frames included (12 files: the same as Pillow
makes of them, but for one level in one lossy file); AVIF sequences by the libavif in Pillow's wheel: libvips shows
their still picture only. A frame is decoded, scaled and cropped by itself, so that neighbours do not bleed into each
other, and only its result is kept.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import AvifImagePlugin

from pellucid.errors import DamagedImageError, ImageError
from pellucid.formats import ImageFormat
from pellucid.image import vips
from pellucid.image.timing import Timing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pellucid.image.box import Box
    from pellucid.image.vips import VipsImage

    Pixels = NDArray[np.uint8]

_VIPS_LOADERS = {ImageFormat.GIF: "gifload_buffer", ImageFormat.WEBP: "webpload_buffer"}


def read_frames(
    data: bytes, format_: ImageFormat, timing: Timing, *, width: int, height: int, crop: Box | None = None
) -> Iterator[Pixels]:
    """The frames at exactly `width` x `height`, or the region `crop` of that: (height, width, 3 or 4) uint8, sRGB,
    straight alpha. Colours are premultiplied while resampling. `timing` is what the file says (`image.timing`).

    A file that is damaged or ends early gives the frames before that. Raises `DamagedImageError` when there is none,
    and where the decoder finds other frames than `timing` says, by which they were allowed.
    """
    source = _avif_frames(data, timing) if format_ is ImageFormat.AVIF else _vips_frames(data, format_, timing)
    shown = 0
    try:
        for frame in itertools.islice(source, timing.frames):
            yield _scaled(frame, width=width, height=height, crop=crop)
            shown += 1
    except (MemoryError, ImageError, GeneratorExit):
        raise
    # libvips and Pillow raise whatever they trip over: everything but memory is the file's fault.
    except Exception as error:
        if not shown:
            raise DamagedImageError(
                f"the {format_.upper()} animation is damaged before its first frame ends"
            ) from error


def _scaled(frame: VipsImage, *, width: int, height: int, crop: Box | None) -> Pixels:
    image = vips.to_srgb_size(frame, width=width, height=height)
    if crop is not None:
        image = image.crop(crop.left, crop.top, crop.width, crop.height)
    return vips.to_array(image)


def _check_found(timing: Timing, *, width: float, height: float) -> None:
    if (width, height) != (timing.width, timing.height):
        raise DamagedImageError(
            f"the animation says two things of itself: frames of {timing.width} x {timing.height} pixels, and of "
            f"{width:g} x {height:g}"
        )


def _vips_frames(data: bytes, format_: ImageFormat, timing: Timing) -> Iterator[VipsImage]:
    opened = vips.load(_VIPS_LOADERS[format_], data, n=timing.frames, fail_on="truncated")
    _check_found(timing, width=opened.width, height=opened.height / timing.frames)
    profile = vips.icc_of(opened)
    image = opened if opened.bands >= 3 else opened.colourspace("srgb")
    for frame in vips.strips(image, timing.height):
        yield _with_profile(frame, profile)


def _avif_frames(data: bytes, timing: Timing) -> Iterator[VipsImage]:
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    with AvifImagePlugin.AvifImageFile(io.BytesIO(data)) as image:
        _check_found(timing, width=image.width, height=image.height)
        count: Any = getattr(image, "n_frames", 1)
        for number in range(min(count, timing.frames)):
            image.seek(number)
            yield _with_profile(np.asarray(image), image.info.get("icc_profile"))


def _with_profile(frame: Pixels, profile: bytes | None) -> VipsImage:
    image = vips.from_array(frame)
    return vips.attach_icc(image, profile) if profile else image
