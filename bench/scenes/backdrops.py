"""Backgrounds of the synthetic scenes: (height, width, 3) float32 sRGB levels, all from a numpy `Generator`."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pellucid.demo.samples import SAMPLES, SAMPLES_FOLDER
from pellucid.errors import SettingsError
from pellucid.image.decode import decode_scaled
from pellucid.image.probe import probe
from pellucid.image.vips import to_array
from scenes.shapes import Frame, box, disc
from scenes.textures import FloatArray, Size, fractal, hsv, noise, ramp

_FAR = 140.0
"""Levels between the mean colours of subject and background, as a Euclidean distance, from which on a halo is loud."""

_ALIKE = 0.12
"""Share of scenes whose background may have any colour, the subject's own included."""

_TRIES = 40
_MAX_PIXELS = 100_000_000


def contrast_colour(rng: np.random.Generator, subject: FloatArray) -> FloatArray:
    """A saturated colour well away from `subject` (3 levels), in most draws; the farthest tried if none is."""
    away = 0.0 if rng.uniform() < _ALIKE else _FAR
    best, best_distance = subject, -1.0
    hue, _, _ = colorsys.rgb_to_hsv(*(float(level) / 255 for level in subject))
    for _ in range(_TRIES):
        turn = rng.uniform(0, 1) if away == 0 else rng.uniform(0.25, 0.75)
        colour = hsv(hue + turn, rng.uniform(0.65, 1.0), rng.uniform(0.25, 1.0))
        distance = float(np.linalg.norm(colour - subject))
        if distance >= away:
            return colour
        if distance > best_distance:
            best, best_distance = colour, distance
    return best


def flat(rng: np.random.Generator, size: Size, subject: FloatArray) -> FloatArray:
    """One saturated colour."""
    return np.broadcast_to(contrast_colour(rng, subject), (size[1], size[0], 3)).astype(np.float32)


def gradient(rng: np.random.Generator, size: Size, subject: FloatArray) -> FloatArray:
    """Two colours that pass into each other along a line or around a point, as a studio's backdrop does."""
    frame = Frame(size)
    first = contrast_colour(rng, subject)
    second = contrast_colour(rng, subject) if rng.uniform() < 0.5 else first * np.float32(rng.uniform(0.25, 0.5))
    if rng.uniform() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        t = 0.5 + np.float32(np.cos(angle)) * (frame.x - frame.right / 2) + np.float32(np.sin(angle)) * (frame.y - 0.5)
    else:
        t = np.hypot(frame.x - frame.right * rng.uniform(0.3, 0.7), frame.y - rng.uniform(0.2, 0.6)) / np.float32(0.9)
    return ramp(np.stack((first, second)), t.astype(np.float32))


def rough(rng: np.random.Generator, size: Size, subject: FloatArray) -> FloatArray:
    """Noise at six scales between three colours: wall, cloth, gravel."""
    main = contrast_colour(rng, subject)
    colours = np.stack((main * np.float32(0.45), main, contrast_colour(rng, subject)))
    t = 0.42 + 0.17 * fractal(rng, size, rng.uniform(0.08, 0.3), octaves=6, gain=rng.uniform(0.6, 0.85))
    return ramp(colours, t.astype(np.float32))


