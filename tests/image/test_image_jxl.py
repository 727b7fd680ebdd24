"""JPEG XL: sizes, colours and damage, and what is said where its library is missing."""

from __future__ import annotations

import contextlib

import jxl_files as jxl_sample
import numpy as np
import picture_samples as samples
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pellucid.errors import DamagedImageError, ImageError, ImageLimitError, UnsupportedFormatError
from pellucid.formats import ImageFormat
from pellucid.image import jxl, libjxl
from pellucid.image.decode import Damage, decode_full, decode_layers, decode_scaled
from pellucid.image.examine import examine
from pellucid.image.probe import probe
from pellucid.image.sniff import sniff
from pellucid.image.vips import to_array

MAX_PIXELS = 4_000_000
COLOURS = [samples.RED, samples.GREEN, samples.BLUE, samples.YELLOW]
CARD = np.asarray(samples.card())

needs_library = pytest.mark.skipif(not jxl_sample.HAS_LIBRARY, reason="the extra jxl is not installed")


def shown(data: bytes) -> NDArray[np.uint8]:
    return to_array(decode_full(data, examine(data, max_pixels=MAX_PIXELS)))


def is_card(pixels: NDArray[np.uint8], tolerance: int = 2) -> bool:
    return all(samples.close(*pair, tolerance) for pair in zip(samples.quarters(pixels), COLOURS, strict=True))


@pytest.mark.parametrize("head", [b"\xff\x0a\x10\x20", b"\x00\x00\x00\x0cJXL \r\n\x87\n"])
def test_it_is_known_by_its_first_bytes(head: bytes) -> None:
    assert sniff(head) is ImageFormat.JXL


def test_without_the_library_it_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libjxl, "_library", lambda: None)
    with pytest.raises(UnsupportedFormatError, match=r"JPEG XL picture.*its extra jxl is missing"):
        examine(b"\xff\x0a" + bytes(50), max_pixels=MAX_PIXELS)


@needs_library
def test_the_library_is_of_a_version_that_is_known() -> None:
    assert (libjxl.find() or "").startswith("0.")


@needs_library
@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize("lossless", [False, True])
def test_colours_come_out(lossless: bool, container: bool) -> None:
    data = jxl_sample.encode(CARD, lossless=lossless, container=container)
    facts = examine(data, max_pixels=MAX_PIXELS)
    assert (facts.format, facts.width, facts.height) == (ImageFormat.JXL, samples.WIDTH, samples.HEIGHT)
    assert (facts.has_alpha, facts.pages, facts.damaged) == (False, 1, False)
    assert is_card(shown(data), 0 if lossless else 2)
    small = to_array(decode_scaled(data, facts, width=48, height=32))
    assert small.shape == (32, 48, 3)
    assert is_card(small, 6)


@needs_library
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_stands_upright(orientation: int) -> None:
    transpose = samples.TRANSPOSES[orientation]
    stored = CARD if transpose is None else np.asarray(samples.card().transpose(transpose))
    data = jxl_sample.encode(stored, orientation=orientation)
    pixels = shown(data)
    assert pixels.shape == (samples.HEIGHT, samples.WIDTH, 3)
    assert is_card(pixels)


