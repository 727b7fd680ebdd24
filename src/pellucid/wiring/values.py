"""Settings as the values that a web process's parts are made of."""

from __future__ import annotations

from pellucid.errors import OriginRefusedError, SettingsError
from pellucid.notify.cdn import CdnApi
from pellucid.notify.signature import SigningKeys, signing_keys
from pellucid.notify.targets import WebhookTargets
from pellucid.render.pool import PoolLimits
from pellucid.settings.model import SettingsTree
from pellucid.settings.types import plain_headers
from pellucid.source.headers import OriginHeaders
from pellucid.source.limits import FetchLimits, Freshness
from pellucid.source.netguard import Guard
from pellucid.source.resolver import NameResolver
from pellucid.source.session import MAX_IDLE, GuardedSession, max_sockets
from pellucid.source.weburl import parse_web_url
from pellucid.spec import Token
from pellucid.uploads.table import UploadLimits
from pellucid.wiring.accounts import customers_of


def webhook_targets_of(settings: SettingsTree, guard: Guard) -> WebhookTargets:
    """Raises SettingsError for a webhook that could never be sent."""
    own = {"PELLUCID_NOTIFY_URLS": settings.notify.urls}
    customers = {f"tokens.{name}.notify_urls": each.notify_urls for name, each in settings.tokens.items()}
    for setting, urls in (own | customers).items():
        for url in urls:
            try:
                guard.check_port(parse_web_url(url).port or 0)
            except OriginRefusedError as error:
                raise SettingsError(f"{setting} names {url}, but {error}") from error
    return WebhookTargets(urls=settings.notify.urls, allow_hosts=settings.notify.allow_hosts)


def signing_keys_of(settings: SettingsTree) -> SigningKeys:
    """What goes to a customer's own URLs is signed by the customer's secret; by both if the operator names it too."""
    keys = signing_keys(settings.notify.secret.get_secret_value())
    by_url: dict[str, tuple[bytes, ...]] = dict.fromkeys(settings.notify.urls, keys)
    for each in settings.tokens.values():
        for url in each.notify_urls:
            by_url[url] = (*by_url.get(url, ()), *signing_keys(each.notify_secret.get_secret_value()))
    return SigningKeys(keys, by_url)


def cdn_api_of(settings: SettingsTree) -> CdnApi | None:
    """Where purges go, None where none are sent."""
    cdn = settings.cdn
    if not cdn.purge_url:
        return None
    headers = {name: value.get_secret_value() for name, value in cdn.purge_headers.items()}
    return CdnApi(method=cdn.purge_method, url=cdn.purge_url, headers=headers, body=cdn.purge_body)


def upload_limits_of(settings: SettingsTree) -> UploadLimits:
    """No upload may be larger than an origin."""
    uploads = settings.uploads
    return UploadLimits(
        max_bytes=min(uploads.max_bytes, settings.origin.max_bytes),
        timeout_s=uploads.timeout_s,
        keep_s=uploads.keep_s,
        per_client=uploads.per_client,
        per_client_bytes=uploads.per_client_bytes,
        total_bytes=uploads.total_bytes,
    )


def origin_headers_of(settings: SettingsTree) -> OriginHeaders:
    """What origins are sent besides, for everybody and for each customer. Raises SettingsError where an alias leads to
    a host by http whose headers go by https alone: nothing behind it could be fetched.
    """
    by_token = {Token(name): plain_headers(each.origin_headers) for name, each in settings.tokens.items()}
    headers = OriginHeaders(plain_headers(settings.origin.headers), by_token)
    for customer in customers_of(settings):
        for alias, base in customer.aliases.items():
            sent = headers.of(customer.token).of(parse_web_url(base)) if base.lower().startswith("http://") else None
            if sent and not sent.in_clear:
                own = customer.token in settings.tokens and alias in settings.tokens[customer.token].aliases
                raise SettingsError(
                    f"the alias {alias} leads to {base}, and the headers of that host go by https alone; write "
                    f"https:// in {f'tokens.{customer.token}.aliases' if own else 'PELLUCID_ALIASES'}, or http:// "
                    "before the host's name in PELLUCID_ORIGIN_HEADERS if they may go in clear"
                )
    return headers


def fetch_limits_of(settings: SettingsTree) -> FetchLimits:
    """What one fetch may cost."""
    origin = settings.origin
    return FetchLimits(
        max_bytes=origin.max_bytes,
        connect_timeout_s=origin.connect_timeout_s,
        total_timeout_s=origin.timeout_s,
        idle_timeout_s=origin.idle_timeout_s,
        max_header_bytes=origin.max_header_bytes,
        max_redirects=origin.max_redirects,
        max_concurrency=origin.concurrency,
        max_per_host=origin.per_host,
    )


_MESSAGE_IDLE = 8
"""Idle connections kept to receivers of webhooks, and to the CDN."""

_RESOLVER_DESCRIPTORS = 16
"""What c-ares holds: a socket for each name server and some TCP, its wake-up and the watch on resolv.conf."""


def message_session(settings: SettingsTree, *, guard: Guard, resolver: NameResolver) -> GuardedSession:
    """What webhooks or purges are sent through."""
    return GuardedSession(
        guard=guard, max_requests=settings.notify.concurrency, max_idle=_MESSAGE_IDLE, resolver=resolver
    )


def outgoing_descriptors(settings: SettingsTree) -> int:
    """The most descriptors that a web process holds towards the outside: 208 by default."""
    fetching = max_sockets(settings.origin.concurrency, MAX_IDLE)
    messages = 2 * max_sockets(settings.notify.concurrency, _MESSAGE_IDLE)
    return fetching + messages + _RESOLVER_DESCRIPTORS


def pool_limits_of(settings: SettingsTree) -> PoolLimits:
    """What rendering may take."""
    return PoolLimits(
        processes=settings.render.processes,
        max_waiting=settings.render.max_waiting,
        timeout_s=settings.render.timeout_s,
        wait_s=settings.render.wait_s,
        memory_bytes=settings.render.memory_bytes,
        max_pixels=settings.image.max_pixels,
        max_decode_bytes=settings.image.max_decode_bytes,
        models_dir=settings.models_dir,
    )


def freshness_of(settings: SettingsTree) -> Freshness:
    """How long origins are believed."""
    origin = settings.origin
    return Freshness(
        min_s=origin.fresh_min_s,
        max_s=origin.fresh_max_s,
        default_s=origin.fresh_default_s,
        failure_s=origin.failure_s,
        not_found_s=origin.not_found_s,
    )
