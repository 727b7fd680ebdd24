"""PURE: names that are no settings, and what may have been meant."""

from __future__ import annotations

import difflib
from typing import cast

from pellucid.settings.names import PREFIX, SettingPath, dotted, fields_of, setting_names, shorten, variable_name

RENAMED = {"PELLUCID_CREDITS_URL": "PELLUCID_DATABASE_URL"}
"""Variables of older versions."""

_NEIGHBOURS = 3
"""So many settings of one name are offered, which is how many tables have a `max_bytes`."""

_ELSEWHERE = "docs/settings.md lists all"

_CUSTOMER = ("tokens", "NAME")


def explain_variable(name: str) -> str:
    """Why the variable `name`, which is none of ours, stops the start."""
    if name in RENAMED:
        return f"{name} is called {RENAMED[name]} now"
    known = {variable_name(path).removeprefix(PREFIX): variable_name(path) for path in setting_names()}
    near = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
    return _no_setting(shorten(name), [known[each] for each in near])


def explain_unknown(path: SettingPath, value: object) -> str:
    """What is set at `path` is nothing we know."""
    name = dotted(path)
    if (renamed := RENAMED.get(variable_name(path))) is not None:
        return f"{name} is no setting of Pellucid; {renamed} is its name now"
    return _no_setting(name, _neighbours(path, value))


def _no_setting(name: str, near: list[str]) -> str:
    hint = f"did you mean {' or '.join(filter(None, (', '.join(near[:-1]), near[-1])))}?" if near else _ELSEWHERE
    return f"{name} is no setting of Pellucid; {hint}"


def _neighbours(path: SettingPath, value: object) -> list[str]:
    """The settings or tables that may have been meant, nearest first, as they stand in the file."""
    *table, name = path
    requested = name.lower().replace("-", "_").removeprefix("pellucid_")
    siblings = [each for each in fields_of(tuple(table)) if _is_table((*table, each)) == isinstance(value, dict)]
    near = difflib.get_close_matches(requested, siblings or fields_of(tuple(table)), n=1)
    if near:
        return [dotted((*table, near[0]))]
    whole = "_".join((*table, requested))
    if (same := _by_variable(requested) or _by_variable(whole)) is not None:
        return [dotted(same)]  # written as in its variable
    inside = list(cast("dict[str, object]", value)) if isinstance(value, dict) else []
    of_customer = fields_of(_CUSTOMER)
    elsewhere = [known for known in setting_names() if known[-1] in (inside or [requested])]
    if inside and set(inside) <= set(of_customer):
        # Some names, such as `hosts`, only a customer has; others, such as `browser_s`, stand in another table, too.
        shared = elsewhere if {known[-1] for known in elsewhere} >= set(inside) else []
        return [dotted(known) for known in (*shared[:_NEIGHBOURS], ("tokens", name))]
    own = [(*_CUSTOMER, requested)] if requested in of_customer else []
    if elsewhere or own:
        return [dotted(known) for known in (*elsewhere[:_NEIGHBOURS], *own)]
    known = {path_[-1]: path_ for path_ in setting_names()}
    return [dotted(known[each]) for each in difflib.get_close_matches(requested, known, n=1, cutoff=0.8)]


def _by_variable(name: str) -> SettingPath | None:
    """The setting whose variable is `PELLUCID_` + `name` in capitals."""
    return next((path for path in setting_names() if "_".join(path) == name), None)


def _is_table(path: SettingPath) -> bool:
    return bool(fields_of(path)) or path == _CUSTOMER[:1]
