"""Pages of PDF documents: drawn at the size that is wanted, and what hostile documents come to."""

from __future__ import annotations

import contextlib
import threading
import time

import numpy as np
import picture_samples as samples
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pdf_files import CARD, Page, document, quarters
from pellucid.errors import DamagedImageError, ImageError, ImageLimitError
from pellucid.formats import ImageFormat
from pellucid.image import pdf
from pellucid.image.box import Box
from pellucid.image.decode import decode_layers, decode_scaled
from pellucid.image.examine import examine
from pellucid.image.probe import probe
from pellucid.image.vips import to_array

MAX_PIXELS = 100_000_000
CARD_COLOURS = [samples.RED, samples.GREEN, samples.BLUE, samples.YELLOW]


def drawn(data: bytes, width: int, height: int, *, page: int = 1, crop: Box | None = None) -> NDArray[np.uint8]:
    facts = examine(data, max_pixels=MAX_PIXELS, page=page)
    return to_array(decode_scaled(data, facts, width=width, height=height, crop=crop))


def test_a_page_counts_as_150_dots_an_inch() -> None:
    facts = examine(document([CARD, CARD]), max_pixels=MAX_PIXELS)
    assert (facts.format, facts.width, facts.height) == (ImageFormat.PDF, 150, 100)
    assert (facts.pages, facts.page, facts.has_alpha, facts.damaged) == (2, 1, False, False)


@pytest.mark.parametrize(("width", "height"), [(30, 20), (150, 100), (900, 600)])
def test_it_is_drawn_at_exactly_the_size_that_is_wanted(width: int, height: int) -> None:
    pixels = drawn(document(), width, height)
    assert pixels.shape == (height, width, 3)
    assert all(samples.close(*pair, 1) for pair in zip(samples.quarters(pixels), CARD_COLOURS, strict=True))
    # Not enlarged from a bitmap: the edge between two colours is as sharp as at any other size.
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 4


def test_a_crop_is_that_part_of_the_whole() -> None:
    data = document([Page(content=quarters(72, 48) + b"0 0 0 RG 3 w 5 5 m 60 43 l S")])
    whole = drawn(data, 300, 200)
    part = drawn(data, 300, 200, crop=Box(left=110, top=60, width=101, height=77))
    # Smoothed edges round otherwise.
    assert np.abs(part.astype(int) - whole[60:137, 110:211]).max() <= 1


def test_paper_is_white_also_for_a_model() -> None:
    data = document([Page()])
    facts = examine(data, max_pixels=MAX_PIXELS)
    rgb, alpha = decode_layers(data, facts, width=40, height=30)
    assert alpha is None
    assert rgb.min() == 255


def test_each_page_has_its_own_size_and_turn() -> None:
    data = document([CARD, Page(box="0 0 144 72"), Page(content=CARD.content, more="/Rotate 90")])
    sizes = [probe(data, max_pixels=MAX_PIXELS, page=number) for number in (1, 2, 3)]
    assert [(each.width, each.height, each.page) for each in sizes] == [(150, 100, 1), (300, 150, 2), (100, 150, 3)]
    turned = samples.quarters(drawn(data, 40, 60, page=3))
    assert all(
        samples.close(*pair, 1)
        for pair in zip(turned, [samples.BLUE, samples.RED, samples.YELLOW, samples.GREEN], strict=True)
    )


@pytest.mark.parametrize(("page", "count", "words"), [(3, 2, "2 pages, page 3"), (2, 1, "1 page, page 2")])
def test_a_page_that_is_not_there_is_told_with_how_many_are(page: int, count: int, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        probe(document([CARD] * count), max_pixels=MAX_PIXELS, page=page)
    with pytest.raises(ImageError, match=words):
        pdf.read_pixels(document([CARD] * count), width=10, height=10, page=page)


def test_files_without_pages_have_none() -> None:
    with pytest.raises(ImageError, match="PNG files have no pages"):
        probe(samples.save(samples.card(), "PNG"), max_pixels=MAX_PIXELS, page=2)


def test_annotations_and_transparency_are_drawn() -> None:
    stamp = "/Annots [<< /Type /Annot /Subtype /Square /Rect [10 10 60 40] /IC [1 0 0] /C [1 0 0] /F 4 >>]"
    assert samples.close(samples.quarters(drawn(document([Page(more=stamp)]), 72, 48))[0], (255, 0, 0), 1)
    half = "/Resources << /ExtGState << /G << /ca 0.5 >> >> >>"
    over = document([Page(content=b"/G gs 0 g 0 0 72 48 re f", more=half)])
    assert samples.close(samples.quarters(drawn(over, 72, 48))[0], (127, 127, 127), 2)


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ("72 48 0 0", (150, 100)),  # inverted
        ("0 0 1000000 500000", (10_000, 5_000)),
        ("0 0 0 0", (1275, 1650)),  # empty: Letter
        ("0 0 2 40000", (1, 10_000)),
    ],
)
def test_odd_boxes(box: str, size: tuple[int, int]) -> None:
    facts = probe(document([Page(box=box)]), max_pixels=MAX_PIXELS)
    assert (facts.width, facts.height) == size


