"""PURE: the format of the result."""

from __future__ import annotations

from pellucid.spec import OutputFormat
from pellucid.url.codecs import read_percent, read_words, write_integer, write_words
from pellucid.url.params.param import Param

OUTPUT: tuple[Param, ...] = (
    Param(
        name="force_format",
        reader=read_words({"jpg": OutputFormat.JPEG} | {each.value: each for each in OutputFormat}),
        writer=write_words,
        field="output.formats",
        doc="Format of the result. Without it: [as below](#the-format-of-the-answer). `webp` is JPEG where that is "
        "smaller and nothing is transparent, `_webp` is WebP in any case; `original` is the origin's family. Of "
        "several the first that the browser takes: webp, _webp and avif where `Accept` names them, the others always.",
        grammar="one of jpeg, jpg, png, webp, _webp, avif, gif, original; or several, with commas between them",
    ),
    Param(
        name="q",
        reader=read_percent,
        writer=write_integer,
        field="output.quality",
        doc="Quality of a lossy format: lower is smaller. The number is JPEG's; others look as good at the same one.",
        grammar="an integer from 1 to 100",
    ),
)
