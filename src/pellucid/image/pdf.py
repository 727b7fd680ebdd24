"""PDF by way of PDFium, through the compiled half of the wheel of `pypdfium2` (Apache-2.0 or BSD-3-Clause; PDFium
BSD-3-Clause).

A page is drawn at exactly the size that is wanted, as an SVG is: never from a larger bitmap, and of a crop only its
pixels. The wheel's PDFium is built without V8 and XFA: scripts and dynamic forms do not exist in it. Nothing is
fetched. PDFium may be called by one thread of a process at a time; a lock sees to that.
"""

from __future__ import annotations

import ctypes
import importlib
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.errors import DamagedImageError, ImageError, ImageLimitError
from pellucid.image import vips
from pellucid.image.header import Header

if TYPE_CHECKING:
    from pellucid.image.box import Box
    from pellucid.image.vips import VipsImage

PIXELS_PER_POINT = 150 / 72
"""The size that a page counts as: A4 has 1240 x 1754 pixels. Whatever is asked for is drawn, larger or smaller."""

LARGEST_SIDE = 10_000
"""Pixels that a page counts as at most, as with SVG; its proportions stay."""

_LEAST_POINTS, _MOST_POINTS = 0.1, 1_000_000.0
"""Of a side of a page that is one: PDF 2.0 has 3 to 14,400 without a unit of its own."""

_DRAWING_S = 10.0
"""Half of what a render process has for a task. Text and shapes take 1 to 4 ms a megapixel."""

_PASSWORD, _SECURITY = 4, 5
"""FPDF_ERR_*."""

_BGR = 2
"""FPDFBitmap_BGR, three bytes a pixel; with `_RGB_ORDER` red comes first. With four bytes it is 6 times slower."""

_ANNOTATIONS, _RGB_ORDER, _SMALL_CACHE = 0x01, 0x10, 0x200
"""FPDF_ANNOT, FPDF_REVERSE_BYTE_ORDER, FPDF_RENDER_LIMITEDIMAGECACHE."""

_TO_BE_CONTINUED, _DONE = 1, 2
"""FPDF_RENDER_*."""

_WHITE = 0xFFFFFFFF

_RESIDENT_BYTES = 16 << 20
"""PDFium itself and its fonts."""

_LOCK = threading.RLock()


@dataclass(frozen=True, slots=True, kw_only=True)
class PdfInfo:
    """`width` and `height` are the pixels that the page counts as, turned as it says; `pages` those of the document."""

    width: int
    height: int
    pages: int


def read_info(data: bytes, *, page: int = 1) -> PdfInfo:
    """Of the `page`-th page, from 1; nothing of it is read but its boxes: 0.1 ms; of 5,000 pages 2 ms for the first and
    110 for the last.

    Raises `ImageError` for a document with a password or without that page, `DamagedImageError` for one that cannot be
    read.
    """
    with _document(data) as (pdfium, document):
        pages = _count_pages(pdfium, document, page)
        size = pdfium.FS_SIZEF()
        if not pdfium.FPDF_GetPageSizeByIndexF(document, page - 1, ctypes.byref(size)):
            raise ImageError(f"page {page} of the PDF document cannot be read")
        across, down = float(size.width), float(size.height)
    if not all(_LEAST_POINTS <= side <= _MOST_POINTS for side in (across, down)):
        raise ImageError(f"page {page} of the PDF document has an impossible size of {across:g} x {down:g} points")
    scale = min(PIXELS_PER_POINT, LARGEST_SIDE / max(across, down))
    return PdfInfo(width=max(1, round(across * scale)), height=max(1, round(down * scale)), pages=pages)


def read_header(data: bytes, *, page: int = 1) -> Header:
    """As `heif.read_header`, of one page. A page is white paper: it has no alpha."""
    info = read_info(data, page=page)
    return Header(
        width=info.width,
        height=info.height,
        has_alpha=False,
        pages=info.pages,
        least_decode_bytes=needed_bytes(result_bytes=0),
    )


def needed_bytes(*, result_bytes: int) -> int:
    """What drawing `result_bytes` of pixels takes, and copying them. What the page holds comes on top, 100 MiB for
    300,000 curves, which no header tells; an image in it is read line by line.
    """
    return 2 * result_bytes + _RESIDENT_BYTES


