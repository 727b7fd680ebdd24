"""PURE: which part of the origin's file is the image."""

from __future__ import annotations

import re

from pellucid.url.codecs import write_number_unless
from pellucid.url.params.param import Param


def read_page(text: str) -> int:
    """An integer from 1 to 999,999."""
    if not re.fullmatch(r"[0-9]{1,6}", text) or not (page := int(text)):
        raise ValueError("not a page")
    return page


SOURCE: tuple[Param, ...] = (
    Param(
        name="doc_page",
        reader=read_page,
        writer=write_number_unless(1),
        field="source.page",
        doc="The page of a PDF or TIFF document. One that is not there is a 400 that says how many there are.",
        grammar="an integer from 1 to 999999",
        default="1",
    ),
)
