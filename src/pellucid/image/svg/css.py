"""The typed face of tinycss2: style sheets and style attributes as plain values, and `var()` in them.

Only what an `<img>` shows counts: rules for print, for dark colour schemes or for sizes of a window are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import tinycss2 as _untyped

from pellucid.image.svg.selectors import Selector, Token, parse_selectors

_css: Any = _untyped

_TRUE_MEDIA = frozenset(
    {
        "all",
        "screen",
        "only screen",
        "(prefers-color-scheme: light)",
        "(prefers-color-scheme:light)",
        "(prefers-reduced-motion: no-preference)",
        "(prefers-reduced-motion:no-preference)",
    }
)

_MOST_LEVELS = 16
_LONGEST_VALUE = 2000
"""Characters of a value whose variables are put in: they may be made of each other, doubling each time."""


class Declaration(NamedTuple):
    """`name: value`, with `!important` or not. Names are in lower case, but for those of variables."""

    name: str
    value: str
    important: bool


class Rule(NamedTuple):
    """What elements that one of `selectors` matches are given; `in_media` = inside an `@media` that holds."""

    selectors: list[Selector]
    declarations: list[Declaration]
    in_media: bool


def parse_sheet(text: str) -> list[Rule]:
    """The style rules of `text` in their order. What cannot be read is left out, as in browsers."""
    rules = _css.parse_stylesheet(text, skip_comments=True, skip_whitespace=True)
    return list(_read_rules(rules, in_media=False))


def _read_rules(rules: list[Any], *, in_media: bool) -> Iterator[Rule]:
    for rule in rules:
        if rule.type == "qualified-rule":
            yield Rule(parse_selectors(rule.prelude), _declarations(rule.content), in_media)
        elif _is_media(rule) and holds(_css.serialize(rule.prelude)):
            inner = _css.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
            # No deeper: nobody nests them.
            yield from _read_rules([each for each in inner if each.type == "qualified-rule"], in_media=True)


def _is_media(rule: Token) -> bool:
    return rule.type == "at-rule" and rule.lower_at_keyword == "media" and rule.content is not None


def holds(media: str) -> bool:
    """Whether a list of media queries is true for a picture on a light page, as far as that is known."""
    queries = [" ".join(each.lower().split()) for each in media.split(",")]
    return any(all(part in _TRUE_MEDIA for part in query.split(" and ")) or not query for query in queries)


def parse_declarations(text: str) -> list[Declaration]:
    """Those of a `style` attribute."""
    return _declarations(text)


def _declarations(content: str | list[Any]) -> list[Declaration]:
    return [
        Declaration(
            each.name if each.name.startswith("--") else each.lower_name,
            _css.serialize(each.value).strip(),
            bool(each.important),
        )
        for each in _css.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True)
        if each.type == "declaration"
    ]


Lookup = Callable[[str], str | None]
"""The value of a variable, None where it has none."""


def put_in(value: str, lookup: Lookup) -> str | None:
    """`value` with each `var(--name, fallback)` replaced; None where that is not possible: then the declaration counts
    as `unset` (CSS Custom Properties 1, section 3).
    """
    try:
        return _join(_tokens(value), lookup, level=0)
    except _NoValueError:
        return None


class _NoValueError(Exception):
    pass


@lru_cache(1024)
def _tokens(value: str) -> list[Any]:
    return _css.parse_component_value_list(value)


def _join(tokens: list[Any], lookup: Lookup, *, level: int) -> str:
    if level > _MOST_LEVELS:
        raise _NoValueError
    joined = "".join(_text(each, lookup, level) for each in tokens)
    if len(joined) > _LONGEST_VALUE:
        raise _NoValueError
    return joined


def _text(token: Token, lookup: Lookup, level: int) -> str:
    if token.type != "function":
        return str(token.serialize())
    if token.lower_name != "var":
        return f"{token.name}({_join(token.arguments, lookup, level=level + 1)})"
    comma = next((at for at, each in enumerate(token.arguments) if each == ","), len(token.arguments))
    name = "".join(str(each.serialize()) for each in token.arguments[:comma]).strip()
    found = lookup(name)
    if found is not None:
        return found
    if comma == len(token.arguments):
        raise _NoValueError
    return _join(token.arguments[comma + 1 :], lookup, level=level + 1).strip()
