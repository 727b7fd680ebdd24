"""Pure: whose pictures may cost a customer credits. A host name alone would let strangers spend them on any picture."""

from __future__ import annotations

from pellucid.source.weburl import covers, parse_web_url
from pellucid.spec import OriginRef
from pellucid.tokens import Customer
from pellucid.uploads.shelf import UPLOADS_ALIAS

ORIGIN_NOT_LISTED = "origin-not-listed"
"""Why there are no credits for a picture, though some may be left: a parameter of `Pellucid-Cutout`."""


def may_spend(customer: Customer | None, *, ref: OriginRef, url: str, keyed: bool) -> bool:
    """Whether a request for the picture that the URL named as `ref`, whose bytes came from `url`, may cost the customer
    something new.

    With a limit on credits that needs one of: the customer's key; `open`; an alias, which only the operator makes
    (uploads are anybody's); a host that the customer listed, where redirects end as well.
    """
    if customer is None or customer.credits_per_month is None or customer.open or keyed:
        return True
    if ref.alias:
        return ref.alias != UPLOADS_ALIAS
    return _is_listed(customer.origins, f"https://{ref.host}/") and _is_listed(customer.origins, url)


def _is_listed(origins: tuple[str, ...], url: str) -> bool:
    try:
        return bool(origins) and covers(origins, parse_web_url(url))
    except ValueError:
        return False
