"""What a picture's header says: enough for planning, known before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.formats import ImageFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """`width` and `height` are pixels of the upright picture (EXIF orientation applied). `has_alpha` = the file has an
    alpha channel or a transparent palette entry. `pages` counts frames or pages, at least 1; `page` is the
    one of a document that is meant, from 1. `damaged` = part of the picture is missing, its file is cut short or
    corrupt; None where nobody has looked (`image.examine` does).
    """

    format: ImageFormat
    width: int
    height: int
    has_alpha: bool
    pages: int = 1
    damaged: bool | None = None
    page: int = 1
