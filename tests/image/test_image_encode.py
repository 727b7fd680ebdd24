from __future__ import annotations

import io
import zlib

import numpy as np
import picture_samples as samples
import pytest
from PIL import Image

from pellucid.errors import RenderError
from pellucid.formats import WRITABLE, ImageFormat
from pellucid.image import vips
from pellucid.image.decode import decode_full
from pellucid.image.encode import encode
from pellucid.image.probe import probe


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("format_", sorted(WRITABLE))
def test_every_writable_format_is_written(format_: ImageFormat) -> None:
    data = encode(vips.from_array(np.asarray(samples.card())), format=format_, quality=None)
    assert probe(data, max_pixels=10_000).format is format_
    for actual, wanted in zip(
        samples.quarters(np.asarray(opened(data).convert("RGB"))),
        [samples.RED, samples.GREEN, samples.BLUE, samples.YELLOW],
        strict=True,
    ):
        assert samples.close(actual, wanted, 0 if format_ is ImageFormat.PNG else 10)


@pytest.mark.parametrize("format_", sorted(WRITABLE))
def test_no_metadata_is_written(format_: ImageFormat) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a private remark"
    exif[0x0112] = 6
    origin = samples.save(samples.card(), "JPEG", exif=exif, comment=b"another remark")
    image = decode_full(origin, probe(origin, max_pixels=100_000))
    written = opened(encode(image, format=format_, quality=None))
    assert not written.getexif()
    assert not {"icc_profile", "exif", "xmp", "comment"} & set(written.info)


@pytest.mark.parametrize("format_", [ImageFormat.PNG, ImageFormat.WEBP])
def test_alpha_is_lossless(format_: ImageFormat) -> None:
    alpha = np.arange(256, dtype=np.uint8)[:, None].repeat(20, axis=1)
    rgba = np.dstack((np.full((256, 20, 3), 120, np.uint8), alpha))
    written = opened(encode(vips.from_array(rgba), format=format_, quality=None))
    assert (np.asarray(written.convert("RGBA"))[..., 3] == alpha).all()


@pytest.mark.parametrize("format_", sorted(WRITABLE))
def test_an_opaque_alpha_band_is_dropped(format_: ImageFormat) -> None:
    rgba = np.full((10, 10, 4), 255, np.uint8)
    mode = "P" if format_ is ImageFormat.GIF else "RGB"
    written = opened(encode(vips.from_array(rgba), format=format_, quality=None))
    assert written.mode == mode
    assert (np.asarray(written.convert("RGBA"))[..., 3] == 255).all()


def test_quality_counts() -> None:
    image = vips.from_array(np.asarray(samples.noise(200, 200)))
    for format_ in (ImageFormat.JPEG, ImageFormat.WEBP, ImageFormat.AVIF):
        sizes = [len(encode(image, format=format_, quality=quality)) for quality in (10, 50, 95)]
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[1] < sizes[2]


