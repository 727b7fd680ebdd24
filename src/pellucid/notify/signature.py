"""Pure: signatures of webhooks by the Standard Webhooks specification, version 1.0.0 (symmetric scheme)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

_PREFIX = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64

_HOW = "a secret is 24 to 64 random bytes in base64, with or without whsec_; `openssl rand -base64 32` makes one"


def signing_keys(secrets: str) -> tuple[bytes, ...]:
    """The keys of comma-separated secrets; none for an empty text. Two secrets serve a change of secrets: messages
    carry a signature by each, so that receivers may change at any time in between.

    Raises ValueError, which does not repeat the text.
    """
    return tuple(_key(part.strip()) for part in secrets.split(",") if part.strip())


class SigningKeys:
    """The keys that sign messages to a URL: those of `by_url`, else `keys`."""

    def __init__(self, keys: tuple[bytes, ...], by_url: Mapping[str, tuple[bytes, ...]] | None = None) -> None:
        self._keys = keys
        self._by_url = dict(by_url or {})

    def of(self, url: str) -> tuple[bytes, ...]:
        """The keys for a URL; none if no secret is set."""
        return self._by_url.get(url, self._keys)


def signature_headers(keys: Sequence[bytes], *, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three signature headers of one attempt. `timestamp` is the time of the attempt, in seconds since the epoch.
    `message_id` is the same at every attempt, and must not contain a full stop.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _key(secret: str) -> bytes:
    text = secret.removeprefix(_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(_HOW) from None
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(_HOW)
    return key
