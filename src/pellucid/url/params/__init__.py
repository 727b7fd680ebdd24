"""PURE: the one table of URL parameters, one module a concern, joined here. Parser, builder and reference use it.

Cloudimage's spellings live here and nowhere else.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

from pellucid.spec import OriginRef, Spec
from pellucid.url.codecs import read_flag, write_flag
from pellucid.url.params.background import BACKGROUND
from pellucid.url.params.effects import EFFECTS
from pellucid.url.params.output import OUTPUT
from pellucid.url.params.param import Param
from pellucid.url.params.position import POSITION
from pellucid.url.params.removal import NOTIFY, REMOVAL
from pellucid.url.params.size import SIZE
from pellucid.url.params.source import SOURCE
from pellucid.url.params.version import VERSION

__all__ = ["PARAMS", "PARAMS_BY_SPELLING", "URL_ENCODED", "Param", "field_of", "make_spec"]

PARAMS: tuple[Param, ...] = (
    *SIZE,
    *POSITION,
    *REMOVAL,
    *BACKGROUND,
    *EFFECTS,
    *OUTPUT,
    *SOURCE,
    VERSION,
    NOTIFY,
)
"""In the order of canonical URLs."""

URL_ENCODED = Param(
    name="ci_url_encoded",
    reader=read_flag,
    writer=write_flag,
    field="",
    doc="The origin in the path is percent-encoded as a whole; needed when it has a query of its own.",
    grammar="1 or 0",
    default="0",
)
"""Says how to read the path; no part of a spec."""

PARAMS_BY_SPELLING: Mapping[str, Param] = MappingProxyType(
    {spelling: param for param in (*PARAMS, URL_ENCODED) for spelling in (param.name, *param.aliases)}
)


def field_of(spec: Spec, field: str) -> Any:  # noqa: ANN401 - as many types as parameters
    """The value at `field` of `spec`."""
    return functools.reduce(getattr, field.split("."), spec)


def make_spec(origin: OriginRef, values: Mapping[str, Any]) -> Spec:
    """A spec with `values`, keyed by field; defaults elsewhere. Each part is built whole, so that its checks see all
    its values at once.
    """
    tree: dict[str, Any] = {}
    for field, value in values.items():
        *parts, name = field.split(".")
        functools.reduce(lambda node, part: node.setdefault(part, {}), parts, tree)[name] = value
    return _with(Spec(origin=origin), tree)


def _with(part: Any, tree: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a spec or one of its parts
    """`part` with the values of `tree`; a branch of it is a part of `part`."""
    fields: dict[str, Any] = {}
    for name, value in tree.items():
        is_part = isinstance(value, dict)
        fields[name] = _with(getattr(part, name), cast("dict[str, Any]", value)) if is_part else value
    return replace(part, **fields)
