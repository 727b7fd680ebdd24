"""Pure: CSS variables of an SVG file put into its elements' `style`, since librsvg knows none and draws black.

The cascade is followed for the properties that a variable, or a rule inside `@media`, has a part in: the declaration
that wins is written into the element's own style, where it wins again. Variables are inherited by what is inside an
element; through `<use>` they are not. What is beyond a bound is drawn as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pellucid.image.svg.css import Declaration, Rule, parse_declarations, parse_sheet, put_in
from pellucid.image.svg.elements import Element, read_elements
from pellucid.image.svg.selectors import Reached, Selector, Specificity, Subject

_MOST_BYTES = 4 << 20
_MOST_STEPS = 1_000_000
"""Elements times compounds of selectors: 0.7 s."""
_MOST_INHERITED = 1_000_000
"""Variables that elements with some of their own inherit, all together: 0.1 s, 40 MB."""

_WANTED = re.compile(rb"\bvar\s*\(|@media\b", re.IGNORECASE)
_ATTRIBUTE = re.compile(rb"""\s++([^\s=/>"'<]++)\s*+=\s*+("[^"]*+"|'[^']*+')""")
_NAME = re.compile(rb"<[\w:.-]++")

_PRESENTATION = frozenset(
    """
    alignment-baseline baseline-shift clip-path clip-rule color color-interpolation color-interpolation-filters
    cursor cx cy direction display dominant-baseline fill fill-opacity fill-rule filter flood-color flood-opacity
    font-family font-size font-style font-variant font-weight height image-rendering letter-spacing
    lighting-color marker-end marker-mid marker-start mask mask-type opacity overflow paint-order r rx ry
    shape-rendering stop-color stop-opacity stroke stroke-dasharray stroke-dashoffset stroke-linecap
    stroke-linejoin stroke-miterlimit stroke-opacity stroke-width text-anchor text-decoration text-rendering
    transform unicode-bidi vector-effect visibility width word-spacing writing-mode x y
    """.split()  # noqa: SIM905 - a list of words
)
"""Attributes that are CSS properties as well (SVG 2, section 6.6)."""

_INHERITED = frozenset(
    """
    color fill fill-opacity fill-rule font-family font-size font-style font-weight stroke stroke-dasharray
    stroke-linecap stroke-linejoin stroke-opacity stroke-width text-anchor visibility
    """.split()  # noqa: SIM905 - a list of words
)
"""Where a variable has no value these are taken from the parent; others keep what librsvg makes of them."""

_Variables = Mapping[str, str]
_NONE: _Variables = {}


class _Weight(NamedTuple):
    """Which declaration of a property wins: the greatest."""

    important: bool
    is_inline: bool
    specificity: Specificity
    order: int


class _Candidate(NamedTuple):
    weight: _Weight
    value: str
    in_media: bool


_NO_RULE = (-1, 0, 0)
"""Presentation attributes come before all rules."""


class _TooMuchError(Exception):
    pass


def resolve_variables(text: bytes) -> bytes:
    """`text`, an SVG file in an encoding whose ASCII is ASCII, without `var()` where its value is known."""
    if len(text) > _MOST_BYTES or not _WANTED.search(text):
        return text
    try:
        return _resolve(text)
    except (RecursionError, _TooMuchError):  # brackets in brackets, without end
        return text


def _resolve(text: bytes) -> bytes:
    found = read_elements(text)
    if found is None:
        return text
    rules = parse_sheet(found.css)
    steps = sum(len(selector.compounds) for rule in rules for selector in rule.selectors)
    if steps * len(found.all) > _MOST_STEPS:
        return text
    pieces: list[bytes] = []
    done = 0
    for element, style in _styles(found.all, rules):
        tag = _restyle(text, element, style)
        if tag is None:
            continue  # out of an entity
        start, end, attribute = tag
        pieces += [text[done:start], attribute]
        done = end
    return b"".join([*pieces, text[done:]])


def _styles(elements: list[Element], rules: list[Rule]) -> Iterator[tuple[Element, str]]:
    """The elements that need one, each with what is to be added to its style."""
    selectors = [(selector, rule) for rule in rules for selector in rule.selectors]
    only_selectors = [selector for selector, _ in selectors]
    reached: list[Reached] = []
    variables: list[_Variables] = []
    copied = 0
    for element in elements:
        above = reached[element.parent] if element.parent >= 0 else Reached.nowhere(len(selectors))
        here, matched = above.step(only_selectors, _subject(element))
        reached.append(here)
        candidates = _candidates(element, [(number, *selectors[number]) for number in matched])
        inherited = variables[element.parent] if element.parent >= 0 else _NONE
        variables.append(_declare(candidates, inherited))
        copied += 0 if variables[-1] is inherited else len(inherited)
        if copied > _MOST_INHERITED:
            raise _TooMuchError
        style = _added_style(candidates, variables[-1])
        if style:
            yield element, style


def _subject(element: Element) -> Subject:
    classes = frozenset(element.attributes.get("class", "").split())
    return Subject(tag=element.tag, attributes=element.attributes, is_root=element.parent < 0, classes=classes)


def _candidates(element: Element, matched: list[tuple[int, Selector, Rule]]) -> dict[str, list[_Candidate]]:
    """What is declared for `element`, by property."""
    found: dict[str, list[_Candidate]] = {}

    def add(each: Declaration, specificity: Specificity, order: int, *, inline: bool, in_media: bool) -> None:
        weight = _Weight(each.important, inline, specificity, order)
        found.setdefault(each.name, []).append(_Candidate(weight, each.value, in_media))

    for name, value in element.attributes.items():
        if name in _PRESENTATION:
            add(Declaration(name, value, important=False), _NO_RULE, 0, inline=False, in_media=False)
    for order, selector, rule in matched:
        for each in rule.declarations:
            add(each, selector.specificity, order, inline=False, in_media=rule.in_media)
    if "style" in element.attributes:
        for each in parse_declarations(element.attributes["style"]):
            add(each, _NO_RULE, 0, inline=True, in_media=False)
    return found


def _winner(candidates: list[_Candidate]) -> _Candidate:
    """Among equals the last."""
    return max(reversed(candidates), key=lambda each: each.weight)


def _declare(candidates: Mapping[str, list[_Candidate]], inherited: _Variables) -> _Variables:
    """The variables of an element: those it inherits and its own, each with those it refers to put in."""
    own = {name: _winner(each).value for name, each in candidates.items() if name.startswith("--")}
    if not own:
        return inherited
    computed: dict[str, str | None] = {}

    def look_up(name: str) -> str | None:
        if name not in own:
            return inherited.get(name)
        if name not in computed:
            computed[name] = None  # one that refers to itself has no value
            computed[name] = put_in(own[name], look_up)
        return computed[name]

    values = {name: look_up(name) for name in own}
    return {**inherited, **{name: value for name, value in values.items() if value is not None}}


def _added_style(candidates: Mapping[str, list[_Candidate]], variables: _Variables) -> str:
    added: list[str] = []
    for name, each in candidates.items():
        winner = _winner(each)
        if name.startswith("--") or not (winner.in_media or "var(" in winner.value.lower()):
            continue
        value = put_in(winner.value, variables.get)
        if value is None and name in _INHERITED:
            value = "inherit"
        if value is not None:
            added.append(f"{name}:{value}{' !important' if winner.weight.important else ''}")
    return ";".join(added)


def _restyle(text: bytes, element: Element, style: str) -> tuple[int, int, bytes] | None:
    """What stands where in the element's start tag, and what is to stand there: its `style` with more to it. None where
    no start tag stands.
    """
    name = _NAME.match(text, element.offset)
    if name is None or name[0].rpartition(b":")[2].removeprefix(b"<") != element.tag.encode():
        return None
    escaped = (
        style.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;").encode("ascii", "xmlcharrefreplace")
    )
    at = name.end()
    while (attribute := _ATTRIBUTE.match(text, at)) is not None:
        if attribute[1] == b"style":
            quote = attribute[2][:1]
            if quote == b"'":
                escaped = escaped.replace(b"'", b"&apos;")
            kept = attribute[2][1:-1]
            return attribute.start(2), attribute.end(2), quote + kept + b";" + escaped + quote
        at = attribute.end()
    return name.end(), name.end(), b' style="' + escaped + b'"'
