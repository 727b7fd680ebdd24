"""What settings are called, in the file and as variables, and which of them are secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import TypeGuard, get_args, get_origin

from pydantic import BaseModel, SecretStr

from pellucid.settings.model import SettingsTree

PREFIX = "PELLUCID_"

SHOWN = 100
"""Characters of a name or a value that messages repeat."""

SettingPath = tuple[str, ...]
"""`("origin", "max_bytes")`; below a table of names, such as `tokens`, the path goes on with a name of the user's."""


def setting_names(tree: type[BaseModel] = SettingsTree, path: SettingPath = ()) -> Iterator[SettingPath]:
    """The path of every setting, in the order of the tree."""
    for name, field in tree.model_fields.items():
        kind = field.annotation
        if _is_section(kind):
            yield from setting_names(kind, (*path, name))
        else:
            yield (*path, name)


def variable_name(path: SettingPath) -> str:
    """`("origin", "max_bytes")` as `PELLUCID_ORIGIN_MAX_BYTES`."""
    return PREFIX + "_".join(path).upper()


def dotted(path: Iterable[object]) -> str:
    """As it is written in TOML; entries of a list are counted from 1."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f", entry {step + 1}"
            continue
        name = str(step)
        text += ("." if text else "") + (name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name))
    return shorten(text)


def shorten(text: str) -> str:
    """What messages repeat of `text`."""
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def fields_of(path: SettingPath) -> tuple[str, ...]:
    """What may stand in the table at `path`: names of settings and of tables; none where its names are the user's."""
    section = section_of(kind_at(path))
    return () if section is None else tuple(section.model_fields)


def section_of(kind: object) -> type[BaseModel] | None:
    """The table of settings that a value of the type `kind` is, if it is one."""
    if _is_section(kind):
        return kind
    return next(filter(None, map(section_of, _parts(kind))), None)


def kind_at(path: Iterable[object], tree: object = SettingsTree) -> object | None:
    """The type of the value at `path`; None where the tree has none. Steps may be places in a list."""
    kind: object | None = tree
    for step in path:
        kind = None if kind is None else _kind_below(kind, step)
    return kind


def holds_secret(path: Iterable[object], tree: object = SettingsTree) -> bool:
    """Whether the value at `path` is a secret, or a table, list or text that may have one in it: the types of the tree
    say so. Where the tree ends before the path does, what it knows last counts.
    """
    kind = tree
    for step in path:
        below = _kind_below(kind, step)
        if below is None:
            break
        kind = below
    return _has_secret(kind)


def _is_section(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _parts(kind: object) -> tuple[object, ...]:
    """The types that a value of the type `kind` may have, where it is not one type alone."""
    return () if get_origin(kind) in (dict, tuple, frozenset) else get_args(kind)


def _kind_below(kind: object, step: object) -> object | None:
    """The type of what is called `step`, or lies there, in a value of the type `kind`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(step))
        return None if field is None else field.annotation
    match get_origin(kind):
        case container if container is dict:
            return get_args(kind)[1]
        case container if container in (tuple, frozenset):
            return get_args(kind)[0] if isinstance(step, int) else None
        case _:
            return next((below for part in get_args(kind) if (below := _kind_below(part, step)) is not None), None)


def _has_secret(kind: object) -> bool:
    """Whether SecretStr stands anywhere in the type."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return any(_has_secret(field.annotation) for field in kind.model_fields.values())
    return kind is SecretStr or any(map(_has_secret, get_args(kind)))
