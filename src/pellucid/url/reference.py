"""PURE: the reference of all URL parameters, and what becomes of Cloudimage's, generated from the tables."""

from __future__ import annotations

from collections.abc import Iterable

from pellucid.url.cloudimage import NOT_YET, REFUSED, Absent
from pellucid.url.params import PARAMS, URL_ENCODED, Param

_HEAD = ("Parameter", "Also", "Value", "Default", "Meaning")


def reference_markdown() -> str:
    """A Markdown table, one row a parameter in the order of canonical URLs, ending with a newline."""
    rows = (_HEAD, ("---",) * len(_HEAD), *map(_cells, (*PARAMS, URL_ENCODED)))
    return "".join(f"| {' | '.join(map(_escape, row))} |\n" for row in rows)


def compatibility_markdown() -> str:
    """A Markdown table: Cloudimage's parameters by what this server does with them, ending with a newline."""
    rows = [
        ("Cloudimage's parameter", "Here", "What it is, what is missing"),
        ("---", "---", "---"),
        *(
            (_names((each.name, *each.aliases)), *_support_of(each))
            for each in (*PARAMS, URL_ENCODED)
            if not each.extension
        ),
        *_absent(REFUSED, "refused: 400"),
        *_absent(NOT_YET, "ignored"),
    ]
    return "".join(f"| {' | '.join(map(_escape, row))} |\n" for row in rows)


def _support_of(param: Param) -> tuple[str, str]:
    if not param.refused:
        return "works", ""
    return "works in part", f"{_names(param.refused)}: refused, 400"


def _absent(parameters: Iterable[Absent], here: str) -> list[tuple[str, str, str]]:
    return [(_names(each.names), here, each.doc) for each in parameters]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cells(param: Param) -> tuple[str, ...]:
    default = "none" if param.default is None else f"`{param.default}`"
    return f"`{param.name}`", _names(param.aliases) or "-", param.grammar, default, param.doc


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|")
