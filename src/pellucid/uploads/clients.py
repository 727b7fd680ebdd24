"""The client of an upload, as the database stores it."""

from __future__ import annotations

import hashlib

from pellucid.concurrency.clients import client_network


def client_digest(address: str, *, key: bytes) -> str:
    """The digest of a client's address in the database: 32 hex digits. It is keyed (BLAKE2b, up to 64 bytes) with a
    secret of the machine, because trying all IPv4 addresses takes a minute.
    """
    return hashlib.blake2b(client_network(address).encode(), key=key, digest_size=16).hexdigest()
