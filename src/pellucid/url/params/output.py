"""PURE: the format of the result."""

from __future__ import annotations

from pellucid.spec import OutputFormat
from pellucid.url.codecs import read_percent, read_word, write_integer, write_word
from pellucid.url.params.param import Param

OUTPUT: tuple[Param, ...] = (
    Param(
        name="force_format",
        reader=read_word(
            {
                "jpeg": OutputFormat.JPEG,
                "jpg": OutputFormat.JPEG,
                "png": OutputFormat.PNG,
                "webp": OutputFormat.WEBP,
                "original": OutputFormat.ORIGINAL,
            }
        ),
        writer=write_word(default=OutputFormat.AUTO),
        field="output.format",
        doc="Format of the result. Without it: the origin's, or one with transparency where that is needed.",
        grammar="one of jpeg, jpg, png, webp, original; a single one, no list",
        refused=("_webp", "webp,jpg"),
    ),
    Param(
        name="q",
        reader=read_percent,
        writer=write_integer,
        field="output.quality",
        doc="Quality of a lossy format: lower is smaller.",
        grammar="an integer from 1 to 100",
    ),
)
