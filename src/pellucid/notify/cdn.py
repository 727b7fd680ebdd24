"""Pure: purge requests to a CDN, built from templates with placeholders for cache tags or paths."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import quote

from pellucid.source.netguard import Guard

ANYWHERE = Guard(allow_networks=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")))
"""Guard for connections to a CDN: any address, because the operator configures it."""

_TAG, _URL, _TAGS = "{tag}", "{url}", "{tags}"
_PLACEHOLDER = re.compile(r"\{[A-Za-z_]*\}")

_BATCH = 30
"""Tags in one request. Cloudflare accepts 100, until 2025 it accepted 30; others limit the bytes (Akamai: 50,000)."""

_GONE = frozenset({404, 410, 412})
"""Status codes of PURGE when a cache has nothing under the URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeRequest:
    """One HTTP request to a CDN."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CdnApi:
    """The templates of a CDN's purge API. The placeholders decide how many requests are sent:

    1. `{tag}` in `url`: one for each tag. The tag is percent-encoded.
    2. `{url}` in `url`: one for each path. The path is inserted as it is; behind a `?` it is percent-encoded.
    3. `{tags}` in `body`: one for up to 30 tags, as a JSON list.
    4. None of them: one request, which purges everything.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: str

    def batches(self, tags: Sequence[str], paths: Sequence[str]) -> tuple[str, ...]:
        """Split a purge into batches of one request each, as JSON texts that can be stored for `build_request`."""
        if _TAG in self.url:
            return tuple(_batch(tags=[tag]) for tag in tags)
        if _URL in self.url:
            return tuple(_batch(path=path) for path in paths)
        if _TAGS in self.body:
            return tuple(_batch(tags=tags[start : start + _BATCH]) for start in range(0, len(tags), _BATCH))
        return (_batch(),)

    def build_request(self, batch: str) -> PurgeRequest:
        """Build the request for one of `batches`. Raises ValueError if it was made for a template of another kind."""
        subject = json.loads(batch)
        tags: list[str] = subject.get("tags", [])
        path: str | None = subject.get("path")
        url = self.url
        if _TAG in url:
            if len(tags) != 1:
                raise ValueError("it is not for one tag")
            url = url.replace(_TAG, quote(tags[0], safe=""))
        if _URL in url:
            if path is None:
                raise ValueError("it is not for a path")
            url = "".join(_fill(url, path))
        if _TAGS in self.body and not tags:
            raise ValueError("it is not for tags")
        body = self.body.replace(_TAGS, json.dumps(tags)).encode()
        headers = dict(self.headers)
        if body and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
        return PurgeRequest(method=self.method, url=url, headers=headers, body=body)

    def is_done(self, status: int) -> bool:
        """Whether `status` means that the CDN has the content no more."""
        return 200 <= status < 300 or (self.method == "PURGE" and status in _GONE)


def check_templates(url: str, body: str) -> None:
    """Raise ValueError for unknown placeholders."""
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


def _batch(**subject: str | Sequence[str]) -> str:
    return json.dumps(subject, separators=(",", ":"))


def _fill(template: str, path: str) -> Iterator[str]:
    in_query = False
    for part in re.split(r"(\{url\})", template):
        if part == _URL:
            yield quote(path, safe="") if in_query else path
        else:
            in_query = in_query or "?" in part
            yield part
