"""PURE: the one table of URL parameters. Parser, builder and reference are driven by it.

Cloudimage's spellings live here and nowhere else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from pellucid.spec import Fit, Interim, OriginRef, OutputFormat, Spec, Tier
from pellucid.url.colours import parse_colour
from pellucid.url.values import (
    read_callback,
    read_enlarge,
    read_flag,
    read_percent,
    read_size,
    read_word,
    write_colour,
    write_enlarge,
    write_flag,
    write_number,
    write_size,
    write_text,
    write_word,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter. `field` is the place of its value in a `Spec` (`render.width`); the reader raises ValueError for
    text outside `grammar`; the writer returns None for the default. `default` is what leaving the parameter out is
    equal to, in the URL's spelling; None where no spelling says it. `extension` if Cloudimage has no such parameter;
    `refused` are values that it takes there and not here.
    """

    name: str
    aliases: tuple[str, ...] = ()
    reader: Callable[[str], Any]
    writer: Callable[[Any], str | None]
    field: str
    doc: str
    grammar: str
    default: str | None = None
    extension: bool = False
    refused: tuple[str, ...] = ()


_PIXELS = "a number of pixels above 0 and below 1000000 in plain decimals, such as 400 or 562.5"

PARAMS: tuple[Param, ...] = (
    Param(
        name="w",
        aliases=("width",),
        reader=read_size,
        writer=write_size,
        field="render.width",
        doc="Width of the result. Alone it keeps the proportions.",
        grammar=_PIXELS,
    ),
    Param(
        name="h",
        aliases=("height",),
        reader=read_size,
        writer=write_size,
        field="render.height",
        doc="Height of the result. Alone it keeps the proportions.",
        grammar=_PIXELS,
    ),
    Param(
        name="func",
        reader=read_word({"crop": Fit.CROP, "bound": Fit.BOUND}),
        writer=write_word(default=Fit.CROP),
        field="render.fit",
        doc="How the picture meets the `w` by `h` box: `crop` fills it and cuts what is over; `bound` stays inside.",
        grammar="one of crop, bound",
        default="crop",
        refused=("fit", "cropfit", "boundmin", "cover", "face", "proxy"),
    ),
    Param(
        name="org_if_sml",
        reader=read_enlarge,
        writer=write_enlarge,
        field="render.enlarge",
        doc="Never enlarge: an origin smaller than the wished size stays as large as it is.",
        grammar="an integer; 0 is off, any other is on",
        default="0",
    ),
    Param(
        name="bg_remove",
        reader=read_flag,
        writer=write_flag,
        field="cutout",
        doc="Remove the background: only the subject stays, on transparency or on `bg_color`.",
        grammar="1 or 0",
        default="0",
    ),
    Param(
        name="bg_quality",
        reader=read_word({tier.value: tier for tier in Tier}),
        writer=write_word(default=None),
        field="tier",
        doc="How much is spent on the matte. An extension of Pellucid's; without it the server's default holds.",
        grammar="one of fast, standard, best",
        extension=True,
    ),
    Param(
        name="bg_pending",
        reader=read_word({pending.value: pending for pending in Interim}),
        writer=write_word(default=Interim.ORIGINAL),
        field="interim",
        doc="What is answered while the matte is owed: the `original`; `wait` holds the answer for up to 10 s; `blank` "
        "is a picture of the right size, transparent or `bg_color`; `202` is the status as JSON, `423` a problem "
        "document. An extension of Pellucid's.",
        grammar="one of original, wait, blank, 202, 423",
        default="original",
        extension=True,
    ),
    Param(
        name="bg_color",
        aliases=("bg_colour",),
        reader=parse_colour,
        writer=write_colour,
        field="render.background",
        doc="The colour behind whatever is transparent.",
        grammar="3, 4, 6 or 8 hex digits without '#', a CSS colour name, or transparent",
        refused=("auto",),
    ),
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
        writer=write_number,
        field="output.quality",
        doc="Quality of a lossy format: lower is smaller.",
        grammar="an integer from 1 to 100",
    ),
    Param(
        name="bg_notify",
        reader=read_callback,
        writer=write_text,
        field="notify",
        doc="Called when the owed cutout is ready or has failed: [webhooks](webhooks.md). An extension of Pellucid's.",
        grammar="an absolute http or https URL of up to 500 ASCII characters, without user name and '#', at a host of "
        "PELLUCID_NOTIFY_ALLOW_HOSTS",
        extension=True,
    ),
)
"""In the order of canonical URLs."""

URL_ENCODED = Param(
    name="ci_url_encoded",
    reader=read_flag,
    writer=write_flag,
    field="",
    doc="The origin in the path is percent-encoded as a whole; needed when it has a query of its own.",
    grammar="1 or 0",
    default="0",
)
"""Says how to read the path; no part of a spec."""

PARAMS_BY_SPELLING: Mapping[str, Param] = MappingProxyType(
    {spelling: param for param in (*PARAMS, URL_ENCODED) for spelling in (param.name, *param.aliases)}
)


def field_of(spec: Spec, field: str) -> Any:  # noqa: ANN401 - as many types as parameters
    """The value at `field` of `spec`."""
    return functools.reduce(getattr, field.split("."), spec)


def make_spec(origin: OriginRef, values: Mapping[str, Any]) -> Spec:
    """A spec with `values`, keyed by field; defaults elsewhere. Parts are built whole, so that their checks see all
    their values at once.
    """
    blank = Spec(origin=origin)
    parts: dict[str, dict[str, Any]] = {}
    for field, value in values.items():
        part, _, name = field.rpartition(".")
        parts.setdefault(part, {})[name] = value
    own = parts.pop("", {})
    return replace(blank, **own, **{part: replace(getattr(blank, part), **fields) for part, fields in parts.items()})
