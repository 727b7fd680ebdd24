"""PDF documents written by hand: pages of plain rectangles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Page:
    """`box` is its MediaBox in points, as it is written; `more` are further entries of its dictionary."""

    box: str = "0 0 72 48"
    content: bytes = b""
    more: str = ""


def quarters(across: float, down: float) -> bytes:
    """The card of `picture_samples`: red and green above, blue and yellow below."""
    colours = ((220, 30, 30), (30, 180, 40), (30, 40, 220), (240, 220, 20))
    places = ((0, down / 2), (across / 2, down / 2), (0, 0), (across / 2, 0))
    return b"".join(
        b"%.4f %.4f %.4f rg %g %g %g %g re f\n" % (*(level / 255 for level in colour), *place, across / 2, down / 2)
        for colour, place in zip(colours, places, strict=True)
    )


CARD = Page(content=quarters(72, 48))


@dataclass
class _File:
    body: bytearray = field(default_factory=lambda: bytearray(b"%PDF-1.7\n"))
    offsets: list[int] = field(default_factory=list)

    def add(self, content: bytes) -> int:
        self.offsets.append(len(self.body))
        self.body += b"%d 0 obj\n%s\nendobj\n" % (len(self.offsets), content)
        return len(self.offsets)


def document(pages: Sequence[Page] = (CARD,), *, catalogue: str = "", trailer: str = "") -> bytes:
    """A sound file. `catalogue` and `trailer` are further entries of these dictionaries."""
    file = _File()
    file.add(b"<< /Type /Catalog /Pages 2 0 R %s >>" % catalogue.encode())
    kids = " ".join(f"{3 + 2 * number} 0 R" for number in range(len(pages)))
    file.add(f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>".encode())
    for number, page in enumerate(pages):
        words = f"/Type /Page /Parent 2 0 R /MediaBox [{page.box}] /Contents {4 + 2 * number} 0 R {page.more}"
        file.add(f"<< {words} >>".encode())
        file.add(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(page.content), page.content))
    return _finished(file, trailer)


def _finished(file: _File, trailer: str) -> bytes:
    start = len(file.body)
    file.body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(file.offsets) + 1)
    for offset in file.offsets:
        file.body += b"%010d 00000 n \n" % offset
    words = f"trailer\n<< /Size {len(file.offsets) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n"
    return bytes(file.body + words.encode())
