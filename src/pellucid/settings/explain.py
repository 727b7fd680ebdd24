"""PURE: what is wrong with settings, in sentences that say how to mend it."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast, get_args, get_origin

from pydantic_core import ErrorDetails

from pellucid.settings.names import (
    SHOWN,
    SettingPath,
    dotted,
    fields_of,
    holds_secret,
    kind_at,
    shorten,
    variable_name,
)
from pellucid.settings.unknown import explain_unknown

_LARGEST = 10**SHOWN

_CUSTOMER = ("tokens", "NAME")


def explain_problems(
    problems: Iterable[ErrorDetails], *, given: Collection[str], toml: Mapping[str, Any], file: str
) -> list[str]:
    """A sentence for each of pydantic's `problems`. `toml` is what stands in `file`, which is said unless what is wrong
    came another way: `given` are the names of the variables, and of the settings that flags set.
    """
    rules: dict[str, list[str]] = {}  # by what is wrong: a union of types has a problem for each of them
    for problem in problems:
        variable = variable_name(_setting(problem["loc"]))
        if variable not in given and _stands_in(toml, problem["loc"]):
            what, rule = _explain(problem)
            what = f"{file}: {what}"
        else:
            what, rule = _explain(problem, variable=variable)
        rules.setdefault(what, []).append(rule)
    return [what + _any_of(each) for what, each in rules.items()]


def _any_of(rules: Iterable[str]) -> str:
    first, *more = dict.fromkeys(rules)
    return ", or ".join([first, *(rule.removeprefix("it must be ") for rule in more)])


def explain_top(toml: Mapping[str, Any], *, file: str) -> list[str]:
    """A sentence for each name at the top of `file` that is none of ours, as it is spelt, and for each value that
    stands where a table belongs. Sources that are merged would hide both.
    """
    known = fields_of(())
    unknown = [explain_unknown((name,), value) for name, value in toml.items() if name not in known]
    misplaced = [
        _wrong((name,), value) + _must_be_table((name,))
        for name, value in toml.items()
        if fields_of((name,)) and not isinstance(value, dict)
    ]
    return [f"{file}: {sentence}" for sentence in (*unknown, *misplaced)]


def _explain(problem: ErrorDetails, *, variable: str = "") -> tuple[str, str]:
    """What is wrong, and what it must be."""
    loc, value = problem["loc"], problem["input"]
    if problem["type"] == "extra_forbidden":
        return (f"{variable}: " if variable else "") + explain_unknown(tuple(map(str, loc)), value), ""
    path = _known_part(loc)
    if problem["type"] == "value_error" and isinstance(value, dict):
        value = None  # a table is what it should be: one of its entries is wrong, and the rule says which
    return _wrong(path, value, variable=variable), _rule(problem, path, in_json=bool(variable))


def _wrong(path: tuple[int | str, ...], value: object, *, variable: str = "") -> str:
    """The setting and what it is, up to the words that say what it must be."""
    secret = holds_secret(path)
    shown = path[: _own_depth(path)] if secret else path
    name = dotted(shown) + (", in an entry" if shown != path else "") + (f" ({variable})" if variable else "")
    if secret:
        return f"{name}: "
    match value:
        case None:
            return f"{name}: "
        case dict():
            return f"{name} is a table here; "
        case list() if value and all(isinstance(each, dict) for each in cast("list[object]", value)):
            return f"{name} is a list of tables, [[{dotted(path)}]]; "
        case _:
            return f"{name} = {_shown(value)}: "


def _rule(problem: ErrorDetails, path: tuple[int | str, ...], *, in_json: bool) -> str:
    """What a value must be, by pydantic's name for the problem. `in_json`: a table would be written so."""
    kind = problem["type"]
    if problem["loc"][-1:] == ("[key]",) and path[:1] == ("tokens",):
        return "a customer's name has lower-case letters, digits and -, at most 40"
    if fields_of(tuple(map(str, path))) or (kind == "dict_type" and path == ("tokens",)):
        return "it must be a JSON object, {...}" if in_json else _must_be_table(path)
    if kind == "dict_type":
        return _must_be_names(path)
    if kind in _RULES:
        return _RULES[kind].format_map({name: _plain(each) for name, each in problem.get("ctx", {}).items()})
    # Of a check of ours, its own words.
    words = problem["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    return words[0].lower() + words[1:] if words[:2].istitle() else words


def _must_be_table(path: tuple[int | str, ...]) -> str:
    if path == ("tokens",):
        return "it must be a table for each customer, [tokens.NAME]"
    if path[:1] == ("tokens",) and path[-1] in fields_of(_CUSTOMER):
        return f"it must stand in the table of a customer, [tokens.NAME]; [{dotted(path)}] would be one of that name"
    return f"it must be a table, [{dotted(path)}]"


def _must_be_names(path: tuple[int | str, ...]) -> str:
    """The rule for a table whose names are the user's."""
    if any(get_origin(each) is dict for each in get_args(kind_at(path))):
        return "it must be a table of tables, or a text of JSON"
    if len(path) > len(_setting(path)):
        return "it must be a table of names and values"
    return "it must be a table of names and values, or a text, name=value,name=value"


_BOOLEAN = "it must be true or false"
_LIST = "it must be a list, or a text with commas"
_NETWORK = "it must be a network, such as 10.0.0.0/8 or 2001:db8::/32, with no bits beyond its prefix"
_NUMBER = "it must be a number"
_WHOLE = "it must be a whole number"

_RULES: dict[str, str] = {
    "bool_parsing": _BOOLEAN,
    "bool_type": _BOOLEAN,
    "enum": "it must be {expected}",
    "finite_number": "it must be a finite number",
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "frozen_set_type": _LIST,
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be {ge} or more",
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_type": _WHOLE,
    "ip_v4_network": _NETWORK,
    "ip_v6_network": _NETWORK,
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be {le} or less",
    "literal_error": "it must be {expected}",
    "path_type": "it must be a path, in quotes",
    "string_pattern_mismatch": "it must be like {pattern}",
    "string_type": "it must be a text, in quotes",
    "too_long": "there may be {max_length} at most, not {actual_length}",
    "tuple_type": _LIST,
}
"""Pydantic's types of errors in the words of a settings file; in braces what its context says."""


def _known_part(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """`loc` without the words of pydantic's own that come after what the tree knows."""
    known = 0
    while known < len(loc) and loc[known] != "[key]" and kind_at(loc[: known + 1]) is not None:
        known += 1
    return loc[:known]


def _own_depth(path: tuple[int | str, ...]) -> int:
    """How many steps of `path` are names of ours, or of a customer. What a secret's table calls its entries is not
    repeated: that is where a whole header is pasted by mistake.
    """
    depth = len(_setting(path))
    return depth + 2 if path[:1] == ("tokens",) else depth


def _setting(loc: tuple[int | str, ...]) -> SettingPath:
    """The path of the setting, or of the table of settings, in which `loc` lies."""
    depth = 2 if fields_of((str(loc[0]),)) else 1
    return tuple(map(str, loc[:depth]))


def _stands_in(toml: Mapping[str, Any], loc: tuple[int | str, ...]) -> bool:
    value: object = toml
    for step in loc[:2]:
        if not isinstance(value, dict):
            break
        if step not in value:
            return False
        value = cast("dict[object, object]", value)[step]
    return True


def _shown(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() if abs(value) > _LARGEST:
            return "a number of many digits"  # which Python does not write out
        case datetime.date() | datetime.time():
            return value.isoformat()
        case list():
            return shorten(f"[{', '.join(map(_shown, cast('list[object]', value)[:SHOWN]))}]")
        case _:
            return shorten(repr(value))


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