def scenic(rng: np.random.Generator, size: Size, subject: FloatArray) -> FloatArray:
    """What a photo has behind its subject: soft light and lamps, straight edges, foliage-like detail, grain."""
    frame = Frame(size)
    main = contrast_colour(rng, subject)
    colours = np.stack((main * np.float32(0.25), main, contrast_colour(rng, subject), hsv(rng.uniform(), 0.15, 0.95)))
    picture = ramp(colours, (0.4 + 0.2 * fractal(rng, size, 0.45, octaves=3)).astype(np.float32))
    for _ in range(int(rng.integers(2, 6))):
        # Door frames, shelves, the horizon: hard edges and soft ones.
        shape = box(frame, (rng.uniform(0, frame.right), rng.uniform(0, 1)), rng.uniform(0.02, 0.4, 2), corner=0)
        soft = rng.uniform(0.001, 0.02)
        cover = np.clip(0.5 - shape / np.float32(soft), 0, 1) * np.float32(rng.uniform(0.4, 1.0))
        picture = _lay(picture, ramp(colours, np.float32(rng.uniform()) + 0.05 * (frame.y - 0.5)), cover)
    for _ in range(int(rng.integers(8, 25))):
        # Lamps out of focus.
        radius = rng.uniform(0.01, 0.07)
        shape = disc(frame, (rng.uniform(0, frame.right), rng.uniform(0, 0.8)), radius)
        cover = np.clip(0.5 - shape / np.float32(0.004), 0, 1) * np.float32(rng.uniform(0.15, 0.7))
        picture = _lay(picture, hsv(rng.uniform(), rng.uniform(0.1, 0.9), 1.0), cover)
    where = np.clip(noise(rng, size, 0.35), 0, 1)
    detail = fractal(rng, size, 0.03, octaves=4, gain=0.8)
    picture = picture + (where * detail * np.float32(rng.uniform(15, 40)))[..., None]
    return np.clip(picture + rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(2.5), 0, 255)


Backdrop = Callable[[np.random.Generator, Size, FloatArray], FloatArray]

BACKDROPS: dict[str, Backdrop] = {"flat": flat, "gradient": gradient, "rough": rough, "scenic": scenic}
"""By name; the last argument is the subject's mean colour, three levels."""


def photograph(rng: np.random.Generator, size: Size, photographs: Sequence[npt.NDArray[np.uint8]]) -> FloatArray:
    """One of `photographs` (height, width, 3 uint8), perhaps mirrored, enlarged or reduced to cover `size`."""
    photo = photographs[int(rng.integers(len(photographs)))]
    if rng.uniform() < 0.5:
        photo = photo[:, ::-1]
    width, height = size
    scale = min(photo.shape[1] / width, photo.shape[0] / height)
    left = (photo.shape[1] - width * scale) * rng.uniform()
    top = (photo.shape[0] - height * scale) * rng.uniform()
    rows = _rows_of(photo.astype(np.float32), top + (np.arange(height) + 0.5) * scale - 0.5)
    columns = _rows_of(rows.transpose(1, 0, 2), left + (np.arange(width) + 0.5) * scale - 0.5)
    return np.ascontiguousarray(columns.transpose(1, 0, 2))


def load_photographs(folder: Path | None) -> list[npt.NDArray[np.uint8]]:
    """The pictures of `folder`, or our sample photographs when it is None: (height, width, 3) uint8.

    At most 2000 px a side. Raises SettingsError when there is none, ImageError when a file is no usable picture.
    """
    if folder is None:
        files = [SAMPLES_FOLDER / name for name in SAMPLES]
    else:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    if not files:
        raise SettingsError(f"no photographs: {folder} is empty")
    pictures: list[npt.NDArray[np.uint8]] = []
    for path in files:
        data = path.read_bytes()
        facts = probe(data, max_pixels=_MAX_PIXELS)
        scale = min(1.0, 2000 / max(facts.width, facts.height))
        width, height = max(1, round(facts.width * scale)), max(1, round(facts.height * scale))
        pictures.append(to_array(decode_scaled(data, facts, width=width, height=height))[:, :, :3])
    return pictures


def _lay(picture: FloatArray, colour: FloatArray, cover: FloatArray) -> FloatArray:
    return picture + (colour - picture) * cover[..., None]


def _rows_of(picture: FloatArray, at: npt.NDArray[np.float64]) -> FloatArray:
    """Linear interpolation between the rows of `picture` at the places `at`, clipped to it."""
    at = np.clip(at, 0, picture.shape[0] - 1)
    low = np.minimum(at.astype(np.intp), max(0, picture.shape[0] - 2))
    high = np.minimum(low + 1, picture.shape[0] - 1)
    share = (at - low).astype(np.float32)[:, None, None]
    return picture[low] * (1 - share) + picture[high] * share
