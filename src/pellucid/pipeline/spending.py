"""Pure: whose pictures may cost a customer credits. A host name alone would let strangers spend them on any picture."""

from __future__ import annotations

from pellucid.customers.customer import Customer
from pellucid.source.weburl import bare_host, covers, parse_web_url
from pellucid.spec import OriginRef
from pellucid.uploads.store import UPLOADS_ALIAS

ORIGIN_NOT_LISTED = "origin-not-listed"
"""Why there are no credits for a picture, though some may be left: a parameter of `Pellucid-Cutout`."""


def may_spend(customer: Customer, *, ref: OriginRef, source: str, url: str, has_key: bool) -> bool:
    """Whether a request for the picture that the URL named as `ref`, whose bytes came from `url`, may cost the customer
    something new. `source` is where it was looked for: a URL, perhaps without scheme, or a file's.

    With a limit on credits that needs one of: the customer's key; `open`; an alias, which only the operator makes
    (uploads are anybody's), and bytes from its host; a host that the customer listed, and bytes from one that is listed
    as well. Some shops redirect wherever a URL says.
    """
    if customer.credits_per_month is None or customer.open or has_key:
        return True
    if ref.alias:
        return ref.alias != UPLOADS_ALIAS and (_is_at_home(source, url) or _is_listed(customer.origins, url))
    return _is_listed(customer.origins, f"https://{ref.host}/") and _is_listed(customer.origins, url)


def _is_at_home(source: str, url: str) -> bool:
    """Whether the bytes are a file's, or came from the host where they were looked for, or one below it."""
    if source.startswith("file:"):
        return True
    try:
        home = parse_web_url(source if "://" in source else f"https://{source}")
        return covers((bare_host(home),), parse_web_url(url))
    except ValueError:
        return False


def _is_listed(origins: tuple[str, ...], url: str) -> bool:
    try:
        return bool(origins) and covers(origins, parse_web_url(url))
    except ValueError:
        return False
