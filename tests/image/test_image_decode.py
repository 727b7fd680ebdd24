from __future__ import annotations

import io

import numpy as np
import picture_samples as samples
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pellucid.errors import ImageError
from pellucid.formats import ImageFormat
from pellucid.image import vips
from pellucid.image.box import Box
from pellucid.image.decode import decode_full, decode_layers, decode_scaled
from pellucid.image.facts import ImageFacts
from pellucid.image.probe import probe

MAX_PIXELS = 4_000_000
CARD = [samples.RED, samples.GREEN, samples.BLUE, samples.YELLOW]


def facts_of(data: bytes) -> ImageFacts:
    return probe(data, max_pixels=MAX_PIXELS)


def pixels_of(data: bytes) -> np.ndarray:
    return vips.to_array(decode_full(data, facts_of(data)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_every_orientation_comes_upright(format_: str, orientation: int, scale: float) -> None:
    data = samples.turned(format_, orientation)
    width, height = round(samples.WIDTH * scale), round(samples.HEIGHT * scale)
    image = decode_scaled(data, facts_of(data), width=width, height=height)
    assert (image.width, image.height) == (width, height)
    # JPEG and WebP at quality 95 with chroma of half resolution: within 8 levels in even areas.
    for actual, wanted in zip(samples.quarters(vips.to_array(image)), CARD, strict=True):
        assert samples.close(actual, wanted, 0 if format_ == "PNG" else 8)


@pytest.mark.parametrize(("format_", "tolerance"), [("GIF", 0), ("TIFF", 0), ("BMP", 0), ("AVIF", 10), ("JPEG2000", 2)])
def test_every_other_format_gives_its_colours(format_: str, tolerance: int) -> None:
    for actual, wanted in zip(samples.quarters(pixels_of(samples.save(samples.card(), format_))), CARD, strict=True):
        assert samples.close(actual, wanted, tolerance)


def test_cmyk_becomes_rgb() -> None:
    data = samples.save(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=95)
    pixels = pixels_of(data)
    assert pixels.shape == (32, 32, 3)
    red, green, blue = (int(c) for c in pixels[16, 16])
    # Full magenta and yellow are a red; which one exactly is the press profile's business.
    assert red > 180
    assert green < 90
    assert blue < 90


def test_16_bits_become_8() -> None:
    levels = np.linspace(0, 65535, 64 * 32 * 3).astype(np.uint16).reshape(32, 64, 3)
    pixels = pixels_of(samples.png_16_bit(levels))
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(float) - levels / 257).max() <= 1


def test_16_bit_grey_of_jpeg_2000_is_not_clipped() -> None:
    grey = np.linspace(0, 65535, 64 * 32).astype(np.uint16).reshape(32, 64)
    data = samples.save(Image.fromarray(grey), "JPEG2000")
    assert np.abs(pixels_of(data)[..., 1].astype(float) - grey / 257).max() <= 2


def test_grey_becomes_three_equal_channels() -> None:
    pixels = pixels_of(samples.save(Image.linear_gradient("L"), "PNG"))
    assert pixels.shape == (256, 256, 3)
    assert (pixels == np.arange(256, dtype=np.uint8)[:, None, None]).all()


def test_grey_with_alpha_keeps_its_alpha() -> None:
    image = Image.merge("LA", (Image.new("L", (256, 256), 77), Image.linear_gradient("L")))
    pixels = pixels_of(samples.save(image, "PNG"))
    assert pixels.shape == (256, 256, 4)
    assert (pixels[..., :3] == 77).all()
    assert (pixels[..., 3] == np.arange(256)[:, None]).all()


def test_a_transparent_palette_entry_is_transparent() -> None:
    image = samples.card().convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    corner = image.getpixel((0, 0))
    pixels = pixels_of(samples.save(image, "PNG", transparency=corner))
    assert pixels[0, 0, 3] == 0
    assert pixels[-1, -1, 3] == 255


def test_a_wide_gamut_profile_is_converted() -> None:
    pyvips = pytest.importorskip("pyvips")
    wide = pyvips.Image.new_from_array(np.full((8, 8, 3), (0, 255, 0), np.uint8)).copy(interpretation="srgb")
    wide = wide.icc_transform("p3", input_profile="srgb")
    assert wide(0, 0)[0] > 100  # sRGB's green in Display P3 is about (117, 251, 76)
    data = wide.pngsave_buffer(keep="all")
    for size in (8, 4):
        image = decode_scaled(data, facts_of(data), width=size, height=size)
        assert samples.close(tuple(int(c) for c in vips.to_array(image)[0, 0]), (0, 255, 0), 4)


def test_a_profile_of_the_wrong_kind_or_garbage_is_survived() -> None:
    for profile in (b"not a profile", b"\0" * 200):
        data = samples.save(samples.card(), "PNG", icc_profile=profile)
        for actual, wanted in zip(samples.quarters(pixels_of(data)), CARD, strict=True):
            assert samples.close(actual, wanted, 1)


def test_only_the_first_frame_is_read() -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in (samples.RED, samples.GREEN)]
    for format_ in ("GIF", "WEBP", "TIFF"):
        options = {"lossless": True} if format_ == "WEBP" else {}
        data = samples.save(frames[0], format_, save_all=True, append_images=frames[1:], **options)
        pixels = pixels_of(data)
        assert pixels.shape[:2] == (10, 20)
        assert samples.close(tuple(int(c) for c in pixels[5, 5, :3]), samples.RED, 1)


