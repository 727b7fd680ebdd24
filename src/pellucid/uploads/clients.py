"""Who sent an upload, as the database holds it."""

from __future__ import annotations

import hashlib

from pellucid.concurrency.clients import client_network


def client_digest(address: str, *, key: bytes) -> str:
    """What the database holds of a client: 32 hex digits. Keyed (BLAKE2b, up to 64 bytes) with what does not leave the
    machine, because all IPv4 addresses are tried in a minute.
    """
    return hashlib.blake2b(client_network(address).encode(), key=key, digest_size=16).hexdigest()
