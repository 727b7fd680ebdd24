"""Files as they are sent: read once, compressed once."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath

from pellucid.store import keys

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".conf": "text/plain; charset=utf-8",
}
"""Of what pages are made of and what the manual shows, by suffix. Nothing else of these folders is sent."""

_SMALL_ENOUGH = 0.9
"""A file is sent compressed where that leaves so much of it at most: pictures are compressed already."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """Bytes, the same compressed by gzip (None where that saves nothing), what their weak ETag quotes, their type."""

    body: bytes
    zipped: bytes | None
    etag: str
    media_type: str

    @classmethod
    def of(cls, body: bytes, media_type: str) -> PageFile:
        """The file of these bytes."""
        zipped = gzip.compress(body, mtime=0)
        return cls(
            body=body,
            zipped=zipped if len(zipped) < _SMALL_ENOUGH * len(body) else None,
            etag=f'"{keys.digest(body)[:24]}"',
            media_type=media_type,
        )

    @classmethod
    def html(cls, page: str) -> PageFile:
        """The file of a page."""
        return cls.of(page.encode(), "text/html; charset=utf-8")


def read_text(name: str) -> str:
    """The file `name` of this package, such as `demo/main.html`."""
    return resources.files("pellucid.pages").joinpath(name).read_text(encoding="utf-8")


def read_files(folder: str = "") -> dict[str, PageFile]:
    """What pages are made of, in `folder` of this package and not below it, by name within the package."""
    found: dict[str, PageFile] = {}
    for entry in resources.files("pellucid.pages").joinpath(folder).iterdir():
        media_type = MEDIA_TYPES.get(PurePosixPath(entry.name).suffix)
        if media_type is not None and entry.is_file():
            name = str(PurePosixPath(folder) / entry.name)
            found[name] = PageFile.of(entry.read_bytes(), media_type)
    return found
