"""Pure: CSS selectors of the kinds that drawings use, and which elements they match.

Types, `*`, identifiers, classes, attributes, `:root`, `:not()` of one of these, descendants, children. A selector of
another kind matches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

Token = Any
"""A component value of tinycss2."""

Specificity = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compound:
    """What one element must be: each member that is set counts. `values` are attributes with what they must equal, None
    for any value.
    """

    tag: str | None = None
    ids: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    values: tuple[tuple[str, str | None], ...] = ()
    is_root: bool = False
    excluded: tuple[Compound, ...] = ()

    @property
    def specificity(self) -> Specificity:
        """As in Selectors 4, section 17."""
        own = (len(self.ids), len(self.classes) + len(self.values) + self.is_root, int(self.tag is not None))
        within = [each.specificity for each in self.excluded]
        first, second, third = (sum(each) for each in zip(own, *within, strict=True))
        return first, second, third

    def matches(self, subject: Subject) -> bool:
        """Whether the element by itself is one of these."""
        return (
            (self.tag is None or self.tag == subject.tag)
            and (not self.is_root or subject.is_root)
            and self.ids <= {subject.attributes.get("id", "")}
            and self.classes <= subject.classes
            and all(
                name in subject.attributes and value in (None, subject.attributes[name]) for name, value in self.values
            )
            and not any(each.matches(subject) for each in self.excluded)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An element, as selectors see it: its local name and its attributes."""

    tag: str
    attributes: Mapping[str, str]
    is_root: bool
    classes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Compounds from the outermost on; `child[i]` = the i-th is to be a child of the one before, not any descendant."""

    compounds: tuple[Compound, ...]
    child: tuple[bool, ...]

    @property
    def specificity(self) -> Specificity:
        """The sum of its compounds'."""
        first, second, third = (sum(each) for each in zip(*(each.specificity for each in self.compounds), strict=True))
        return first, second, third


class Reached:
    """How far selectors have come on the way down to an element: for each, its compounds (as bits) that end at the
    element itself, and at any of its ancestors or itself.
    """

    def __init__(self, here: list[int], above: list[int]) -> None:
        self._here = here
        self._above = above

    @classmethod
    def nowhere(cls, count: int) -> Reached:
        """Above the root, of `count` selectors."""
        return cls([0] * count, [0] * count)

    def step(self, selectors: Sequence[Selector], subject: Subject) -> tuple[Reached, list[int]]:
        """One element further down, and the numbers of the selectors that match it."""
        here, above, matched = [0] * len(selectors), list(self._above), list[int]()
        for number, selector in enumerate(selectors):
            last = len(selector.compounds) - 1
            for at, compound in enumerate(selector.compounds):
                before = self._here[number] if selector.child[at] else self._above[number]
                if (at == 0 or before >> (at - 1) & 1) and compound.matches(subject):
                    here[number] |= 1 << at
            above[number] |= here[number]
            if here[number] >> last & 1:
                matched.append(number)
        return Reached(here, above), matched


def parse_selectors(tokens: Sequence[Token]) -> list[Selector]:
    """Those of a list with commas that are of a known kind."""
    parts = [list(part) for is_comma, part in groupby(tokens, lambda each: each == ",") if not is_comma]
    parsed = [_parse_selector(part) for part in parts]
    return [each for each in parsed if each is not None]


def _parse_selector(tokens: list[Token]) -> Selector | None:
    while tokens and tokens[-1].type == "whitespace":
        tokens.pop()
    compounds, child, part = list[Compound](), list[bool](), list[Token]()
    to_child = False
    for token in [*tokens, None]:
        combines = token is None or token.type == "whitespace" or _is(token, ">")
        if not combines:
            part.append(token)
            continue
        if part:
            compound = _parse_compound(part)
            if compound is None:
                return None
            compounds.append(compound)
            child.append(to_child)
            part, to_child = [], False
        to_child = to_child or _is(token, ">")
    if not compounds or to_child or child[0]:
        return None
    return Selector(compounds=tuple(compounds), child=tuple(child))


def _parse_compound(tokens: list[Token]) -> Compound | None:
    tag: str | None = None
    ids, classes, values, excluded = set[str](), set[str](), list[tuple[str, str | None]](), list[Compound]()
    is_root = False
    rest = iter(tokens)
    for at, token in enumerate(rest):
        if token.type == "ident" and at == 0:
            tag = token.value
        elif token.type == "hash" and token.is_identifier:
            ids.add(token.value)
        elif _is(token, "."):
            named = next(rest, None)
            if named is None or named.type != "ident":
                return None
            classes.add(named.value)
        elif token.type == "[] block":
            value = _parse_attribute(token.content)
            if value is None:
                return None
            values.append(value)
        elif _is(token, ":"):
            named = next(rest, None)
            if named is None:
                return None
            if named.type == "ident" and named.lower_value == "root":
                is_root = True
                continue
            inner = _parse_not(named)
            if inner is None:
                return None
            excluded.append(inner)
        elif not _is(token, "*") or at != 0:
            return None
    return Compound(
        tag=tag,
        ids=frozenset(ids),
        classes=frozenset(classes),
        values=tuple(values),
        is_root=is_root,
        excluded=tuple(excluded),
    )


def _parse_not(token: Token) -> Compound | None:
    if token.type != "function" or token.lower_name != "not":
        return None
    return _parse_compound(list(_without_space(token.arguments)))


def _parse_attribute(tokens: Sequence[Token]) -> tuple[str, str | None] | None:
    """`[name]` or `[name=value]`."""
    match list(_without_space(tokens)):
        case [name] if name.type == "ident":
            return name.value, None
        case [name, equals, value] if name.type == "ident" and equals == "=" and value.type in ("ident", "string"):
            return name.value, value.value
        case _:
            return None


def _is(token: Token, character: str) -> bool:
    return bool(token == character)


def _without_space(tokens: Sequence[Token]) -> Iterator[Token]:
    return (each for each in tokens if each.type != "whitespace")