@needs_library
@pytest.mark.parametrize("bands", [1, 2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_and_alpha(bands: int, dtype: type[np.uint8] | type[np.uint16]) -> None:
    pixels = np.full((8, 8, bands), 100, np.uint8)
    pixels[:, :4, 0] = 200
    if bands in (2, 4):
        pixels[:4, :, -1], pixels[4:, :, -1] = 255, 0
    deep = pixels.astype(dtype) * (257 if dtype is np.uint16 else 1)
    data = jxl_sample.encode(deep.astype(dtype), lossless=True)
    out = shown(data)
    assert probe(data, max_pixels=MAX_PIXELS).has_alpha == (bands in (2, 4))
    assert out.shape == (8, 8, 4 if bands in (2, 4) else 3)
    assert abs(int(out[0, 0, 0]) - 200) <= 1
    if bands in (2, 4):
        assert (out[0, 0, 3], out[7, 0, 3]) == (255, 0)
        rgb, alpha = decode_layers(data, examine(data, max_pixels=MAX_PIXELS), width=8, height=8)
        assert alpha is not None
        assert (rgb[7, 0, 0], alpha[7, 0]) == (255, 0)


@needs_library
@pytest.mark.parametrize("deep", [False, True])
def test_a_wide_gamut_becomes_srgb(deep: bool) -> None:
    pixels = np.zeros((8, 8, 3), np.uint16 if deep else np.uint8)
    pixels[:4] = np.array((234, 51, 35)) * (257 if deep else 1)  # sRGB's red in Display P3
    pixels[4:] = np.array((128, 128, 128)) * (257 if deep else 1)
    out = shown(jxl_sample.encode(pixels, primaries=jxl_sample.P3, lossless=True))
    assert samples.close(tuple(out[0, 0]), (255, 0, 0), 2)
    assert samples.close(tuple(out[7, 7]), (128, 128, 128), 1)


@needs_library
@pytest.mark.parametrize("transfer", [jxl_sample.PQ, jxl_sample.LINEAR])
def test_what_is_stored_otherwise_is_read_with_all_its_bits(transfer: int) -> None:
    ramp = np.linspace(0, 0.05 if transfer == jxl_sample.LINEAR else 0.5, 256, dtype=np.float32)
    pixels = np.repeat(np.tile(ramp, (8, 1))[..., None], 3, axis=2)
    out = shown(jxl_sample.encode(pixels, transfer=transfer, lossless=True))
    # 8 bits of it would show 14 steps of light, 128 of PQ.
    assert len(np.unique(out[0, :, 0])) > (50 if transfer == jxl_sample.LINEAR else 100)


@needs_library
def test_of_an_animation_the_first_frame_is_shown() -> None:
    data = jxl_sample.encode(CARD, more_frames=[255 - CARD, CARD])
    assert probe(data, max_pixels=MAX_PIXELS).pages == 3
    assert jxl.count_frames(data, most=2) == 2
    assert is_card(shown(data))


@needs_library
def test_what_is_there_of_a_cut_file_is_shown_as_damaged() -> None:
    whole = np.asarray(samples.noise(512, 512).resize((512, 512)))
    data = jxl_sample.encode(whole)
    facts = examine(data[: len(data) // 2], max_pixels=MAX_PIXELS)
    damage = Damage()
    pixels = to_array(decode_full(data[: len(data) // 2], facts, on_damage=damage.note))
    assert damage.noted
    assert pixels.any()
    sound = Damage()
    decode_full(data, facts, on_damage=sound.note)
    assert not sound.noted


@needs_library
@pytest.mark.parametrize("container", [False, True])
def test_of_the_first_bytes_alone_nothing_is_shown(container: bool) -> None:
    data = jxl_sample.encode(CARD, container=container)
    for length in (2, 12, 20, 40, 60):
        with pytest.raises(ImageError):
            shown(data[:length])


@needs_library
def test_the_limits_on_pixels_and_memory_hold() -> None:
    bits: list[int] = []
    for value, count in ((0, 1), (3, 2), ((1 << 30) - 1, 30), (0, 3), (3, 2), ((1 << 30) - 1, 30), (1, 1)):
        bits += [value >> place & 1 for place in range(count)]
    size = np.packbits(np.array(bits, np.uint8), bitorder="little").tobytes()
    with pytest.raises(ImageLimitError, match="1073741824 x 1073741824"):
        probe(b"\xff\x0a" + size + bytes(40), max_pixels=100_000_000)
    data = jxl_sample.encode(np.zeros((1000, 1000, 4), np.uint8), lossless=True)
    facts = probe(data, max_pixels=MAX_PIXELS)
    with pytest.raises(ImageLimitError, match="MiB"):
        probe(data, max_pixels=MAX_PIXELS, max_bytes=30_000_000)
    with pytest.raises(ImageLimitError, match="MiB"):
        decode_scaled(data, facts, width=10, height=10, max_bytes=30_000_000)


@needs_library
def test_damage_in_the_middle_is_told_or_not_decoded() -> None:
    data = bytearray(jxl_sample.encode(np.asarray(samples.noise(300, 300)), lossless=True))
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    with contextlib.suppress(DamagedImageError):
        damage = Damage()
        decode_full(bytes(data), probe(bytes(data), max_pixels=MAX_PIXELS), on_damage=damage.note)
        assert damage.noted


@needs_library
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(range(4)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    st.none() | st.floats(0, 1),
)
def test_bent_files_raise_image_errors_alone(kind: int, changes: list[tuple[float, int]], end: float | None) -> None:
    data = bytearray(_seed(kind))
    for place, value in changes:
        data[2 + int(place * (len(data) - 3))] = value
    file = bytes(data if end is None else data[: int(end * len(data))])
    with contextlib.suppress(ImageError):
        facts = examine(file, max_pixels=MAX_PIXELS, max_bytes=256 << 20)
        decode_scaled(file, facts, width=20, height=20, max_bytes=256 << 20)


_SEEDS: dict[int, bytes] = {}


def _seed(kind: int) -> bytes:
    if kind not in _SEEDS:
        noise = np.asarray(samples.noise(40, 30))
        options = ({}, {"lossless": True}, {"container": True, "more_frames": [255 - noise]}, {"orientation": 6})[kind]
        _SEEDS[kind] = jxl_sample.encode(noise, **options)
    return _SEEDS[kind]