@pytest.mark.parametrize("bitmap", [False, True])
def test_icons_give_their_largest_picture(bitmap: bool) -> None:
    image = samples.card(64, 64).convert("RGBA")
    options = {"bitmap_format": "bmp"} if bitmap else {}
    data = samples.save(image, "ICO", sizes=[(16, 16), (64, 64)], **options)
    pixels = pixels_of(data)
    assert pixels.shape == (64, 64, 4)
    for actual, wanted in zip(samples.quarters(pixels), CARD, strict=True):
        assert samples.close(actual, wanted, 0)


def test_svg_is_drawn_at_the_size_that_is_wanted() -> None:
    data = samples.svg('<rect x="48" width="48" height="64" fill="rgb(30,40,220)"/>')
    image = decode_scaled(data, facts_of(data), width=960, height=640)
    pixels = vips.to_array(image)
    assert pixels.shape == (640, 960, 4)
    # An enlarged bitmap would blur the edge over ten pixels or more; drawn, it is sharp.
    row = pixels[100]
    mixed = np.count_nonzero((row[:, 0] > 40) & (row[:, 0] < 210))
    assert mixed <= 2
    assert tuple(row[0]) == (*samples.RED, 255)
    assert pixels[-1, 0, 3] == 0


def test_svg_reads_no_files_and_no_addresses() -> None:
    secret = (
        '<image href="file:///etc/hostname" width="96" height="64"/>'
        '<image href="http://127.0.0.1:9/" width="9" height="9"/>'
    )
    assert (pixels_of(samples.svg(secret)) == pixels_of(samples.svg())).all()


@given(width=st.integers(1, 300), height=st.integers(1, 300), orientation=st.sampled_from([1, 3, 6, 7]))
@settings(max_examples=40, deadline=None)
def test_the_size_is_exact(width: int, height: int, orientation: int) -> None:
    data = samples.turned("JPEG", orientation)
    image = decode_scaled(data, facts_of(data), width=width, height=height)
    assert (image.width, image.height, image.bands, image.format) == (width, height, 3, "uchar")


