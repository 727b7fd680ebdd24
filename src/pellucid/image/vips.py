"""The typed face of pyvips: the one module that touches it, since it carries no type hints.

`VipsImage` lists what Pellucid uses of `pyvips.Image`; a real `pyvips.Image` passes through unchanged. Images are lazy:
nothing is computed before `copy_memory`, `numpy` or a `*save_buffer`.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np
import pyvips as _untyped

from pellucid.errors import PellucidError
from pellucid.image.areas import shrink_levels
from pellucid.image.box import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

_vips: Any = _untyped

FailOn = Literal["none", "truncated", "error", "warning"]
"""From which severity on a loader gives up; `truncated` stops at a file that ends early, `none` shows what is there."""


Option = str | int | float | None
"""A keyword of a libvips operation."""


class VipsImage(Protocol):
    """What is used of `pyvips.Image`."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def bands(self) -> int: ...
    @property
    def format(self) -> str: ...
    @property
    def interpretation(self) -> str: ...

    def __getitem__(self, band: int) -> VipsImage: ...
    def __add__(self, other: VipsImage) -> VipsImage: ...
    def __mul__(self, other: VipsImage | float) -> VipsImage: ...
    def __pow__(self, exponent: float) -> VipsImage: ...
    def hasalpha(self) -> bool: ...
    def get_typeof(self, name: str) -> int: ...
    def get(self, name: str) -> object: ...
    def copy(self, *, interpretation: str) -> VipsImage: ...
    def copy_memory(self) -> VipsImage: ...
    def embed(
        self, x: int, y: int, width: int, height: int, *, extend: str, background: Sequence[float] = ...
    ) -> VipsImage: ...
    def fliphor(self) -> VipsImage: ...
    def flipver(self) -> VipsImage: ...
    def rot(self, angle: str) -> VipsImage: ...
    def addalpha(self) -> VipsImage: ...
    def gaussblur(self, sigma: float, *, precision: str) -> VipsImage: ...
    def crop(self, left: int, top: int, width: int, height: int) -> VipsImage: ...
    def resize(self, scale: float, *, vscale: float, kernel: str) -> VipsImage: ...
    def thumbnail_image(self, width: int, *, height: int, size: str, **options: Option) -> VipsImage: ...
    def colourspace(self, space: str) -> VipsImage: ...
    def extract_band(self, band: int, *, n: int) -> VipsImage: ...
    def bandjoin(self, other: VipsImage | Sequence[VipsImage]) -> VipsImage: ...
    def bandrank(self, others: Sequence[VipsImage], *, index: int) -> VipsImage: ...
    def flatten(self, *, background: Sequence[float]) -> VipsImage: ...
    def premultiply(self) -> VipsImage: ...
    def unpremultiply(self, *, max_alpha: float = ...) -> VipsImage: ...
    def linear(self, a: float | Sequence[float], b: float | Sequence[float]) -> VipsImage: ...
    def clamp(self, *, min: float, max: float) -> VipsImage: ...  # noqa: A002 - libvips' words
    def maplut(self, lut: VipsImage) -> VipsImage: ...
    def recomb(self, matrix: VipsImage) -> VipsImage: ...
    def remainder_const(self, c: Sequence[float]) -> VipsImage: ...
    def autorot(self) -> VipsImage: ...
    def cast(self, band_format: str, /) -> VipsImage: ...
    def affine(self, matrix: Sequence[float], **options: Any) -> VipsImage: ...  # noqa: ANN401 - lists, objects, numbers
    def shrink(self, hshrink: float, vshrink: float, *, ceil: bool) -> VipsImage: ...
    def min(self) -> float: ...
    def max(self) -> float: ...
    def numpy(self) -> NDArray[Any]: ...
    def jpegsave_buffer(self, **options: Option) -> bytes: ...
    def pngsave_buffer(self, **options: Option) -> bytes: ...
    def webpsave_buffer(self, **options: Option) -> bytes: ...
    def heifsave_buffer(self, **options: Option) -> bytes: ...
    def gifsave_buffer(self, **options: Option) -> bytes: ...