def read_pixels(
    data: bytes, *, width: int, height: int, page: int = 1, crop: Box | None = None, timeout_s: float = _DRAWING_S
) -> VipsImage:
    """The page at exactly `width` x `height` pixels, or the region `crop` of it: uchar RGB on white paper, with its
    annotations and what is filled into its form. The proportions are the caller's.

    Raises what `read_info` raises, and `ImageLimitError` when drawing takes longer than `timeout_s`. A single operation
    that takes long, such as the decoding of an image, is not interrupted: the bound on the process is what ends that.
    """
    left, top = (0, 0) if crop is None else (crop.left, crop.top)
    across, down = (width, height) if crop is None else (crop.width, crop.height)
    pixels = np.empty((down, across, 3), np.uint8)
    with _document(data) as (pdfium, document), _page(pdfium, document, page) as (opened, form):
        bitmap = pdfium.FPDFBitmap_CreateEx(across, down, _BGR, pixels.ctypes.data_as(ctypes.c_void_p), 3 * across)
        if not bitmap:
            raise ImageLimitError(f"the PDF page would have {across} x {down} pixels")
        try:
            pdfium.FPDFBitmap_FillRect(bitmap, 0, 0, across, down, _WHITE)
            place = (-left, -top, width, height, 0, _ANNOTATIONS | _RGB_ORDER | _SMALL_CACHE)
            finished = _draw(pdfium, bitmap, opened, place, timeout_s)
            if finished and form:
                pdfium.FPDF_FFLDraw(form, bitmap, opened, *place)
        finally:
            pdfium.FPDFBitmap_Destroy(bitmap)
    if not finished:
        raise ImageLimitError(f"drawing page {page} of the PDF document takes longer than {timeout_s:g} s")
    return vips.from_array(pixels)


def _draw(pdfium: Any, bitmap: Any, page: Any, place: tuple[int, ...], timeout_s: float) -> bool:  # noqa: ANN401
    """Whether it was done in time."""
    ends = time.monotonic() + timeout_s

    def is_over(_: object) -> bool:
        return time.monotonic() > ends

    pause: Any = pdfium.IFSDK_PAUSE(version=1)
    kind: Any = dict(pdfium.IFSDK_PAUSE._fields_)["NeedToPauseNow"]
    pause.NeedToPauseNow = kind(is_over)
    status = pdfium.FPDF_RenderPageBitmap_Start(bitmap, page, *place, ctypes.byref(pause))
    while status == _TO_BE_CONTINUED and not is_over(None):
        status = pdfium.FPDF_RenderPage_Continue(page, ctypes.byref(pause))
    pdfium.FPDF_RenderPage_Close(page)
    if status not in (_DONE, _TO_BE_CONTINUED):
        raise ImageError("the PDF page cannot be drawn")
    return bool(status == _DONE)


def _count_pages(pdfium: Any, document: Any, wanted: int) -> int:  # noqa: ANN401
    """The pages of the document. Raises ImageError when the one that is `wanted` is not among them."""
    pages: int = pdfium.FPDF_GetPageCount(document)
    if not 1 <= wanted <= pages:
        has = "no pages" if pages < 1 else f"{pages} page{'s' if pages > 1 else ''}"
        raise ImageError(f"the PDF document has {has}, page {wanted} is asked for")
    return pages


@contextmanager
def _page(pdfium: Any, document: Any, number: int) -> Generator[tuple[Any, Any]]:  # noqa: ANN401
    """The opened page, and what draws its form's fields, None where there is no form."""
    _count_pages(pdfium, document, number)
    callbacks = pdfium.FPDF_FORMFILLINFO(version=2)
    has_form = pdfium.FPDF_GetFormType(document) != 0
    form = pdfium.FPDFDOC_InitFormFillEnvironment(document, ctypes.byref(callbacks)) if has_form else None
    try:
        page = pdfium.FPDF_LoadPage(document, number - 1)
        if not page:
            # Not damage: that would be said of the whole document, whose other pages may be sound.
            raise ImageError(f"page {number} of the PDF document cannot be read")
        try:
            yield page, form
        finally:
            pdfium.FPDF_ClosePage(page)
    finally:
        if form:
            pdfium.FPDFDOC_ExitFormFillEnvironment(form)


@contextmanager
def _document(data: bytes) -> Generator[tuple[Any, Any]]:
    """PDFium, and the opened document."""
    pdfium = _pdfium()
    with _LOCK:
        document = pdfium.FPDF_LoadMemDocument64(data, len(data), None)
        if not document:
            error = pdfium.FPDF_GetLastError()
            if error in (_PASSWORD, _SECURITY):
                raise ImageError("the PDF document is locked with a password")
            raise DamagedImageError("the PDF document cannot be read: it is damaged or cut short")
        try:
            yield pdfium, document
        finally:
            pdfium.FPDF_CloseDocument(document)


@lru_cache(maxsize=1)
def _pdfium() -> Any:  # noqa: ANN401
    """PDFium, started. Imported when the first document comes: it takes 60 ms."""
    pdfium: Any = importlib.import_module("pypdfium2_raw")
    pdfium.FPDF_InitLibraryWithConfig(ctypes.byref(pdfium.FPDF_LIBRARY_CONFIG(version=2)))
    return pdfium
