"""PURE: who is called when the cutout of a spec is ready or has failed."""

from __future__ import annotations

from pellucid.customers.customer import Customer
from pellucid.errors import BadValueError
from pellucid.queue.values import Listener
from pellucid.source.weburl import covers, normalise_hosts, parse_web_url
from pellucid.spec import Spec
from pellucid.url.build import build_url

_PARAMETER = "bg_notify"


class WebhookTargets:
    """`urls` are called for every cutout, besides those of its customer; a URL's own `bg_notify` may name the hosts of
    `allow_hosts` and their subdomains, none if that is empty. Raises SettingsError for an entry that is no host name.
    """

    def __init__(self, *, urls: tuple[str, ...] = (), allow_hosts: tuple[str, ...] = ()) -> None:
        self._urls = urls
        self._allow_hosts = normalise_hosts(allow_hosts)

    def for_spec(self, customer: Customer, spec: Spec) -> tuple[Listener, ...]:
        """Those to be told of the customer's cutout of `spec`, the operator's first. Raises BadValueError for a
        callback to a host that is not allowed, also where the spec wants no cutout.
        """
        if spec.removal.notify is not None:
            self._check(spec.removal.notify)
        if not spec.removal.remove:
            return ()
        urls = (*self._urls, *customer.notify_urls)
        if spec.removal.notify is not None:
            urls = (*urls, spec.removal.notify)
        if not urls:
            return ()
        image = build_url(spec)
        return tuple(Listener(url=url, image=image) for url in dict.fromkeys(urls))

    def _check(self, callback: str) -> None:
        try:
            url = parse_web_url(callback)
        except ValueError as error:
            raise BadValueError(
                parameter=_PARAMETER, value=callback, grammar="an absolute http or https URL"
            ) from error
        if not self._allow_hosts or not covers(self._allow_hosts, url):
            raise BadValueError(
                parameter=_PARAMETER,
                value=callback,
                grammar="a URL at a host that this server calls; PELLUCID_NOTIFY_ALLOW_HOSTS lists those it does",
            )