VipsError = cast("type[Exception]", _vips.Error)
"""Raised by every libvips operation that fails."""


def harden() -> None:
    """Make this process fit for hostile bytes: call once, before the first picture.

    Loaders that libvips calls untrusted are blocked, except librsvg's: it fetches nothing without a base address and
    keeps its own limits. One thread per process (the pool has as many processes as cores) and no operation cache:
    every picture is another one.
    """
    _vips.block_untrusted_set(True)
    _vips.operation_block_set("VipsForeignLoadSvg", False)
    _vips.cache_set_max(0)
    _vips.concurrency_set(1)
    # Decoders grumble about every oddity of every file; what matters comes as an error. The binding's own log handler
    # also fails on text that is not UTF-8, which hostile files put into it, and prints a traceback each time.
    if _vips.API_mode:
        _vips.ffi.def_extern(name="_log_handler_callback")(_ignore_log)
    else:
        logging.getLogger("pyvips").setLevel(logging.ERROR)


def _ignore_log(*_: object) -> None:
    pass


@contextmanager
def failing_as(error_class: type[PellucidError], message: str) -> Generator[None]:
    """Turn a libvips failure inside the block into `error_class(message)`; the loader's words stay in the cause."""
    try:
        yield
    except VipsError as error:
        raise error_class(message) from error
    except UnicodeDecodeError as error:
        # libvips quoted bytes of the file; the binding stumbled over them before it could raise its own error and
        # before it emptied the buffer, which would then spoil every later message.
        _vips.vips_lib.vips_error_clear()
        raise error_class(message) from error


_WORDS = threading.Lock()
"""libvips has one buffer for the words of all operations of a process."""


@contextmanager
def listening() -> Generator[Callable[[], str]]:
    """What decoders say inside the block without failing, by the function that is given; one thread at a time.

    Some of it may be missing where other threads use libvips meanwhile, as in the library and in `pellucid cut`:
    operations of theirs empty the buffer. Render processes and matte workers have one thread that does.
    """
    with _WORDS:
        _vips.vips_lib.vips_error_clear()
        yield lambda: _vips.ffi.string(_vips.vips_lib.vips_error_buffer()).decode("utf-8", "replace")
        _vips.vips_lib.vips_error_clear()


def load(loader: str, data: bytes, **options: Option) -> VipsImage:
    """Open `data` with exactly that libvips loader (`jpegload_buffer`); nothing is guessed, pixels come on demand.

    Raises `VipsError` when the header cannot be read.
    """
    return cast("VipsImage", _vips.Operation.call(loader, data, access="sequential", **options))


def from_array(pixels: NDArray[np.uint8]) -> VipsImage:
    """Wrap a (height, width) or (height, width, bands) uint8 array without copying it; sRGB or grey by its bands."""
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    image = cast("VipsImage", _vips.Image.new_from_memory(pixels, width, height, bands, "uchar"))
    return image.copy(interpretation={1: "b-w", 2: "b-w", 3: "srgb", 4: "srgb"}.get(bands, "multiband"))


def from_deep_array(pixels: NDArray[np.uint16]) -> VipsImage:
    """As `from_array`, with 16 bits a channel."""
    pixels = np.ascontiguousarray(pixels)
    height, width, bands = pixels.shape
    image = cast("VipsImage", _vips.Image.new_from_memory(pixels, width, height, bands, "ushort"))
    return image.copy(interpretation="grey16" if bands < 3 else "rgb16")


def from_float_array(values: NDArray[np.float32]) -> VipsImage:
    """Wrap a (height, width) float32 array without copying it."""
    values = np.ascontiguousarray(values)
    height, width = values.shape
    return cast("VipsImage", _vips.Image.new_from_memory(values, width, height, 1, "float")).copy(interpretation="b-w")


def uniform(width: int, height: int, channels: tuple[int, ...]) -> VipsImage:
    """A picture of one colour: sRGB levels, with a fourth channel straight alpha."""
    pixel = from_array(np.array([[channels]], np.uint8))
    return pixel.embed(0, 0, width, height, extend="copy")