@pytest.mark.parametrize("box", ["0 0 1000000000 1000000000", "0 0 0.001 0.001"])
def test_impossible_boxes_are_refused(box: str) -> None:
    with pytest.raises(ImageError):
        probe(document([Page(box=box)]), max_pixels=MAX_PIXELS)


def test_the_limits_on_pixels_and_memory_hold() -> None:
    large = document([Page(box="0 0 4800 4800")])
    with pytest.raises(ImageLimitError, match="100000000 pixels, the limit is 99000000"):
        probe(large, max_pixels=99_000_000)
    with pytest.raises(ImageLimitError, match="MiB"):
        probe(document(), max_pixels=MAX_PIXELS, max_bytes=1 << 20)
    facts = probe(large, max_pixels=MAX_PIXELS)
    with pytest.raises(ImageLimitError, match="MiB"):
        decode_scaled(large, facts, width=5000, height=5000, max_bytes=100 << 20)
    decode_scaled(large, facts, width=50, height=50, max_bytes=100 << 20)


def test_a_document_with_a_password_says_so() -> None:
    locked = "/Encrypt << /Filter /Standard /V 1 /R 2 /O <" + "00" * 32 + "> /U <" + "11" * 32 + "> /P -4 >>"
    with pytest.raises(ImageError, match="locked with a password"):
        probe(document(trailer=f"{locked} /ID [<00> <00>]"), max_pixels=MAX_PIXELS)


def test_scripts_do_not_run() -> None:
    endless = document(catalogue="/OpenAction << /S /JavaScript /JS (while \\(true\\) {}) >>")
    assert samples.close(samples.quarters(drawn(endless, 72, 48))[0], samples.RED, 1)


def test_drawing_ends_in_time() -> None:
    curves = b"0 0 m " + b"".join(
        b"%d %d %d %d %d %d c S %d 1 m\n" % (n % 70, n % 40, n % 60, n % 30, n % 50, n % 47, n % 71)
        for n in range(100_000)
    )
    data = document([Page(content=curves)])
    started = time.process_time()
    with pytest.raises(ImageLimitError, match=r"longer than 0\.1 s"):
        pdf.read_pixels(data, width=2000, height=1333, timeout_s=0.1)
    assert time.process_time() - started < 60


def test_pages_below_themselves_end() -> None:
    data = document().replace(b"/Kids [3 0 R]", b"/Kids [2 0 R]")
    with pytest.raises(ImageError):
        drawn(data, 10, 10)


def test_a_half_file_is_damaged_and_one_without_its_end_is_not() -> None:
    data = document([Page(content=CARD.content + b"% padding\n" * 500)])
    with pytest.raises(DamagedImageError):
        examine(data[: len(data) // 2], max_pixels=MAX_PIXELS)
    without_end = data[: data.rindex(b"startxref")]
    facts = examine(without_end, max_pixels=MAX_PIXELS)
    assert (facts.width, facts.damaged) == (150, False)


def test_threads_take_turns() -> None:
    data, seen = document(), list[bytes]()

    def draw() -> None:
        seen.extend(drawn(data, 60, 40).tobytes() for _ in range(10))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 40
    assert len(set(seen)) == 1


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12), st.floats(0, 1), st.booleans())
def test_bent_files_raise_image_errors_alone(changes: list[tuple[float, int]], end: float, cut: bool) -> None:
    data = bytearray(document([CARD, Page(more="/Rotate 90")]))
    for place, value in changes:
        data[9 + int(place * (len(data) - 10))] = value
    file = bytes(data[: 9 + int(end * len(data))] if cut else data)
    with contextlib.suppress(ImageError):
        facts = examine(file, max_pixels=MAX_PIXELS)
        decode_scaled(file, facts, width=20, height=20)
