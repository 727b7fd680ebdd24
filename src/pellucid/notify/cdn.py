"""PURE: what a CDN is asked when origins are invalidated, from templates that speak of tags and paths."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import quote

from pellucid.source.netguard import Guard

ANYWHERE = Guard(allow_networks=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")))
"""The rule for connections to a CDN: its address is the operator's own configuration."""

_TAG, _URL, _TAGS = "{tag}", "{url}", "{tags}"
_PLACEHOLDER = re.compile(r"\{[A-Za-z_]*\}")

_BATCH = 30
"""Tags in one call. Cloudflare takes 100, took 30 until 2025; others bound the whole in bytes (Akamai: 50,000)."""

_GONE = frozenset({404, 410, 412})
"""What caches answer to PURGE when they hold nothing under that URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeRequest:
    """One HTTP request to a CDN."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CdnApi:
    """How a CDN is told. In `url`, `{tag}` makes one call for every tag and `{url}` one for every path; with neither,
    `{tags}` in `body` is a JSON list of up to 30 tags, and without that one call says all there is to say.

    `{tag}` is percent-encoded; `{url}` stands as it is in a path and is percent-encoded behind a `?`.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: str

    def batches(self, tags: Sequence[str], paths: Sequence[str]) -> tuple[str, ...]:
        """What is to be purged, in portions of one call each, as texts that can be kept. Each is read by `call`."""
        if _TAG in self.url:
            return tuple(_order(tags=[tag]) for tag in tags)
        if _URL in self.url:
            return tuple(_order(path=path) for path in paths)
        if _TAGS in self.body:
            return tuple(_order(tags=tags[start : start + _BATCH]) for start in range(0, len(tags), _BATCH))
        return (_order(),)

    def call(self, order: str) -> PurgeRequest:
        """The request for one of `batches`. Raises ValueError when it was written for a template of another kind."""
        subject = json.loads(order)
        tags: list[str] = subject.get("tags", [])
        path: str | None = subject.get("path")
        url = self.url
        if _TAG in url:
            if len(tags) != 1:
                raise ValueError("it was not ordered for one tag")
            url = url.replace(_TAG, quote(tags[0], safe=""))
        if _URL in url:
            if path is None:
                raise ValueError("it was not ordered for a path")
            url = "".join(_fill(url, path))
        if _TAGS in self.body and not tags:
            raise ValueError("it was not ordered for tags")
        body = self.body.replace(_TAGS, json.dumps(tags)).encode()
        headers = dict(self.headers)
        if body and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
        return PurgeRequest(method=self.method, url=url, headers=headers, body=body)

    def is_done(self, status: int) -> bool:
        """Whether `status` says that the CDN holds it no more."""
        return 200 <= status < 300 or (self.method == "PURGE" and status in _GONE)


def check_templates(url: str, body: str) -> None:
    """Raises ValueError for placeholders that nobody fills."""
    unknown = [found for found in _PLACEHOLDER.findall(url) if found not in (_TAG, _URL)]
    if unknown:
        raise ValueError(f"{unknown[0]} is no placeholder of purge_url; {_TAG} and {_URL} are")
    if _TAG in url and _URL in url:
        raise ValueError(f"one call is for one {_TAG} or for one {_URL}, not for both")
    unknown = [found for found in _PLACEHOLDER.findall(body) if found not in (_TAGS, "{}")]
    if unknown:
        raise ValueError(f"{unknown[0]} is no placeholder of purge_body; {_TAGS} is")
    if _TAGS in body and _URL in url:
        raise ValueError(f"a call for one {_URL} has no tags for {_TAGS}")


def _order(**subject: str | Sequence[str]) -> str:
    return json.dumps(subject, separators=(",", ":"))


def _fill(template: str, path: str) -> Iterator[str]:
    in_query = False
    for part in re.split(r"(\{url\})", template):
        if part == _URL:
            yield quote(path, safe="") if in_query else path
        else:
            in_query = in_query or "?" in part
            yield part