def to_array(image: VipsImage) -> NDArray[np.uint8]:
    """The pixels of a uchar image: (height, width, bands) uint8, also with one band."""
    return np.asarray(image.numpy(), dtype=np.uint8).reshape(image.height, image.width, image.bands)


def reduced(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Area means of blocks of `factor` x `factor` pixels (height, width, bands), of which those at the right and at the
    bottom may be partial; the same array for 1.
    """
    return pixels if factor == 1 else to_array(from_array(pixels).shrink(factor, factor, ceil=True))


def strips(image: VipsImage, rows: int) -> Iterator[NDArray[np.uint8]]:
    """The pixels of a uchar image from top to bottom: arrays of (`rows` or fewer, width, bands) uint8, each its own."""
    # Without a thread pool, which costs 0.2 ms each time.
    region = _vips.Region.new(image)
    for top in range(0, image.height, rows):
        count = min(rows, image.height - top)
        taken = np.frombuffer(region.fetch(0, top, image.width, count), dtype=np.uint8)
        yield taken.reshape(count, image.width, image.bands)


def to_float_array(image: VipsImage) -> NDArray[np.float32]:
    """The pixels of a float image of one band: (height, width) float32."""
    return np.asarray(image.numpy(), dtype=np.float32).reshape(image.height, image.width)


def label_regions(levels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Numbers from 0 for the connected regions of equal value in a (height, width) array: (height, width)."""
    labelled: Any = from_array(levels[..., None])
    return np.asarray(labelled.labelregions().numpy(), dtype=np.intp).reshape(levels.shape)


def save_webp_roll(
    frames: list[NDArray[np.uint8]], *, delays_ms: Sequence[int], plays: int, quality: int, effort: int
) -> bytes:
    """An animated WebP file of frames of one size, (height, width, 3 or 4) uint8. `plays` = how often it is shown, 0
    for ever; `quality` is 1..100. The list is emptied: both it and the roll would be twice the frames.
    """
    count = len(frames)
    height = frames[0].shape[0]
    tall = np.concatenate(frames)
    frames.clear()
    roll: Any = cast("Any", from_array(tall)).copy()
    roll.set_type(_vips.GValue.gint_type, "page-height", height)
    roll.set_type(_vips.GValue.array_int_type, "delay", list(delays_ms[:count]))
    roll.set_type(_vips.GValue.gint_type, "loop", plays)
    return bytes(roll.webpsave_buffer(Q=quality, effort=effort, keep="none"))


def lookup_table(table: NDArray[np.uint8] | NDArray[np.float32]) -> VipsImage:
    """For `maplut`: what becomes of 0, 1, 2, ... Either (n,) for all bands alike, or (n, bands)."""
    values = np.ascontiguousarray(table)
    count, bands = values.shape[0], values.size // values.shape[0]
    band_format = "uchar" if values.dtype == np.uint8 else "float"
    return cast("VipsImage", _vips.Image.new_from_memory(values, count, 1, bands, band_format))


def matrix(rows: NDArray[np.float64] | Sequence[Sequence[float]]) -> VipsImage:
    """For `recomb`: each row makes a band."""
    return cast("VipsImage", _vips.Image.new_from_array(np.asarray(rows, np.float64).tolist()))


_ICC = "icc-profile-data"


def icc_of(image: VipsImage) -> bytes | None:
    """The ICC profile that `image` carries."""
    profile = image.get(_ICC) if image.get_typeof(_ICC) else None
    return profile if isinstance(profile, bytes) and profile else None


def measure_range(image: VipsImage) -> tuple[float, float]:
    """The least and the greatest of all samples, in one pass over the picture; NaN counts as 0."""
    of_all: Any = cast("Any", _without_nan(image, 0)).stats()
    # One row for all bands, then one for each: minimum, maximum, ...
    least, greatest = np.asarray(of_all.numpy(), dtype=np.float64).ravel()[:2]
    return float(least), float(greatest)


def measure_share(image: VipsImage, *, above: float, of_those_above: float) -> float:
    """How many of the samples above `of_those_above` are above `above` as well, 0 to 1, in one pass over the picture;
    0 where there are none.
    """
    numbers: Any = image
    of_both: Any = (numbers > above).bandjoin(numbers > of_those_above).stats()
    sums = np.asarray(of_both.numpy(), dtype=np.float64).reshape(2 * image.bands + 1, -1)[1:, 2]
    counted, all_ = sums.reshape(2, image.bands).sum(axis=1)
    return float(counted / all_) if all_ else 0.0


def to_16_bits(image: VipsImage, *, black: float, white: float, colours: int) -> VipsImage:
    """Numbers of any kind as 16-bit grey or RGB: `black` becomes 0 and `white` 65,535, what lies beyond is cut off, NaN
    is black. Bands after the first `colours` reach from 0 to the greater of the two.
    """
    scale, rest = 65_535 / (white - black), image.bands - colours
    scales = [scale] * colours + [65_535 / max(black, white)] * rest
    # 0.5: a cast cuts off.
    offsets = [0.5 - black * scale] * colours + [0.5] * rest
    deep = _without_nan(image, black).linear(scales, offsets).cast("ushort")
    return deep.copy(interpretation="rgb16" if colours == 3 else "grey16")


def to_8_bits(image: VipsImage) -> VipsImage:
    """A 16-bit image, rounded to 8; its interpretation stays."""
    return image.linear(1 / 257, 0.5).cast("uchar").copy(interpretation=image.interpretation)


def _without_nan(image: VipsImage, instead: float) -> VipsImage:
    if image.format not in ("float", "double"):
        return image
    numbers: Any = image
    return cast("VipsImage", (numbers == numbers).ifthenelse(numbers, instead))  # noqa: PLR0124 - NaN equals nothing


def attach_icc(image: VipsImage, profile: bytes | None) -> VipsImage:
    """A copy of `image` that carries `profile`, or none."""
    tagged: Any = image.copy(interpretation=image.interpretation)
    if profile is None:
        tagged.remove(_ICC)
    else:
        tagged.set_type(_vips.GValue.blob_type, _ICC, profile)
    return cast("VipsImage", tagged)


def transparent_outside(image: VipsImage, box: Box) -> VipsImage:
    """An opaque 8-bit image with an alpha: 255 inside `box`, 0 elsewhere."""
    inside = from_array(np.full((box.height, box.width), 255, np.uint8))
    return image.bandjoin(inside.embed(box.left, box.top, image.width, image.height, extend="black"))


def to_srgb_size(image: VipsImage, *, width: int, height: int) -> VipsImage:
    """Upright, sRGB or grey, 8 bits, exactly `width` x `height`; at its own size a picture is not resampled.

    libvips premultiplies while resampling and keeps straight alpha outside.
    """
    # Without an embedded profile the plain conversion is right and costs nothing; asking for a profile then runs a
    # colour transform from sRGB to sRGB: 4.0 instead of 1.2 ms at 128 x 128.
    options = {"output_profile": "srgb"} if image.get_typeof(_ICC) else {}
    return image.thumbnail_image(width, height=height, size="force", **options)


def to_size(image: VipsImage, *, width: int, height: int) -> VipsImage:
    """The samples as they are stored, uchar or ushort, resampled for a picture that has `width` x `height` once it is
    `upright`; at its own size it is not resampled. Straight alpha, premultiplied while resampling.
    """
    if _orientation(image) >= 5:
        width, height = height, width
    if (image.width, image.height) == (width, height):
        return image
    if image.bands not in (2, 4):
        return resize_exactly(image, width=width, height=height, kernel="lanczos3")
    # Not in floats, of which 2000 lines are kept.
    premultiplied = image.premultiply().linear(1, 0.5).cast(image.format)
    return unpremultiplied(resize_exactly(premultiplied, width=width, height=height, kernel="lanczos3"))


def unpremultiplied(image: VipsImage) -> VipsImage:
    """`image` (uchar or ushort) with straight alpha, of which its colours were multiples."""
    # Rounded: a cast drops the fraction.
    return image.unpremultiply().linear(1, 0.5).cast(image.format)


def upright(image: VipsImage) -> VipsImage:
    """`image` turned as its orientation says."""
    # A picture that comes line by line cannot be turned.
    return image.copy_memory().autorot() if 2 <= _orientation(image) <= 8 else image


def _orientation(image: VipsImage) -> int:
    value = image.get("orientation") if image.get_typeof("orientation") else 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def resize_exactly(image: VipsImage, *, width: int, height: int, kernel: str) -> VipsImage:
    """Resample to exactly `width` x `height`; a picture of that size already is returned as it is.

    When it enlarges, libvips moves the result half a pixel to the right and down, here and in `to_srgb_size` alike.
    """
    if (image.width, image.height) == (width, height):
        return image
    return image.resize(width / image.width, vscale=height / image.height, kernel=kernel)


def enlarge_in_place(image: VipsImage, *, width: int, height: int, interpolator: str = "bicubic") -> VipsImage:
    """Enlarge to exactly `width` x `height`, without the half pixel that `resize` moves by."""
    across, down = width / image.width, height / image.height
    return image.affine(
        [across, 0, 0, down],
        interpolate=_vips.Interpolate.new(interpolator),
        oarea=[0, 0, width, height],
        idx=0.5,
        idy=0.5,
        odx=-0.5,
        ody=-0.5,
        extend="copy",
    )


def with_alpha_band(image: VipsImage) -> VipsImage:
    """An 8-bit image with an alpha: its own, or an opaque one."""
    return image if image.hasalpha() else image.addalpha()


def over(image: VipsImage, ground: VipsImage) -> VipsImage:
    """An 8-bit sRGB image with straight alpha over an opaque one of its size: 3 bands. In sRGB values, as a flat colour
    is composed.
    """
    both: Any = ground
    # libvips' composite would convert to linear light and back for other spaces; the mode "over" keeps values.
    composed = both.composite2(image, "over", compositing_space="srgb")
    return cast("VipsImage", composed.extract_band(0, n=3).cast("uchar"))


def rotated(image: VipsImage, *, radians: float, size: tuple[int, int]) -> VipsImage:
    """An 8-bit image with straight alpha, rotated counter-clockwise around its middle on a transparent ground of `size`
    (width, height). Bicubic; premultiplied meanwhile, so that edges bleed no colour.
    """
    cos, sin = math.cos(radians), math.sin(radians)
    width, height = size
    turned = image.premultiply().affine(
        [cos, sin, -sin, cos],
        interpolate=_vips.Interpolate.new("bicubic"),
        oarea=[0, 0, width, height],
        idx=0.5 - image.width / 2,
        idy=0.5 - image.height / 2,
        odx=width / 2 - 0.5,
        ody=height / 2 - 0.5,
        extend="background",
        background=[0, 0, 0, 0],
    )
    return turned.unpremultiply().linear(1, 0.5).cast("uchar").copy(interpretation="srgb")


def resample_in_place(image: VipsImage, *, width: int, height: int, kernel: str) -> VipsImage:
    """To exactly `width` x `height`, which may be smaller one way and larger the other: reduced by `kernel`,
    enlarged by the cubic one, nothing moved.
    """
    reduced = resize_exactly(image, width=min(width, image.width), height=min(height, image.height), kernel=kernel)
    if (reduced.width, reduced.height) == (width, height):
        return reduced
    return enlarge_in_place(reduced, width=width, height=height)


def shrink_by_areas(
    levels: VipsImage, *, width: int, height: int, extent: tuple[float, float] | None = None, means: bool = False
) -> NDArray[np.uint8]:
    """A uchar image of one band shrunk to (`height`, `width`): area means; arguments as for `areas.shrink_levels`.

    libvips' own kernels are wider or narrower than a pixel, its `shrink` knows whole factors only.
    """
    across, down = extent or (levels.width, levels.height)
    factors = max(1, int(across / (4 * width))), max(1, int(down / (4 * height)))
    if max(factors) > 1:
        # Most of the work in libvips; what is left is a factor of 4 to 8.
        levels = levels.shrink(*factors, ceil=True)
        across, down, means = across / factors[0], down / factors[1], True
    return shrink_levels(to_array(levels)[..., 0], width=width, height=height, extent=(across, down), means=means)
