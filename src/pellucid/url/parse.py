"""PURE: path and query of a request -> `Spec`. The inverse of `url.build`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from pellucid.errors import BadValueError
from pellucid.spec import Spec
from pellucid.url.cloudimage import REFUSED, REFUSED_GRAMMAR
from pellucid.url.pages import read_request_origin
from pellucid.url.params import PARAMS_BY_SPELLING, URL_ENCODED, make_spec
from pellucid.url.params.version import VERSION, is_bare_version, join_versions
from pellucid.url.percent import to_ascii
from pellucid.url.spelling import compact

_REFUSED = frozenset(compact(name) for absent in REFUSED for name in absent.names)

_ESCAPED = re.compile(r"(?:(?:amp|#0*38|#x0*26);)+", re.IGNORECASE)
"""What is left of an `&` that was escaped for HTML, once or more often, where it is cut at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedUrl:
    """`ignored` names the unknown parameters, decoded, each once, in the URL's order."""

    spec: Spec
    ignored: tuple[str, ...]


def parse_url(raw_path: str, query: str) -> ParsedUrl:
    """What a URL asks for. `raw_path` is undecoded and starts with `/`; `query` is undecoded and has no `?`.

    Of a parameter that comes more than once, under whatever spelling, the last one counts; of cache busters all do.
    Raises BadValueError for a
    known parameter outside its grammar and for a signature, which nobody would check; BadOriginError for a path that
    names no origin, in the form of NoSuchPageError for one that every web server is asked for.
    """
    last: dict[str, tuple[str, str]] = {}
    ignored: dict[str, None] = {}
    versions: list[str] = []
    for spelling, text in _pairs(query):
        param = PARAMS_BY_SPELLING.get(spelling)
        if param is VERSION or is_bare_version(spelling, text):
            versions.append(text or spelling)
        elif param is not None:
            last[param.name] = spelling, text
        elif compact(spelling) in _REFUSED:
            raise BadValueError(parameter=spelling, value=text, grammar=REFUSED_GRAMMAR)
        else:
            ignored[spelling] = None
    values = {PARAMS_BY_SPELLING[name].field: _read(spelling, text) for name, (spelling, text) in last.items()}
    if versions:
        values[VERSION.field] = join_versions(versions)
    url_encoded = values.pop(URL_ENCODED.field, False)
    origin = read_request_origin(raw_path, url_encoded=url_encoded)
    return ParsedUrl(spec=make_spec(origin, values), ignored=tuple(ignored))


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    """Decoded names and values. Real clients send `?&w=1`, a trailing `&`, `+` for a space and encoded commas, and
    `&amp;` where a URL was escaped for HTML once too often.
    """
    for piece in to_ascii(query).lstrip("?").split("&"):
        name, _, value = piece.partition("=")
        name = unquote_plus(name)
        escaped = _ESCAPED.match(name)
        name = name[escaped.end() :] if escaped else name
        if name:
            yield name, unquote_plus(value)


def _read(spelling: str, text: str) -> Any:  # noqa: ANN401 - as many types as parameters
    param = PARAMS_BY_SPELLING[spelling]
    try:
        return param.reader(text)
    except ValueError as error:
        raise BadValueError(parameter=spelling, value=text, grammar=param.grammar) from error
