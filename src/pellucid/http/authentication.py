"""Who asks: the customer of a request, by its key or the host name it was sent to; and whether it is the operator."""

from __future__ import annotations

from collections.abc import Iterable
from hmac import compare_digest
from typing import NamedTuple

from starlette.types import Scope

from pellucid.concurrency.clients import Client, client_network
from pellucid.customers.customer import Customer, Customers
from pellucid.errors import AuthenticationError
from pellucid.spec import DEFAULT_TOKEN, Token

_SCHEME = "bearer "
_IDENTIFYING = frozenset({b"host", b"authorization"})


class Caller(NamedTuple):
    """Whose request it is; `has_key` if a key said so: such an answer is for this caller alone."""

    customer: Customer
    has_key: bool = False


class Authenticator:
    """Reads `Host` and `Authorization: Bearer KEY`. `admin_key` is the operator's, '' for none."""

    def __init__(self, customers: Customers, *, admin_key: str) -> None:
        self._customers = customers
        self._admin_key = admin_key
        self.has_customers = customers.has_customers
        """Whether answers may differ from customer to customer."""
        default = customers.get(DEFAULT_TOKEN)
        self._everybody = Caller(default) if default is not None and not self.has_customers else None

    def authenticate_values(self, host: str, authorization: str) -> Caller:
        """Whose request it is, from the values of the two headers ('' for none). A key goes before the host. Raises
        AuthenticationError for a key that nobody has, and for a host without a token.
        """
        if self._everybody is not None:
            return self._everybody
        key = bearer_key(authorization)
        if key and not self.is_operator(authorization):
            customer = self._customers.of_key(key)
            if customer is None:
                raise AuthenticationError("the key in Authorization is nobody's")
            return Caller(customer, has_key=True)
        customer = self._customers.of_host(host)
        if customer is None:
            raise AuthenticationError(f"the host {host!r} is none of a customer's; send Authorization: Bearer KEY")
        return Caller(customer)

    def authenticate(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """`authenticate_values` from the headers of an ASGI scope."""
        if self._everybody is not None:
            return self._everybody
        values = {name: value.decode("latin-1") for name, value in headers if name in _IDENTIFYING}
        return self.authenticate_values(values.get(b"host", ""), values.get(b"authorization", ""))

    def authenticate_or_none(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller | None:
        """`authenticate`; None where that raises AuthenticationError."""
        try:
            return self.authenticate(headers)
        except AuthenticationError:
            return None

    def token_of(self, host: str, authorization: str) -> Token:
        """The token alone."""
        return self.authenticate_values(host, authorization).customer.token

    def token_of_key(self, authorization: str) -> Token | None:
        """The token whose key was sent; None without one or with one that nobody has."""
        key = bearer_key(authorization)
        customer = self._customers.of_key(key) if key else None
        return None if customer is None else customer.token

    def is_operator(self, authorization: str) -> bool:
        """Whether the operator's key was sent."""
        return bool(self._admin_key) and compare_digest(bearer_key(authorization).encode(), self._admin_key.encode())


def client_of(scope: Scope) -> Client:
    """Where a request comes from: what a trusted proxy says of its own client, else the other end of the connection."""
    address: tuple[str, int] | None = scope.get("client")
    return client_network(address[0] if address else "")


def bearer_key(authorization: str) -> str:
    """The key of `Authorization: Bearer KEY`; '' for anything else, such as the Basic of a proxy in front."""
    return authorization[len(_SCHEME) :].strip() if authorization.lower().startswith(_SCHEME) else ""
