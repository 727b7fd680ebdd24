"""Pure: digests and store keys. Digests are BLAKE2b with 16 bytes, in hex."""

from __future__ import annotations

import hashlib

from pellucid.spec import OriginRef, Tier, Token

RENDER_VERSION = 7
"""Part of every rendition key. Raise it when a change of the code gives other pixels or bytes for the same plan."""


def digest(data: bytes | bytearray) -> str:
    """The content digest of `data`: 32 hex digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def origin_digest_of(ref: OriginRef) -> str:
    """Digest of an origin's URL, for where the URL would be too long: 32 hex digits."""
    return digest(str(ref).encode())


def origin_record_key(token: Token, ref: OriginRef) -> str:
    """Store key of the record of one origin of one token (validators, digest, image facts)."""
    return record_key_of(token, origin_digest_of(ref))


def record_key_of(token: Token, origin: str) -> str:
    """`origin_record_key` of an origin given by its `origin_digest_of`."""
    return f"origins/{token}/{origin}"


def origin_bytes_key(origin_digest: str) -> str:
    """Store key of an origin's bytes. It is made from their content, so two URLs with the same image share them."""
    return f"bytes/{origin_digest}"


def page_digest(digest_: str, page: int) -> str:
    """What one page of `digest_` is called: its own name for the first, another one of 32 hex digits for any other."""
    return digest_ if page == 1 else digest(f"{digest_} {page}".encode())


def insights_key(picture: str) -> str:
    """Store key of what was found in an image (`page_digest`): by content, as its bytes are."""
    return f"insights/{picture}"


def matte_name(origin_digest: str, page: int, recipe_id: str) -> str:
    """The name of a matte, and of its job; `page` counts from 0. It has no token: the same bytes have the same
    matte, and every customer that requests it has access to the bytes.
    """
    return f"{origin_digest}.{page}.{recipe_id}"


def newest_matte_key(origin_digest: str, page: int, tier: Tier) -> str:
    """Store key of the pointer to the newest matte, which older versions without rows of mattes wrote."""
    return f"mattes/newest/{origin_digest}.{page}.{tier}"


def origin_tag(token: Token, ref: OriginRef) -> str:
    """The tag of an origin in `Cache-Tag` and `Surrogate-Key`: letters and digits, which every CDN accepts."""
    return f"o{digest(f'{token} {ref}'.encode())[:20]}"


def matte_key(name: str) -> str:
    """Store key of a matte, in a folder that is never evicted."""
    return f"mattes/{name}"


def rendition_key(token: Token, *parts: str) -> str:
    """Store key of a rendition. `parts` are everything that its bytes depend on: origin digest, matte name or '-', the
    plan, the output. The URL is not among them, so two URLs for the same result share one rendition.
    """
    text = "\n".join((str(RENDER_VERSION), *parts))
    return f"renditions/{token}/{digest(text.encode())}"