def test_shrinking_while_decoding_keeps_the_picture_in_place() -> None:
    y, x = np.mgrid[:800, :1200]
    ramp = np.stack((x * 255 // 1199, y * 255 // 799, np.full_like(x, 90)), axis=-1).astype(np.uint8)
    data = samples.save(Image.fromarray(ramp), "JPEG", quality=95)
    for factor in (2, 5, 8, 17, 40):
        width, height = 1200 // factor, 800 // factor
        pixels = vips.to_array(decode_scaled(data, facts_of(data), width=width, height=height)).astype(float)
        wanted = (np.arange(width) + 0.5) / width * 255
        # The left and right ends carry the resampler's own border.
        assert np.abs(pixels[height // 2, 2:-2, 0] - wanted[2:-2]).max() < 4


def test_a_crop_is_a_part_of_the_scaled_picture() -> None:
    data = samples.save(samples.noise(), "PNG")
    facts = facts_of(data)
    whole = vips.to_array(decode_scaled(data, facts, width=150, height=100))
    part = decode_scaled(data, facts, width=150, height=100, crop=Box(left=20, top=30, width=40, height=50))
    assert (vips.to_array(part) == whole[30:80, 20:60]).all()


def test_a_thin_crop_of_a_vast_enlargement_needs_little_memory() -> None:
    data = samples.save(Image.new("RGB", (2000, 2), samples.RED), "PNG")
    # The scaled picture would take 3 GB.
    crop = Box(left=500_000, top=100, width=50, height=800)
    image = decode_scaled(data, facts_of(data), width=1_000_000, height=1000, crop=crop)
    assert (vips.to_array(image) == samples.RED).all()


def test_hidden_colours_do_not_bleed() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[..., 0] = 255  # transparent and red
    pixels[:, 32:] = (0, 0, 255, 255)
    data = samples.save(Image.fromarray(pixels), "PNG")
    small = vips.to_array(decode_scaled(data, facts_of(data), width=21, height=21))
    assert (small[..., 3] > 0).any()
    assert small[small[..., 3] > 8][:, 0].max() <= 2


def test_the_own_size_is_bit_exact_with_alpha() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 50, 4), dtype=np.uint8)
    assert (pixels_of(samples.save(Image.fromarray(pixels), "PNG")) == pixels).all()


def test_model_input_is_flattened_over_white() -> None:
    pixels = np.zeros((20, 30, 4), np.uint8)
    pixels[:, 15:] = (10, 20, 30, 255)
    data = samples.save(Image.fromarray(pixels), "PNG")
    rgb = decode_layers(data, facts_of(data), width=30, height=20)[0]
    assert rgb.shape == (20, 30, 3)
    assert rgb.dtype == np.uint8
    assert (rgb[:, :15] == 255).all()
    assert (rgb[:, 15:] == (10, 20, 30)).all()


@pytest.mark.parametrize("height", [20, 150])
def test_layers_are_the_models_input_and_the_alpha(height: int) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (height, 30, 4), dtype=np.uint8)
    pixels[: height // 2, :, 3] = 255
    data = samples.save(Image.fromarray(pixels), "PNG")
    rgb, alpha = decode_layers(data, facts_of(data), width=30, height=height)
    assert alpha is not None
    assert (alpha == pixels[..., 3]).all()
    share = pixels[..., 3:] / 255
    assert np.abs(rgb - (pixels[..., :3] * share + 255 * (1 - share))).max() <= 1
    opaque = samples.save(Image.fromarray(pixels[..., :3]), "PNG")
    rgb, alpha = decode_layers(opaque, facts_of(opaque), width=15, height=10)
    assert alpha is None
    scaled = decode_scaled(opaque, facts_of(opaque), width=15, height=10)
    assert (rgb == vips.to_array(scaled)).all()


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "GIF"])
def test_a_file_cut_short_shows_what_is_there(format_: str) -> None:
    whole = samples.save(samples.noise(200, 200), format_)
    facts = facts_of(whole)
    cut = whole[: len(whole) * 3 // 4]
    pixels = vips.to_array(decode_scaled(cut, facts, width=200, height=200))
    wanted = vips.to_array(decode_scaled(whole, facts, width=200, height=200))
    assert (pixels[:80, :, :3] == wanted[:80]).all()


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "AVIF", "BMP", "JPEG2000"])
def test_a_file_without_pixels_is_an_image_error(format_: str) -> None:
    whole = samples.save(samples.noise(200, 200), format_)
    facts = facts_of(whole)
    pixels_begin = {"JPEG": b"\xff\xda", "PNG": b"IDAT"}
    header_ends = whole.find(pixels_begin[format_]) + 10 if format_ in pixels_begin else len(whole) // 50
    with pytest.raises(ImageError):
        decode_scaled(whole[:header_ends], facts, width=100, height=100)


def test_messages_are_clean() -> None:
    facts = facts_of(samples.save(samples.card(), "WEBP"))
    with pytest.raises(ImageError, match=r"^the WEBP picture cannot be decoded: its file is damaged or cut short$"):
        decode_scaled(b"RIFF\x10\0\0\0WEBPVP8 ", facts, width=10, height=10)


_KINDS = {
    name: samples.save(samples.card(48, 32), name)
    for name in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000", "ICO", "AVIF")
} | {"SVG": samples.svg(), "P": samples.save(samples.card(48, 32).quantize(4), "PNG", transparency=1)}


@given(
    kind=st.sampled_from(sorted(_KINDS)),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
    keep=st.floats(0.05, 1),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_bytes_never_raise_anything_but_image_errors(
    kind: str, edits: list[tuple[int, int]], keep: float
) -> None:
    data = bytearray(_KINDS[kind])
    for at, value in edits:
        data[at % len(data)] = value
    damaged = bytes(data[: max(12, int(len(data) * keep))])
    try:
        facts = probe(damaged, max_pixels=MAX_PIXELS)
        image = decode_scaled(damaged, facts, width=24, height=16)
    except ImageError:
        return
    assert (image.width, image.height) == (24, 16)
    assert image.bands in (3, 4)


def test_heic_is_read_by_its_own_decoder() -> None:
    pi_heif = pytest.importorskip("pi_heif")
    buffer = io.BytesIO()
    try:
        pi_heif.from_pillow(samples.card()).save(buffer)
    except (RuntimeError, AttributeError, ValueError, KeyError):
        pytest.skip("this build has no HEVC encoder")
    facts = facts_of(buffer.getvalue())
    assert facts.format is ImageFormat.HEIC
    for actual, wanted in zip(samples.quarters(pixels_of(buffer.getvalue())), CARD, strict=True):
        assert samples.close(actual, wanted, 12)


def test_a_heic_without_content_is_an_image_error() -> None:
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64
    with pytest.raises(ImageError, match="HEIC"):
        probe(data, max_pixels=MAX_PIXELS)


def test_the_compiled_half_of_pi_heif_still_takes_these_arguments() -> None:
    # A changed signature would be a TypeError, which the reader would blame on the file.
    import _pi_heif  # noqa: PLC0415

    with pytest.raises(ValueError, match="ftyp"):
        _pi_heif.load_file(b"no picture at all, but long enough", 1, True, False, True, True, "", False)
