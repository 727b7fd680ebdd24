"""Animations: what files say of their frames, the frames themselves, and writing them again."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from typing import Any

import numpy as np
import picture_samples as samples
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pellucid.errors import DamagedImageError, ImageError, ImageLimitError
from pellucid.formats import ImageFormat
from pellucid.image import animation
from pellucid.image.box import Box
from pellucid.image.frames import read_frames
from pellucid.image.probe import probe
from pellucid.image.timing import Timing, check, decode_bytes, read_timing

WIDTH, HEIGHT = 60, 40
DELAYS = (100, 250, 40, 100)
COLOURS = [samples.RED, samples.GREEN, samples.BLUE, samples.YELLOW]
FORMATS = {ImageFormat.GIF: "GIF", ImageFormat.WEBP: "WEBP", ImageFormat.AVIF: "AVIF"}


def frame(number: int) -> NDArray[np.uint8]:
    """A square that moves over a ground."""
    pixels = np.full((HEIGHT, WIDTH, 3), samples.BLUE, np.uint8)
    pixels[10:30, 10 * number : 10 * number + 20] = samples.RED
    return pixels


def is_close(actual: NDArray[np.uint8], wanted: tuple[int, ...], tolerance: int) -> bool:
    return samples.close(tuple(map(int, actual)), wanted, tolerance)


def save(format_: ImageFormat, *, loop: int | None = 0, delays: tuple[int, ...] = DELAYS, **options: Any) -> bytes:
    frames = [Image.fromarray(frame(number)) for number in range(len(delays))]
    if loop is not None:
        options["loop"] = loop
    if format_ is ImageFormat.WEBP:
        options["lossless"] = True
    out = io.BytesIO()
    frames[0].save(out, FORMATS[format_], save_all=True, append_images=frames[1:], duration=list(delays), **options)
    return out.getvalue()


def decoded(data: bytes, format_: ImageFormat, **options: Any) -> list[NDArray[np.uint8]]:
    timing = read_timing(data, format_)
    size = {"width": timing.width, "height": timing.height} | options
    return list(read_frames(data, format_, timing, **size))


@pytest.mark.parametrize("format_", FORMATS)
def test_frames_and_delays_are_told_without_decoding(format_: ImageFormat) -> None:
    data = save(format_)
    timing = read_timing(data, format_)
    assert (timing.width, timing.height, timing.delays_ms, timing.plays) == (WIDTH, HEIGHT, DELAYS, 0)
    assert (timing.frames, timing.pixels, timing.is_animated) == (4, 4 * WIDTH * HEIGHT, True)
    assert probe(data, max_pixels=10_000).pages == 4
    assert decode_bytes(timing, format_) > WIDTH * HEIGHT


@pytest.mark.parametrize("format_", FORMATS)
def test_a_still_picture_has_one_frame(format_: ImageFormat) -> None:
    data = samples.save(samples.card(), FORMATS[format_])
    assert not read_timing(data, format_).is_animated
    assert probe(data, max_pixels=10_000).pages == 1


@pytest.mark.parametrize(("loop", "plays"), [(0, 0), (3, 4), (None, 1)])
def test_how_often_a_gif_is_shown(loop: int | None, plays: int) -> None:
    assert read_timing(save(ImageFormat.GIF, loop=loop), ImageFormat.GIF).plays == plays


def test_how_often_a_webp_is_shown() -> None:
    assert read_timing(save(ImageFormat.WEBP, loop=3), ImageFormat.WEBP).plays == 3


def test_no_time_at_all_is_as_long_as_in_browsers() -> None:
    assert read_timing(save(ImageFormat.GIF, delays=(10, 0, 20)), ImageFormat.GIF).delays_ms == (100, 100, 20)


@pytest.mark.parametrize("format_", FORMATS)
def test_each_frame_is_what_is_seen(format_: ImageFormat) -> None:
    frames = decoded(save(format_, **({"quality": 95} if format_ is ImageFormat.AVIF else {})), format_)
    assert len(frames) == 4
    for number, pixels in enumerate(frames):
        assert is_close(pixels[20, 10 * number + 10, :3], samples.RED, 8)
        assert is_close(pixels[2, 2, :3], samples.BLUE, 8)
        assert is_close(pixels[20, (10 * number + 40) % WIDTH, :3], samples.BLUE, 8)


@pytest.mark.parametrize("format_", FORMATS)
def test_they_are_scaled_and_cropped_alone(format_: ImageFormat) -> None:
    frames = decoded(save(format_), format_, width=30, height=20, crop=Box(left=5, top=5, width=11, height=9))
    assert {each.shape[:2] for each in frames} == {(9, 11)}
    assert is_close(frames[0][4, 1, :3], samples.RED, 12)


def test_disposal_and_partial_frames_are_put_together() -> None:
    ground = Image.new("RGBA", (WIDTH, HEIGHT))
    pictures = [ground.copy() for _ in range(3)]
    for number, picture in enumerate(pictures):
        picture.paste(COLOURS[number], (15 * number, 5, 15 * number + 20, 25))
    out = io.BytesIO()
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], disposal=2, duration=100)
    for number, pixels in enumerate(decoded(out.getvalue(), ImageFormat.GIF)):
        assert pixels[35, 50, 3] == 0
        assert is_close(pixels[15, 15 * number + 10, :3], COLOURS[number], 4)
        assert pixels[15, 15 * (2 - number) + 10, 3] == (255 if number == 1 else 0)


@pytest.mark.parametrize("format_", [ImageFormat.GIF, ImageFormat.WEBP])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_what_is_written_is_read_again(format_: ImageFormat, has_alpha: bool) -> None:
    roll = [frame(number) for number in range(4)]
    if has_alpha:
        alpha = np.where((np.arange(WIDTH) < 30)[None, :, None], 255, 0).astype(np.uint8)
        roll = [np.dstack((each, np.broadcast_to(alpha, (HEIGHT, WIDTH, 1)))) for each in roll]
    timing = Timing(width=WIDTH, height=HEIGHT, delays_ms=DELAYS, plays=2)
    if format_ is ImageFormat.GIF:
        data = animation.save_gif(roll, timing)
    else:
        data = animation.save_webp(roll, timing, quality=90)
    assert read_timing(data, format_) == timing
    for number, (pixels, wanted) in enumerate(zip(decoded(data, format_), roll, strict=True)):
        opaque = wanted[..., 3] == 255 if has_alpha else np.ones((HEIGHT, WIDTH), bool)
        assert np.abs(pixels[..., :3].astype(int) - wanted[..., :3])[opaque].mean() < 8, number
        if has_alpha:
            assert np.array_equal(pixels[..., 3], wanted[..., 3])
    with Image.open(io.BytesIO(data)) as again:
        assert getattr(again, "n_frames", 1) == 4


def test_a_gif_holds_only_what_changed() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    roll = [noise.copy() for _ in range(10)]
    for number, each in enumerate(roll):
        each[0, number] = 255
    timing = Timing(width=WIDTH, height=HEIGHT, delays_ms=(100,) * 10, plays=0)
    alone = len(animation.save_gif(roll[:1], replace(timing, delays_ms=(100,))))
    assert len(animation.save_gif(roll, timing)) < alone + 1000


def test_limits() -> None:
    timing = Timing(width=1000, height=1000, delays_ms=(100,) * 20, plays=0)
    check(timing, width=100, height=100)
    with pytest.raises(ImageLimitError, match="20 frames, the limit is 19"):
        check(timing, width=100, height=100, max_frames=19)
    with pytest.raises(ImageLimitError, match="20000000 pixels, the limit is 19999999"):
        check(timing, width=100, height=100, max_pixels=19_999_999)
    with pytest.raises(ImageLimitError, match="20 frames of 1000 x 600"):
        check(timing, width=1000, height=600)


def test_a_file_that_says_two_things_is_refused() -> None:
    data = save(ImageFormat.GIF)
    timing = replace(read_timing(data, ImageFormat.GIF), width=10)
    with pytest.raises(DamagedImageError, match="two things"):
        list(read_frames(data, ImageFormat.GIF, timing, width=10, height=10))


@pytest.mark.parametrize("format_", [ImageFormat.GIF, ImageFormat.WEBP])
def test_a_cut_file_gives_the_frames_before_or_says_so(format_: ImageFormat) -> None:
    data = save(format_)
    with contextlib.suppress(ImageError):
        assert len(decoded(data[: len(data) * 3 // 4], format_)) < 4
    with pytest.raises(ImageError):
        decoded(data[:30], format_)


def test_other_formats_have_none() -> None:
    with pytest.raises(ImageError, match="PNG has no animations"):
        read_timing(samples.save(samples.card(), "PNG"), ImageFormat.PNG)


_SEEDS = {format_: save(format_) for format_ in FORMATS}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(list(FORMATS)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    st.none() | st.floats(0, 1),
)
def test_bent_files_raise_image_errors_alone(
    format_: ImageFormat, changes: list[tuple[float, int]], end: float | None
) -> None:
    data = bytearray(_SEEDS[format_])
    for place, value in changes:
        data[4 + int(place * (len(data) - 5))] = value
    file = bytes(data if end is None else data[: int(end * len(data))])
    with contextlib.suppress(ImageError):
        timing = read_timing(file, format_)
        check(timing, width=20, height=20, max_pixels=1_000_000)
        list(read_frames(file, format_, timing, width=20, height=20))
