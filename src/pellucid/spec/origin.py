"""Which image a URL names, and in whose name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

Token = NewType("Token", str)
"""A customer's name-space. Every key and every call carries one."""

DEFAULT_TOKEN = Token("default")


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginRef:
    """Where the source image is, as the URL named it: either a host or an alias.

    `host` is lower case and may carry a port (`example.com:8080`). `path` starts with `/`, `query` has no `?`; both
    are percent-encoded the one way `url.parse` normalises them. `scheme` is None when the URL had none: https is
    tried first, then http. With `alias` set (`_samples_`), host, scheme and query are empty.
    """

    path: str
    host: str = ""
    scheme: str | None = None
    query: str = ""
    alias: str = ""

    def __post_init__(self) -> None:
        if bool(self.host) == bool(self.alias):
            raise ValueError("an origin has a host or an alias, not both and not neither")
        if not self.path.startswith("/"):
            raise ValueError("an origin's path starts with '/'")
        if self.scheme not in (None, "http", "https"):
            raise ValueError(f"unknown origin scheme {self.scheme!r}")

    def __str__(self) -> str:
        """The origin as it stands in a canonical URL, without the leading slash."""
        if self.alias:
            return f"{self.alias}{self.path}"
        scheme = f"{self.scheme}://" if self.scheme else ""
        query = f"?{self.query}" if self.query else ""
        return f"{scheme}{self.host}{self.path}{query}"
