"""Cookies of one fetch. Some servers set one, redirect to the same address, and give the picture to who has it."""

from __future__ import annotations

from collections.abc import Iterable

import aiohttp
from yarl import URL

from pellucid.source.weburl import service_of

_MOST = 50
"""Cookies of a host, as RFC 6265, section 6.1 asks of a client."""

_LINE_CHARACTERS = 4096
_HEADER_CHARACTERS = 8000
"""A `Cookie` header; servers refuse requests whose headers have more."""


class FetchCookies:
    """What hosts set on the way of one fetch, kept until its end and sent to the host that set it alone: not to its
    subdomains, its siblings or other ports, whatever the cookie's `Domain` says.
    """

    def __init__(self) -> None:
        self._jars: dict[str, aiohttp.CookieJar] = {}

    def take(self, url: URL, set_cookies: Iterable[str]) -> None:
        """Keep what the answer from `url` sets, up to 50 cookies of a host."""
        short = (line for line in set_cookies if len(line) <= _LINE_CHARACTERS)
        lines = [line for line in short if line.isascii() and line.isprintable()]
        if not lines:
            return
        # `unsafe` lets hosts without a name, which are addresses, have cookies, too.
        jar = self._jars.setdefault(service_of(url), aiohttp.CookieJar(unsafe=True))
        jar.update_cookies_from_headers(lines[: max(0, _MOST - len(jar))], url)

    def header_for(self, url: URL) -> str:
        """The `Cookie` header of a request to `url`, '' for none: what its path matches, `Secure` by https alone."""
        jar = self._jars.get(service_of(url))
        if jar is None:
            return ""
        header = ""
        for each in jar.filter_cookies(url).values():
            longer = f"{header}; {each.key}={each.coded_value}" if header else f"{each.key}={each.coded_value}"
            if len(longer) <= _HEADER_CHARACTERS:
                header = longer
        return header
