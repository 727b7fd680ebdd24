"""Pure: the customers of a server, and whose name a request is in."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pellucid.customers.defaults import Defaults
from pellucid.customers.lifetimes import Lifetimes
from pellucid.spec import DEFAULT_TOKEN, Token

_KEY_PREFIX = "pel_"
"""Tells secret scanners and people what they found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """One token with what belongs to it: a request is resolved to its customer once, and whatever is decided about it
    is decided by these values. `key_hash` is `hash_key` of its key, '' for none; `credits_per_month` None for any
    number.
    """

    token: Token
    hosts: tuple[str, ...] = ()
    key_hash: str = ""
    credits_per_month: int | None = None
    origins: tuple[str, ...] = ()
    """Hosts, with their subdomains, whose pictures anybody may have cut out on this token's account."""
    open: bool = False
    """Whether anybody may have any picture cut out on this token's account."""
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    """By name (`_shop_`) what each stands for: a web address with or without scheme, or a folder's `file:` URL."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts, with their subdomains, that may be fetched from, as `source.weburl.normalise_hosts` writes them; empty for
    any. Aliases pass always.
    """
    defaults: Defaults = field(default_factory=Defaults)
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    notify_urls: tuple[str, ...] = ()
    """Called for every cutout of this customer that becomes ready or fails."""

    def __hash__(self) -> int:
        # Every answer in memory is looked up by it, and a mapping has no hash. Equality is that of all fields: what was
        # answered before a customer changed is not found afterwards.
        return hash(self.token)


DEFAULT_CUSTOMER = Customer(token=DEFAULT_TOKEN)
"""Everybody, on a server where nothing is set: any origin, no alias, no limit."""


class Customers:
    """All customers. Without any there is the token `default`, which everybody has."""

    def __init__(self, customers: Iterable[Customer]) -> None:
        self._by_token = {each.token: each for each in customers}
        self._by_host = {host: each for each in self._by_token.values() for host in each.hosts}
        self._by_hash = {each.key_hash: each for each in self._by_token.values() if each.key_hash}

    def __iter__(self) -> Iterator[Customer]:
        return iter(self._by_token.values())

    @property
    def tokens(self) -> tuple[Token, ...]:
        """All of them."""
        return tuple(self._by_token)

    @property
    def has_customers(self) -> bool:
        """Whether it matters who asks: there is more to choose from than `default` for everybody."""
        return bool(self._by_host or self._by_hash) or self._by_token.keys() != {DEFAULT_TOKEN}

    def of_host(self, host: str) -> Customer | None:
        """The customer of requests to this host name (a port is ignored): the one that names it, else `default` where
        there is such a token, else None.
        """
        name = host.lower().rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host.lower()
        return self._by_host.get(name.rstrip("."), self._by_token.get(DEFAULT_TOKEN))

    def of_key(self, key: str) -> Customer | None:
        """The customer whose key this is; None if it is nobody's."""
        return self._by_hash.get(hash_key(key))

    def get(self, token: Token) -> Customer | None:
        """The customer of that token; None if nobody has it."""
        return self._by_token.get(token)

    def limit(self, token: Token) -> int | None:
        """Credits that the token may spend in a month, None for any number."""
        customer = self._by_token.get(token)
        return None if customer is None else customer.credits_per_month


def make_key() -> str:
    """A new key: 32 random bytes."""
    return _KEY_PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """SHA-256 in hex. A key is random and long, so a slow hash would guard nothing; looked up by its hash, it is not
    compared byte by byte either.
    """
    return hashlib.sha256(key.encode()).hexdigest()
