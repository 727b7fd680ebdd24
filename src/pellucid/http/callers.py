"""Who asks: the token of a request, by its key or the host name that it was sent to; and whether it is the operator."""

from __future__ import annotations

from hmac import compare_digest

from pellucid.errors import KeyNeededError
from pellucid.spec import DEFAULT_TOKEN, Token
from pellucid.tokens import Customers

_SCHEME = "bearer "


class Callers:
    """Reads `Host` and `Authorization: Bearer KEY`. `admin_key` is the operator's, '' for none."""

    def __init__(self, customers: Customers, *, admin_key: str) -> None:
        self._customers = customers
        self._admin_key = admin_key
        self.told_apart = customers.told_apart
        """Whether answers may differ from token to token."""

    def token_of(self, host: str, authorization: str) -> Token:
        """Whose request it is, from the values of the two headers ('' for none). A key goes before the host. Raises
        KeyNeededError for a key that nobody has, and for a host without a token.
        """
        if not self.told_apart:
            return DEFAULT_TOKEN
        key = bearer_key(authorization)
        if key and not self.is_operator(authorization):
            token = self._customers.of_key(key)
            if token is None:
                raise KeyNeededError("the key in Authorization is nobody's")
            return token
        token = self._customers.of_host(host)
        if token is None:
            raise KeyNeededError(f"the host {host!r} is none of a customer's; send Authorization: Bearer KEY")
        return token

    def token_of_key(self, authorization: str) -> Token | None:
        """The token whose key was sent; None without one or with one that nobody has."""
        key = bearer_key(authorization)
        return self._customers.of_key(key) if key else None

    def is_operator(self, authorization: str) -> bool:
        """Whether the operator's key was sent."""
        return bool(self._admin_key) and compare_digest(bearer_key(authorization).encode(), self._admin_key.encode())


def bearer_key(authorization: str) -> str:
    """The key of `Authorization: Bearer KEY`; '' for anything else, such as the Basic of a proxy in front."""
    return authorization[len(_SCHEME) :].strip() if authorization.lower().startswith(_SCHEME) else ""
