"""`/`: the demo page for browsers, a few lines of text for everybody else.

The page knows this server's limits from JSON in its HTML and talks to the public URL API only.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pellucid.customers.customer import Customer
from pellucid.demo.samples import SAMPLE_PATHS
from pellucid.errors import AuthenticationError
from pellucid.http.authentication import Authenticator
from pellucid.http.pages import accepts_html, file_answer, guards
from pellucid.pages.files import PageFile, read_text
from pellucid.pages.frame import DEMO, Frame
from pellucid.settings.model import SettingsTree
from pellucid.wiring.accounts import customers_of
from pellucid.wiring.values import upload_limits_of

_TITLE = "Pellucid: pictures without their background"

_HEAD = """\
<script type="application/json" id="facts">{facts}</script>
<script type="module" src="/-/pages/demo/page.js"></script>"""

_TEXT = """\
Pellucid {version}: pictures without their background, by URL.

  /<host>/<path>?w=400                            400 px wide
  /<host>/<path>?w=400&bg_remove=1                without its background
  /<host>/<path>?w=400&bg_remove=1&bg_color=456   on #445566

The first answer to bg_remove is the original with `Pellucid-Cutout: pending` and 5 s to live; ask again.
"""
_KEYS = "Requests are in a customer's name: send `Authorization: Bearer KEY`, or ask at a customer's host name.\n"


class _UploadFacts(msgspec.Struct, frozen=True):
    """Limits of uploads: bytes, seconds."""

    max_bytes: int
    keep_s: float


class _Facts(msgspec.Struct, frozen=True):
    """What the page knows of this server. `samples` are paths of pictures; `uploads` is None where none are taken.
    `key` says whether a customer's key opens anything: not where there are none, more at a customer's host name, all
    elsewhere. `tier` is what is chosen at first, `tier_is_default` if a URL that names none means it, whoever asks.
    `credits`: whether it matters what a removal costs.
    """

    tier: str
    tier_is_default: bool
    samples: tuple[str, ...]
    uploads: _UploadFacts | None
    key: Literal["optional", "needed"] | None
    credits: bool


def demo_routes(settings: SettingsTree, authenticator: Authenticator, frame: Frame) -> list[Route]:
    """`/`: the page, unless it is turned off."""
    text = _TEXT.format(version=version("pellucid")) + ("\n" + _KEYS if authenticator.has_customers else "")

    async def plain(_: Request) -> Response:
        return PlainTextResponse(text)

    if DEMO not in frame.pages:
        return [Route("/", plain)]
    main = read_text("demo/main.html")
    limits = upload_limits_of(settings)
    uploads = _UploadFacts(limits.max_bytes, limits.keep_s) if settings.uploads.enabled else None
    customers = customers_of(settings)
    has_limit = any(each.credits_per_month is not None for each in customers)
    tiers = {each.defaults.tier for each in customers}

    @lru_cache(maxsize=8)  # facts differ by the need of a key, and by samples that come
    def page_of(facts: _Facts) -> PageFile:
        head = _HEAD.format(facts=embedded_json(facts))
        return PageFile.html(frame.around(main, title=_TITLE, name="demo", place=DEMO, head=head))

    async def front_page(request: Request) -> Response:
        if not accepts_html(request.headers.get("accept", "")):
            return PlainTextResponse(text, headers={"vary": "Accept"})
        customer = _customer_at(request.headers.get("host", ""), authenticator)
        facts = _Facts(
            tier=str(settings.model.quality if customer is None else customer.defaults.tier),
            tier_is_default=len(tiers) == 1,
            samples=SAMPLE_PATHS,
            uploads=uploads,
            key=None if not authenticator.has_customers else "needed" if customer is None else "optional",
            credits=authenticator.has_customers or has_limit,
        )
        return file_answer(request, page_of(facts), guards(scripts=True) | {"vary": "Accept, Accept-Encoding"})

    return [Route("/", front_page)]


def embedded_json(value: object) -> str:
    """`value` as JSON for a `<script type="application/json">`: no `<` that could end it."""
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")


def _customer_at(host: str, authenticator: Authenticator) -> Customer | None:
    """Whose requests those to this host name are without a key; None where they need one."""
    try:
        return authenticator.authenticate_values(host, "").customer
    except AuthenticationError:
        return None
