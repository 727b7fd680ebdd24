"""PURE: `Spec` -> its canonical URL. The inverse of `url.parse`."""

from __future__ import annotations

from urllib.parse import quote

from pellucid.spec import OriginRef, Spec
from pellucid.url.params import PARAMS, URL_ENCODED, field_of


def build_url(spec: Spec) -> str:
    """Path and query, starting with `/`: the one canonical spelling, so equal specs and only they have equal URLs.

    Parameters come in the table's order, defaults are left out. The origin must be normalised, as `url.parse` makes
    it; then `parse_url` gives `spec` back.
    """
    encoded = _needs_encoding(spec.origin)
    origin = quote(str(spec.origin), safe="") if encoded else str(spec.origin)
    pairs = [(param.name, param.writer(field_of(spec, param.field))) for param in PARAMS]
    pairs.append((URL_ENCODED.name, URL_ENCODED.writer(encoded)))
    query = "&".join(f"{name}={quote(text, safe=',:')}" for name, text in pairs if text is not None)
    return f"/{origin}?{query}" if query else f"/{origin}"


def _needs_encoding(origin: OriginRef) -> bool:
    """An origin's own query would be read as ours, and a path may not hold the brackets of an IPv6 address."""
    return bool(origin.query) or origin.host.startswith("[")
