"""PURE: cache busters: parameters that make a URL new to caches."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from pellucid.url.codecs import write_text
from pellucid.url.params.param import Param

_BARE = re.compile(r"v[0-9]{1,9}")
_LONGEST = 64


def read_version(text: str) -> str:
    """Any text; a long one by its digest (BLAKE2b, 16 bytes, in hex)."""
    if len(text) <= _LONGEST:
        return text
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def join_versions(versions: Sequence[str]) -> str:
    """One version for a URL that has several: each of them counts."""
    return read_version(",".join(versions))


def is_bare_version(name: str, text: str) -> bool:
    """Whether a parameter is `v2`, without a value."""
    return not text and _BARE.fullmatch(name) is not None


VERSION = Param(
    name="v",
    aliases=("vh", "version"),
    reader=read_version,
    writer=lambda version: write_text(version or None),
    field="version",
    doc="A cache buster: another value, or a bare `v2`, is another URL to every cache. The origin's server is asked "
    "whether the picture changed, and the image is rendered anew; its matte is the same.",
    grammar="any text",
)
