"""Pure: the identity of things. Digests are BLAKE2b with 16 bytes, in hex."""

from __future__ import annotations

import hashlib

from pellucid.spec import OriginRef, Tier, Token

RENDER_VERSION = 6
"""Part of every rendition key: raise it when the same plan gives other pixels or other bytes."""


def digest(data: bytes | bytearray) -> str:
    """The content digest of `data`: 32 hex digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def origin_digest_of(ref: OriginRef) -> str:
    """What an origin is called where its URL would be too long: 32 hex digits."""
    return digest(str(ref).encode())


def origin_record_key(token: Token, ref: OriginRef) -> str:
    """Store key of what is known about one origin of one token (validators, digest, picture facts)."""
    return record_key_of(token, origin_digest_of(ref))


def record_key_of(token: Token, origin: str) -> str:
    """`origin_record_key` of what `origin_digest_of` names."""
    return f"origins/{token}/{origin}"


def origin_bytes_key(origin_digest: str) -> str:
    """Store key of an origin's bytes: addressed by content, so two URLs with one picture share them."""
    return f"bytes/{origin_digest}"


def page_digest(digest_: str, page: int) -> str:
    """What one page of `digest_` is called: its own name for the first, another one of 32 hex digits for any other."""
    return digest_ if page == 1 else digest(f"{digest_} {page}".encode())


def insights_key(picture: str) -> str:
    """Store key of what was found in an image (`page_digest`): by content, as its bytes are."""
    return f"insights/{picture}"


def matte_name(origin_digest: str, page: int, recipe_id: str) -> str:
    """The identity of a matte, and of the job that owes it; `page` from 0. Without a token: the same bytes have the
    same matte, and whoever asks has shown the bytes.
    """
    return f"{origin_digest}.{page}.{recipe_id}"


def newest_matte_key(origin_digest: str, page: int, tier: Tier) -> str:
    """Store key under which versions before the database of mattes kept the name of the newest one."""
    return f"mattes/newest/{origin_digest}.{page}.{tier}"


def origin_tag(token: Token, ref: OriginRef) -> str:
    """The name of an origin in `Cache-Tag` and `Surrogate-Key`: letters and digits, so that every CDN takes it."""
    return f"o{digest(f'{token} {ref}'.encode())[:20]}"


def matte_key(name: str) -> str:
    """Store key of a matte; a folder of its own, outside what eviction touches."""
    return f"mattes/{name}"


def rendition_key(token: Token, *parts: str) -> str:
    """Store key of a rendition. `parts` are everything its bytes depend on: origin digest, matte name or '-', the
    plan, the output. Never the URL itself: two spellings of one wish share one rendition.
    """
    text = "\n".join((str(RENDER_VERSION), *parts))
    return f"renditions/{token}/{digest(text.encode())}"
