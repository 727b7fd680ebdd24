"""Writing animations: frames of one size as WebP or GIF."""

from __future__ import annotations

import io
import itertools
import math
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from PIL import GifImagePlugin, Image

from pellucid.image import vips
from pellucid.image.timing import Timing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


def save_webp(roll: Iterable[Pixels], timing: Timing, *, quality: int, effort: int = 2) -> bytes:
    """Frames of one size, as many as `timing` has or fewer, as an animated WebP file. Frames that equal the one before
    are joined by libwebp, which also writes only what changed. At 320 x 240: 1 to 5 ms a frame at effort 2.
    """
    return vips.save_webp_roll(
        list(roll), delays_ms=timing.delays_ms, plays=timing.plays, quality=quality, effort=effort
    )


_COLOURS = 255
"""Of a GIF's palette; index 255 is left for what is transparent, or stays as it was."""

_HALF = 128
"""The alpha from which on a pixel is opaque in a GIF."""

_NEAR = 8
"""Levels by which a pixel may differ from what is shown and stays: the noise of a lossy file would be written anew with
each frame, ten times as many bytes.
"""

_SAMPLED_FRAMES, _SAMPLED_PIXELS, _SAMPLE_WIDTH = 8, 100_000, 256

_LEAVE, _CLEAR = 1, 2
"""What becomes of a frame when the next one comes (GIF89a, section 23)."""


def save_gif(roll: Iterable[Pixels], timing: Timing) -> bytes:
    """Frames of one size as an animated GIF: one palette for all of them, no dithering, of each frame what changed.
    Pixels of an alpha below one half are transparent.

    Pillow compresses: 3 to 4 ms a frame of 320 x 240 and 20 for the palette, where libvips, which makes a palette for
    each frame, takes 20 to 26. Where the scene changes much the colours are worse for that: 72 points of SSIMULACRA2
    instead of 84.
    """
    pictures = list(roll)
    palette = _palette(pictures)
    frames_ = [_indices(each, palette) for each in pictures]
    # A pixel that turns transparent cannot be written over the frame before: that has to be cleared.
    leaves = not any(
        bool(((before != _COLOURS) & (after == _COLOURS)).any()) for before, after in itertools.pairwise(frames_)
    )
    height, width = frames_[0].shape
    colours = bytes((palette.getpalette() or [])[: 3 * _COLOURS]).ljust(3 * 256, b"\0")
    parts = [struct.pack("<6sHHBBB", b"GIF89a", width, height, 0xF7, 0, 0), colours]
    if timing.plays != 1:
        parts += [b"!\xff\x0bNETSCAPE2.0\3\1", struct.pack("<H", max(0, timing.plays - 1)), b"\0"]
    shown, kept = pictures[0], frames_[0]
    for number, (delay_ms, indices) in enumerate(zip(timing.delays_ms, frames_, strict=False)):
        part, left, top = indices, 0, 0
        if leaves and number:
            stays = _is_near(pictures[number], shown)
            shown = np.where(stays[..., None], shown, pictures[number])
            changed = ~stays & (indices != kept)
            kept = np.where(changed, indices, kept)
            part, left, top = _cut(np.where(changed, indices, _COLOURS).astype(np.uint8), changed)
        disposal = _LEAVE if leaves else _CLEAR
        parts.append(struct.pack("<3sBHBB", b"!\xf9\4", disposal << 2 | 1, round(delay_ms / 10), _COLOURS, 0))
        picture = Image.frombytes("P", (part.shape[1], part.shape[0]), part.tobytes())
        parts += GifImagePlugin.getdata(picture, (left, top))
    return b"".join((*parts, b";"))


def _indices(frame: Pixels, palette: Image.Image) -> Pixels:
    """(height, width): the colour of each pixel, `_COLOURS` where it is transparent."""
    picture = Image.fromarray(np.ascontiguousarray(frame[..., :3]))
    indices = np.array(picture.quantize(palette=palette, dither=Image.Dither.NONE))
    if frame.shape[2] == 4:
        indices[frame[..., 3] < _HALF] = _COLOURS
    return indices


def _cut(part: Pixels, changed: NDArray[np.bool_]) -> tuple[Pixels, int, int]:
    """The smallest rectangle that holds what changed, one pixel where nothing did; its left and its top."""
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows):
        return part[:1, :1], 0, 0
    top, left = int(rows[0]), int(columns[0])
    return part[top : rows[-1] + 1, left : columns[-1] + 1], left, top


def _is_near(frame: Pixels, shown: Pixels) -> NDArray[np.bool_]:
    """(height, width): where the difference is not seen, and transparent pixels stay so."""
    higher = np.maximum(frame[..., :3], shown[..., :3])
    near = (higher - np.minimum(frame[..., :3], shown[..., :3])).max(axis=2) <= _NEAR
    if frame.shape[2] == 4:
        near &= (frame[..., 3] < _HALF) == (shown[..., 3] < _HALF)
    return near


def _palette(pictures: list[Pixels]) -> Image.Image:
    """The colours of a few frames spread over the animation, without those of transparent pixels: libimagequant's,
    which libvips has for its PNGs; 5 to 10 points of SSIMULACRA2 above Pillow's octree in a still picture.
    """
    step = max(1, len(pictures) // _SAMPLED_FRAMES)
    sampled = pictures[::step][:_SAMPLED_FRAMES]
    thin = max(1, math.isqrt(sum(each.shape[0] * each.shape[1] for each in sampled) // _SAMPLED_PIXELS))
    parts = [_opaque(each[::thin, ::thin]) for each in sampled]
    colours = np.concatenate((*parts, np.zeros((1, 3), np.uint8)))
    square = np.resize(colours, (-(-len(colours) // _SAMPLE_WIDTH), _SAMPLE_WIDTH, 3))
    file = vips.from_array(square).pngsave_buffer(
        palette=True, bitdepth=8, effort=1, dither=0, compression=1, keep="none"
    )
    with Image.open(io.BytesIO(file)) as picture:
        used = np.bincount(np.asarray(picture).ravel(), minlength=256)
        table = np.array(picture.getpalette() or [], np.uint8).reshape(-1, 3)
    # The one that is used least makes room for what is transparent.
    kept = np.sort(np.argsort(-used[: len(table)], kind="stable")[:_COLOURS])
    filled = np.resize(table[kept], (256, 3))
    palette = Image.new("P", (1, 1))
    palette.putpalette(filled.ravel().tolist())
    return palette


def _opaque(frame: Pixels) -> Pixels:
    """(n, 3): the colours of its pixels that are not transparent."""
    return frame.reshape(-1, 3) if frame.shape[2] == 3 else frame[frame[..., 3] >= _HALF][:, :3]
