from __future__ import annotations

import struct

import picture_samples as samples
import pytest
from PIL import Image

from pellucid.errors import ImageError, ImageLimitError, UnsupportedFormatError
from pellucid.formats import ImageFormat
from pellucid.image.probe import probe

MAX_PIXELS = 1_000_000


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_sizes_are_those_of_the_upright_picture(format_: str, orientation: int) -> None:
    facts = probe(samples.turned(format_, orientation), max_pixels=MAX_PIXELS)
    assert (facts.width, facts.height) == (samples.WIDTH, samples.HEIGHT)


@pytest.mark.parametrize("format_", ["AVIF", "GIF", "TIFF", "BMP", "JPEG2000"])
def test_other_formats_have_sizes_too(format_: str) -> None:
    facts = probe(samples.save(samples.card(), format_), max_pixels=MAX_PIXELS)
    assert (facts.width, facts.height, facts.pages) == (samples.WIDTH, samples.HEIGHT, 1)
    assert not facts.has_alpha


def test_svg_has_its_own_size_and_alpha() -> None:
    facts = probe(samples.svg(), max_pixels=MAX_PIXELS)
    assert (facts.format, facts.width, facts.height, facts.has_alpha) == (ImageFormat.SVG, 96, 64, True)


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF", "AVIF", "GIF", "ICO", "JPEG2000"])
def test_alpha_is_seen(format_: str) -> None:
    image = samples.card(64, 64).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size).point(lambda level: 255 * (level > 127)))
    assert probe(samples.save(image, format_), max_pixels=MAX_PIXELS).has_alpha


def test_a_transparent_palette_entry_is_alpha() -> None:
    image = samples.card().convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    assert probe(samples.save(image, "PNG", transparency=0), max_pixels=MAX_PIXELS).has_alpha
    assert not probe(samples.save(image, "PNG"), max_pixels=MAX_PIXELS).has_alpha


def test_frames_are_counted() -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "green", "blue")]
    data = samples.save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    facts = probe(data, max_pixels=MAX_PIXELS)
    assert (facts.width, facts.height, facts.pages) == (20, 10, 3)


def test_the_largest_icon_counts() -> None:
    data = samples.save(samples.card(64, 64), "ICO", sizes=[(16, 16), (48, 48), (32, 32)])
    facts = probe(data, max_pixels=MAX_PIXELS)
    assert (facts.format, facts.width, facts.height) == (ImageFormat.ICO, 48, 48)


def test_too_many_pixels_are_refused_by_the_header_alone() -> None:
    with pytest.raises(ImageLimitError, match=r"40000 x 30000 = 1200000000 pixels, the limit is 1000000 pixels"):
        probe(samples.png_that_claims(40_000, 30_000), max_pixels=MAX_PIXELS)


def test_the_limit_itself_is_allowed() -> None:
    data = samples.save(samples.card(100, 50), "PNG")
    assert probe(data, max_pixels=5000).width == 100
    with pytest.raises(ImageLimitError):
        probe(data, max_pixels=4999)


def test_a_bmp_of_absurd_size_is_over_the_limit() -> None:
    data = bytearray(samples.save(samples.card(), "BMP"))
    struct.pack_into("<ii", data, 18, 2_000_000, 3_000_000)
    with pytest.raises(ImageLimitError, match="2000000 x 3000000"):
        probe(bytes(data), max_pixels=MAX_PIXELS)


def test_a_huge_picture_inside_an_icon_is_over_the_limit() -> None:
    png = samples.png_that_claims(50_000, 50_000)
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(png), 22)
    with pytest.raises(ImageLimitError):
        probe(b"\x00\x00\x01\x00\x01\x00" + entry + png, max_pixels=MAX_PIXELS)


def test_a_huge_svg_is_over_the_limit() -> None:
    with pytest.raises(ImageLimitError):
        probe(samples.svg(width="100000", height="100000"), max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "ICO"])
def test_a_header_cut_short_is_an_image_error(format_: str) -> None:
    data = samples.save(samples.card(), format_)
    with pytest.raises(ImageError) as caught:
        probe(data[:20], max_pixels=MAX_PIXELS)
    assert not isinstance(caught.value, (UnsupportedFormatError, ImageLimitError))


def test_broken_svg_is_an_image_error() -> None:
    with pytest.raises(ImageError, match="SVG"):
        probe(b"<svg xmlns='http://www.w3.org/2000/svg' width='5' height='5'><rect></svg>", max_pixels=MAX_PIXELS)


def test_entity_bombs_are_refused() -> None:
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    bomb = f'<!DOCTYPE svg [<!ENTITY e0 "xxxxxxxxxx">{entities}]>' + samples.svg("<text>&e9;</text>").decode()
    with pytest.raises(ImageError):
        probe(bomb.encode(), max_pixels=MAX_PIXELS)
