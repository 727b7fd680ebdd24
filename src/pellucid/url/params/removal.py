"""PURE: the removal of the background."""

from __future__ import annotations

from pellucid.spec import Interim, Tier
from pellucid.url.codecs import read_callback, read_flag, read_word, write_flag, write_text, write_word
from pellucid.url.params.param import Param

REMOVAL: tuple[Param, ...] = (
    Param(
        name="bg_remove",
        reader=read_flag,
        writer=write_flag,
        field="removal.remove",
        doc="Remove the background: only the subject stays, on transparency or on `bg_color`.",
        grammar="1 or 0",
        default="0",
    ),
    Param(
        name="bg_quality",
        reader=read_word({tier.value: tier for tier in Tier}),
        writer=write_word(default=None),
        field="removal.tier",
        doc="How much is spent on the matte. An extension of Pellucid's; without it the server's default holds.",
        grammar="one of fast, standard, best",
        extension=True,
    ),
    Param(
        name="bg_pending",
        reader=read_word({interim.value: interim for interim in Interim}),
        writer=write_word(default=Interim.ORIGINAL),
        field="removal.interim",
        doc="What is answered while the matte is pending: the `original`; `wait` holds the answer for up to 10 s; "
        "`blank` is a picture of the right size, transparent or `bg_color`; `202` is the status as JSON, `423` a "
        "problem document. An extension of Pellucid's.",
        grammar="one of original, wait, blank, 202, 423",
        default="original",
        extension=True,
    ),
)

NOTIFY = Param(
    name="bg_notify",
    reader=read_callback,
    writer=write_text,
    field="removal.notify",
    doc="Called when the pending cutout is ready or has failed: [webhooks](webhooks.md). An extension of Pellucid's.",
    grammar="an absolute http or https URL of up to 500 ASCII characters, without user name and '#', at a host of "
    "PELLUCID_NOTIFY_ALLOW_HOSTS",
    extension=True,
)
"""The last of a canonical URL: it changes no pixel."""
