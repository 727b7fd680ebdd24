"""PURE: the origin that a request names, told apart from the pages that every web server is asked for."""

from __future__ import annotations

from urllib.parse import unquote

from pellucid.errors import NoSuchPageError
from pellucid.spec import OriginRef
from pellucid.url.hosts import NoHostError
from pellucid.url.origin import has_scheme, is_alias, read_origin, split_address


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_PICTURES = _words("png jpg jpeg jpe jfif gif webp avif svg svgz ico bmp tif tiff heic heif jxl jp2 psd")

_FILES = _PICTURES | _words(
    "php php3 php4 php5 php7 phtml phar asp aspx ashx asmx axd jsp jspx jsf cgi fcgi cfm exe dll bat cmd ps1",
    "html htm xhtml shtml xml xsl rss json yaml yml toml ini conf config cfg env log lock",
    "js mjs cjs jsx tsx css scss wasm webmanifest manifest",
    "txt rst csv tsv pdf doc docx xls xlsx ppt pptx odt rtf mp3 mp4 m4a m4v webm avi mkv ogg wav flac",
    "woff woff2 ttf otf eot tar tgz bz2 rar jar war iso img bin dmg apk",
    "bak old orig swp tmp sql sqlite mdb dump pem key crt cer pfx p12 git gitignore htaccess htpasswd",
)
"""Endings of files that are no top-level domain (IANA's list, April 2025). `do`, `map`, `md`, `mov`, `pl`, `py`, `sh`,
`so` and `zip` are some, and all of two letters but `js` may become one.
"""

_SHOWN = 64


def read_request_origin(raw_path: str, *, url_encoded: bool) -> OriginRef:
    """`read_origin`, for the path of a request.

    Browsers and robots ask every server for `/index.html`, `/wp-login.php`, `/.env`, `/apple-touch-icon.png`: none of
    these is the name of a host, and no name server needs to be asked to know. Raises NoSuchPageError where neither
    scheme, alias nor port says that there is an origin, and

    * there is nothing but one segment: a picture has a path on its host (`/h.example/` asks for the host's own page);
    * or the first segment begins with a dot, or ends like a file: `/.well-known/security.txt`, `/xmlrpc.php/a`;
    * or it is the name of no host, and the last one does not end like a picture: `/wp-admin/setup.php`, `/cgi-bin/x`.

    BadOriginError remains for what an author of pages wrote: `/photos/a.jpg` lacks a host, `/h.example%2Fa.jpg` is
    encoded and does not say so.
    """
    address, query = split_address(raw_path, url_encoded=url_encoded)
    first, slash, rest = address.partition("/")
    name = unquote(first)
    if has_scheme(address) or is_alias(address) or "/" in name or not any(map(str.isalnum, name)):
        return read_origin(raw_path, url_encoded=url_encoded)
    if not (slash or query) or name.startswith("."):
        raise _no_page(address)
    try:
        ref = read_origin(raw_path, url_encoded=url_encoded)
    except NoHostError as error:
        if _ending(unquote(rest)) in _PICTURES:
            raise
        raise NoSuchPageError(str(error)) from error
    if _ending(ref.host) in _FILES:
        raise _no_page(address)
    return ref


def _ending(name: str) -> str:
    """What stands behind the last dot of the last segment; '' for none."""
    return name.rpartition("/")[2].rpartition(".")[2].lower()


def _no_page(address: str) -> NoSuchPageError:
    shown = address if len(address) <= _SHOWN else f"{address[: _SHOWN - 1]}…"
    return NoSuchPageError(
        f"{f'/{shown}'!r} is no page of this server, and names no origin; write /host/path or an alias"
    )
