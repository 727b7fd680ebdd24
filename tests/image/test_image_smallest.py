"""Opaque pictures as WebP or as what is smaller; and how hard encoders try."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import picture_samples as samples
import pytest
from PIL import Image

from pellucid.formats import WRITABLE, ImageFormat
from pellucid.image import vips
from pellucid.image.effort import BUDGET_MS, effort_at_most, effort_for, encoding_ms
from pellucid.image.encode import encode, write
from pellucid.image.flat import is_flat
from pellucid.image.quality import jpeg_quality, own_quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

A, J, W = ImageFormat.AVIF, ImageFormat.JPEG, ImageFormat.WEBP


def photo(width: int = 320, height: int = 240, grain: float = 9) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    shade = 120 + 70 * np.sin(x / 40)[..., None] * np.cos(y / 31)[..., None] * np.array([1, 0.7, 0.4])
    shade += np.random.default_rng(7).normal(0, grain, (height, width, 1))
    return np.clip(shade, 0, 255).astype(np.uint8)


def graphic(width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    """Bars and thin lines, on white."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    for number, left in enumerate(range(10, width - 20, 24)):
        pixels[height - 17 * (number % 9) - 20 :, left : left + 12] = (40 * (number % 6), 90, 200 - 20 * (number % 8))
    pixels[::24] = (30, 30, 30)
    return pixels


PICTURES = {
    "photo": photo(),
    "grain": photo(grain=30),
    "noise": np.asarray(samples.noise(200, 150)),
    "graphic": graphic(),
    "one colour": np.full((60, 80, 3), 77, np.uint8),
    "a pixel": np.full((1, 1, 3), 77, np.uint8),
}


def opened(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("quality", [None, 30, 60, 80, 90, 100])
@pytest.mark.parametrize("name", PICTURES)
def test_smart_webp_is_never_larger_than_the_jpeg(name: str, quality: int | None) -> None:
    image = vips.from_array(PICTURES[name])
    strict = encode(image, format=W, quality=quality)
    jpeg = encode(image, format=J, quality=quality)
    written = write(image, format=W, quality=quality, or_jpeg=True)
    assert len(written.body) == min(len(strict), len(jpeg))
    assert Image.open(io.BytesIO(written.body)).format == {W: "WEBP", J: "JPEG"}[written.format]


def test_both_are_chosen() -> None:
    chosen = {
        write(vips.from_array(pixels), format=W, quality=quality, or_jpeg=True).format
        for pixels in PICTURES.values()
        for quality in (40, 80)
    }
    assert chosen == {W, J}


def test_what_is_transparent_is_no_jpeg() -> None:
    pixels = np.dstack((PICTURES["noise"], np.full((150, 200), 255, np.uint8)))
    assert write(vips.from_array(pixels), format=W, quality=95, or_jpeg=True).format is J
    pixels[9, 9, 3] = 254
    assert write(vips.from_array(pixels), format=W, quality=95, or_jpeg=True).format is W


def test_a_flat_graphic_is_written_without_loss() -> None:
    assert (opened(encode(vips.from_array(graphic()), format=W, quality=None)) == graphic()).all()
    assert (opened(encode(vips.from_array(photo()), format=W, quality=None)) != photo()).any()


def test_flat_is_what_has_areas_of_one_colour() -> None:
    assert is_flat(vips.from_array(graphic()))
    assert is_flat(vips.from_array(PICTURES["one colour"]))
    assert not is_flat(vips.from_array(photo()))
    assert not is_flat(vips.from_array(photo(1, 50)))


@pytest.mark.parametrize("format_", sorted(WRITABLE))
@pytest.mark.parametrize("transparent", [False, True])
def test_efforts_fall_with_the_size_and_keep_to_the_budget(format_: ImageFormat, transparent: bool) -> None:
    sizes = [300_001, 500_000, 1_000_000, 2_000_000, 4_000_000, 9_000_000, 50_000_000, 10**9]
    efforts = [effort_for(format_, pixels=pixels, transparent=transparent) for pixels in sizes]
    known = [effort for effort in efforts if effort is not None]
    assert known == sorted(known, reverse=True)
    assert efforts[len(known) :] == [None] * (len(sizes) - len(known))
    assert efforts[0] is not None
    assert efforts[-1] is None
    for pixels, effort in zip(sizes, efforts, strict=True):
        ms = encoding_ms(format_, pixels=pixels, transparent=transparent)
        assert (ms <= BUDGET_MS) is (effort is not None)
        assert effort_at_most(format_, pixels=pixels, transparent=transparent) == (
            known[-1] if effort is None else effort
        )


def test_a_small_webp_is_written_with_less_effort() -> None:
    assert effort_for(W, pixels=300_000, transparent=True) == 2
    assert effort_for(W, pixels=300_001, transparent=True) == 4


def test_one_scale_of_quality() -> None:
    for format_ in WRITABLE:
        own = [own_quality(quality, format_) for quality in range(1, 101)]
        assert own == sorted(own)
        assert (own[0], own[-1]) == (1, 100)
        # Where a format has fewer numbers than JPEG for what looks alike, the way back is as near as they allow.
        assert max(abs(jpeg_quality(each, format_) - quality) for quality, each in enumerate(own, start=1)) <= 2
    assert (own_quality(80, J), own_quality(80, W), own_quality(80, A)) == (80, 85, 68)
