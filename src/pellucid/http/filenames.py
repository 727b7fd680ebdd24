"""Pure: the name under which a browser saves a picture, in `Content-Disposition` (RFC 6266, RFC 8187)."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, unquote

from pellucid.formats import FORMATS, ImageFormat
from pellucid.spec import OriginRef
from pellucid.uploads.store import UPLOADS_ALIAS

_NAMELESS = "picture"
"""The name of what has none: the root of a host, and uploads, whose own names are not kept."""

_EXTENSIONS = {traits.media_type: format_.extension for format_, traits in FORMATS.items()}

_DROPPED_ENDINGS = frozenset(
    (
        *(format_.extension for format_ in ImageFormat),
        *("apng", "dib", "heif", "hif", "j2k", "jfif", "jpe", "jpeg", "jpf", "jpx", "svgz", "tif"),
        *("ashx", "asp", "aspx", "cgi", "jsp", "php"),
    )
)
"""Endings of pictures, and of scripts that send them: the sent format's comes in their place. Others are part of the
name.
"""

_UNSAFE = re.compile(r'["%*/:;<>?\\|]')
"""What some file system or some reader of the header takes for something else."""

_EDGES = " .-"
"""Where a name begins with one of these, it is hidden or taken for an option."""

_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Categories of characters that show nothing, or turn what follows around: `gpj.exe` can look like a JPEG."""

_ATTR_CHARS = "!#$&+-.^_`|~"
"""What stands for itself in `filename*` besides letters and digits (RFC 8187, section 3.2.1)."""

_READ = 1000
_MAX_NAME = 64
_MAX_ENCODED = 150
"""Characters: of a name that are looked at, of the name without its ending, and of that percent-encoded. All headers
together have little room (`headers.MAX_HEADER_BYTES`).
"""


def content_disposition(origin: OriginRef, media_type: str, *, attached: bool = False) -> bytes:
    """`inline`, or `attachment` if it is to be saved and not shown, and the origin's name, with the ending of what is
    really sent. Where it is not ASCII it comes twice: as near as ASCII allows, and in full in `filename*`. At most 300
    bytes.
    """
    name = _stem(origin)
    ending = _EXTENSIONS[media_type]
    plain = _to_ascii(name)
    value = f'{"attachment" if attached else "inline"}; filename="{plain}.{ending}"'
    if plain != name:
        value += f"; filename*=UTF-8''{_encoded(name)}.{ending}"
    return value.encode("ascii")


def _stem(origin: OriginRef) -> str:
    """The last segment of the path that is one, made safe, without its ending; never empty."""
    if origin.alias == UPLOADS_ALIAS:
        return _NAMELESS
    segments = [each for each in origin.path.split("/") if each] or [""]
    name = _tidied(unquote(segments[-1][-_READ:], errors="ignore"))
    stem, dot, ending = name.rpartition(".")
    if dot and ending.lower() in _DROPPED_ENDINGS:
        name = stem
    return name.strip(_EDGES)[:_MAX_NAME].strip(_EDGES) or _NAMELESS


def _tidied(text: str) -> str:
    """`text` with neither unseen nor unsafe characters, and of an encoded path its last part."""
    seen = "".join(char for char in unicodedata.normalize("NFC", text) if unicodedata.category(char) not in _UNSEEN)
    last = seen.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return " ".join(_UNSAFE.sub("_", last).split())


def _to_ascii(name: str) -> str:
    """`name` without accents, `_` for a run of what ASCII has nothing like."""
    if name.isascii():
        return name
    bare = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    plain = _UNSAFE.sub("_", re.sub(r"[^\x20-\x7e]+", "_", bare))[:_MAX_NAME].strip(_EDGES)
    return plain if any(map(str.isalnum, plain)) else _NAMELESS


def _encoded(name: str) -> str:
    """As much of `name`, percent-encoded UTF-8, as there is room for: whole characters only."""
    encoded = ""
    for char in name:
        longer = encoded + quote(char, safe=_ATTR_CHARS)
        if len(longer) > _MAX_ENCODED:
            break
        encoded = longer
    return encoded
