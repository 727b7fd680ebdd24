"""Memory is estimated from headers, refused when it is too much, and what is decoded stays below the estimate."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import picture_samples as samples
import pytest
from PIL import Image

from pellucid.errors import ImageError, ImageLimitError
from pellucid.image import footprint, vips
from pellucid.image.decode import decode_full, decode_scaled
from pellucid.image.footprint import read_jp2_layout
from pellucid.image.probe import probe

MAX_PIXELS = 100_000_000


def _jp2(mode: str, side: int, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side), 90 if mode == "L" else (200, 30, 90)).save(file, "JPEG2000", **options)
    return file.getvalue()


def _claiming(jp2: bytes, side: int) -> bytes:
    """`jp2` (one tile) with a header that says `side` x `side` pixels: nothing is decoded, so nobody notices."""
    at = jp2.index(b"\xff\x4f\xff\x51") + 8
    grown = bytearray(jp2)
    struct.pack_into(">II", grown, at, side, side)
    struct.pack_into(">II", grown, at + 16, side, side)
    ihdr = jp2.index(b"ihdr") + 4
    struct.pack_into(">II", grown, ihdr, side, side)
    return bytes(grown)


def test_a_codestream_says_what_it_needs() -> None:
    layout = read_jp2_layout(_jp2("RGB", 300, tile_size=(128, 64), num_resolutions=4))
    assert (layout.width, layout.height, layout.tile_width, layout.tile_height) == (300, 300, 128, 64)
    assert (layout.components, layout.sample_bytes, layout.levels, layout.block_pixels) == (3, 1, 3, 4096)


def test_jpeg_2000_that_cannot_be_reduced_is_refused_by_its_header() -> None:
    data = _claiming(_jp2("RGB", 64, num_resolutions=1), 10_000)
    assert len(data) < 2000
    with pytest.raises(ImageLimitError, match=r"about 18\d\d MiB of memory, the limit is 768 MiB"):
        probe(data, max_pixels=MAX_PIXELS)


def test_jpeg_2000_that_can_be_reduced_is_refused_at_its_own_size_only() -> None:
    data = _claiming(_jp2("RGB", 64, num_resolutions=6), 10_000)
    facts = probe(data, max_pixels=MAX_PIXELS)
    with pytest.raises(ImageLimitError, match="of memory, the limit is"):
        decode_full(data, facts)


def test_tiny_code_blocks_and_tiles_count() -> None:
    plain = read_jp2_layout(_jp2("L", 1024))
    blocks = read_jp2_layout(_jp2("L", 1024, codeblock_size=(4, 4)))
    tiles = read_jp2_layout(_jp2("L", 1024, tile_size=(32, 32)))

    def needed(layout: footprint.Jp2Layout) -> int:
        return layout.needed_bytes(reduce=5, pixel_bytes=1, bands=3, result_bytes=0)

    assert needed(blocks) > needed(plain) + 15_000_000
    assert needed(tiles) > needed(plain) + 7_000_000


@pytest.mark.parametrize(
    ("format_", "options", "refused"),
    [
        ("JPEG", {"quality": 90}, False),
        ("JPEG", {"quality": 90, "progressive": True, "subsampling": 0}, True),
        ("PNG", {}, False),
        ("WEBP", {}, True),
        ("GIF", {}, True),
        ("AVIF", {"speed": 10}, True),
        ("TIFF", {"compression": "tiff_lzw"}, False),
    ],
)
def test_what_must_be_held_whole_counts(format_: str, options: dict[str, object], refused: bool) -> None:
    """A picture of a megapixel, small, with 3 MB to decode it in; a line-by-line decoder makes do."""
    pixels = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = samples.save(Image.fromarray(pixels).resize((1024, 1024)), format_, **options)
    if not refused:
        assert probe(data, max_pixels=MAX_PIXELS, max_bytes=3_200_000).width == 1024
        return
    with pytest.raises(ImageLimitError):
        probe(data, max_pixels=MAX_PIXELS, max_bytes=3_200_000)


@pytest.mark.parametrize("inserted", [b"", b"\xff", b"\xff" * 9, b"\0\0", b"\xff\xff\0\0\xff"])
def test_a_sound_jpeg_need_not_be_tidy(inserted: bytes) -> None:
    """Fill bytes before a marker (T.81, B.1.1.2), and what decoders skip between segments."""
    pixels = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = samples.save(Image.fromarray(pixels).resize((256, 256)), "JPEG", progressive=True)
    frame = data.index(b"\xff\xc2")
    untidy = data[:frame] + inserted + data[frame:]
    facts = probe(untidy, max_pixels=MAX_PIXELS)
    assert decode_scaled(untidy, facts, width=64, height=64).width == 64


@pytest.mark.parametrize("filler", [b"\xff\xe0\0\2", b"\xff", b"\0", b"\xff\0"])
def test_a_jpeg_of_nothing_is_not_looked_at_for_long(filler: bytes) -> None:
    data = b"\xff\xd8" + filler * 1_000_000
    with pytest.raises(ImageError):
        footprint._jpeg_coefficients(data)  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("side", [1000, 1001, 777])
@pytest.mark.parametrize("width", [1, 30, 100, 300, 600])
def test_reduced_jpeg_2000_shows_the_whole_picture_in_place(side: int, width: int) -> None:
    ramp = np.tile(np.linspace(0, 255, side, dtype=np.uint8), (side, 1))
    photo = np.stack((ramp, ramp.T, np.full_like(ramp, 90)), axis=2)
    data = samples.save(Image.fromarray(photo), "JPEG2000")
    facts = probe(data, max_pixels=MAX_PIXELS)
    small = vips.to_array(decode_scaled(data, facts, width=width, height=width))
    wanted = vips.to_array(vips.to_srgb_size(vips.from_array(photo), width=width, height=width))
    assert np.abs(small.astype(int) - wanted).mean() < 3


_PEAK = """
import sys
from pellucid.image import vips
from pellucid.image.decode import decode_scaled
from pellucid.image.probe import probe

def resident(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) * 1024

vips.harden()
data = open(sys.argv[1], "rb").read()
before = resident("VmRSS")
facts = probe(data, max_pixels=1 << 40)
decode_scaled(data, facts, width=400, height=400)
print(resident("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("kind", "pixel_bytes"), [("jp2", 2), ("bmp", 6)])
def test_decoding_takes_little_memory(kind: str, pixel_bytes: float, tmp_path: Path) -> None:
    """16 megapixels at 400 px: JPEG 2000 took 19 bytes a pixel, BMP 11."""
    side = 4000
    if kind == "jp2":
        data = _jp2("RGB", side)
    else:
        file = io.BytesIO()
        Image.new("P", (side, side), 3).save(file, "BMP")
        data = file.getvalue()
    path = tmp_path / kind
    path.write_bytes(data)
    ran = subprocess.run([sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < pixel_bytes * side * side
