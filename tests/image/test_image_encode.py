from __future__ import annotations

import io

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
    assert opened(encode(vips.from_array(rgba), format=format_, quality=None)).mode == "RGB"


def test_quality_counts() -> None:
    image = vips.from_array(np.asarray(samples.noise(200, 200)))
    for format_ in (ImageFormat.JPEG, ImageFormat.WEBP):
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
    with pytest.raises(RenderError, match="not written"):
        encode(wide, format=ImageFormat.AVIF, quality=None)