def test_what_a_format_cannot_hold_is_refused() -> None:
    clear = vips.from_array(np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(RenderError, match="transparent"):
        encode(clear, format=ImageFormat.JPEG, quality=None)
    wide = vips.from_array(np.zeros((1, 16_384, 3), np.uint8))
    with pytest.raises(RenderError, match="16383"):
        encode(wide, format=ImageFormat.WEBP, quality=None)
    wider = vips.from_array(np.zeros((1, 16_385, 3), np.uint8))
    with pytest.raises(RenderError, match="AVIF holds 16384"):
        encode(wider, format=ImageFormat.AVIF, quality=None)
    with pytest.raises(RenderError, match="not written"):
        encode(wide, format=ImageFormat.TIFF, quality=None)


@pytest.mark.parametrize("format_", sorted(WRITABLE - {ImageFormat.GIF}))
def test_the_largest_side_is_written(format_: ImageFormat) -> None:
    for shape in ((1, 1), (1, 16_383), (16_383, 1)):
        data = encode(vips.from_array(np.full((*shape, 3), 90, np.uint8)), format=format_, quality=None)
        facts = probe(data, max_pixels=20_000)
        assert (facts.height, facts.width) == shape


def test_avif_keeps_a_soft_edge() -> None:
    """Lossy, but what is there and what is not is told apart, and no line of the edge is lost."""
    alpha = np.zeros((120, 120), np.uint8)
    alpha[:, 40:] = np.linspace(0, 255, 40, dtype=np.uint8).repeat(2)[None]
    alpha[:, 110:] = 255
    rgba = np.dstack((np.full((120, 120, 3), 120, np.uint8), alpha))
    data = encode(vips.from_array(rgba), format=ImageFormat.AVIF, quality=None)
    for pixels in (np.asarray(opened(data)), vips.to_array(decode_full(data, probe(data, max_pixels=20_000)))):
        written = pixels[..., 3].astype(int)
        assert np.abs(written - alpha).max() <= 6
        assert (written[:, :30] == 0).all()
        assert (written[:, 114:] >= 254).all()


def test_a_gif_has_holes_and_256_colours() -> None:
    rgba = np.asarray(samples.noise(60, 40).convert("RGBA")).copy()
    rgba[:, :20, 3] = 100
    rgba[:, 20:30, 3] = 200
    data = encode(vips.from_array(rgba), format=ImageFormat.GIF, quality=None)
    written = opened(data)
    assert (written.format, getattr(written, "n_frames", 1)) == ("GIF", 1)
    alpha = np.asarray(written.convert("RGBA"))[..., 3]
    assert (alpha[:, :20] == 0).all()
    assert (alpha[:, 20:] == 255).all()
    assert probe(data, max_pixels=10_000).has_alpha


SHAPES = [(1, 1), (1, 3000), (3000, 1), (7, 5), (400, 300), (70, 4000), (3, 100_000)]
"""Height and width: less than a strip, several strips, strips that do not divide the height, rows longer than one."""


@pytest.mark.parametrize("bands", [3, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_png_is_lossless(shape: tuple[int, int], bands: int) -> None:
    random = np.random.default_rng(bands)
    for pixels in (
        random.integers(0, 256, (*shape, bands), dtype=np.uint8),
        np.zeros((*shape, bands), np.uint8),
        np.cumsum(random.integers(0, 3, (*shape, bands), dtype=np.uint8), axis=0, dtype=np.uint8),
    ):
        data = encode(vips.from_array(pixels), format=ImageFormat.PNG, quality=None)
        written = opened(data)

        assert (written.mode, written.size) == ("RGBA" if bands == 4 else "RGB", shape[::-1])
        assert (np.asarray(written) == pixels).all()
        assert (vips.to_array(decode_full(data, probe(data, max_pixels=10**7))) == pixels).all()


def _checksums(data: bytes) -> list[tuple[bytes, bool]]:
    found: list[tuple[bytes, bool]] = []
    at = 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        found.append((kind, zlib.crc32(kind + body) == int.from_bytes(data[at + 8 + length : at + 12 + length], "big")))
        at += length + 12
    return found


def test_a_large_png_comes_in_pieces_whose_sums_are_right() -> None:
    data = encode(vips.from_array(np.asarray(samples.noise(1500, 1000))), format=ImageFormat.PNG, quality=None)
    chunks = _checksums(data)
    kinds = [kind for kind, _ in chunks]
    assert kinds[0] == b"IHDR"
    assert kinds[-1] == b"IEND"
    assert set(kinds[1:-1]) == {b"IDAT"}
    assert all(right for _, right in chunks)


@pytest.mark.parametrize("alpha", [False, True])
def test_a_png_is_no_larger_than_pillows_of_the_same_pixels(alpha: bool) -> None:
    """Pillow's defaults are what others write, and take six times as long. A subject with grain, as JPEG leaves it, and
    with a soft edge, on nothing.
    """
    y, x = np.mgrid[:700, :900].astype(np.float32)
    inside = np.clip((300 - np.hypot(x - 450, y - 350)) / 12, 0, 1)
    shade = 120 + 60 * np.sin(x / 70)[..., None] * np.cos(y / 90)[..., None] * np.array([1, 0.7, 0.4])
    grain = np.random.default_rng(4).normal(0, 4, (700, 900, 3))
    photo = samples.save(Image.fromarray(np.clip(shade + grain, 0, 255).astype(np.uint8)), "JPEG", quality=92)
    pixels = np.asarray(opened(photo))
    if alpha:
        pixels = np.dstack((pixels * (inside > 0)[..., None], (inside * 255).astype(np.uint8))).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    data = encode(vips.from_array(pixels), format=ImageFormat.PNG, quality=None)
    assert len(data) <= len(out.getvalue())
