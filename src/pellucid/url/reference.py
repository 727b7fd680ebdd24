"""PURE: the reference of all URL parameters, generated from the table."""

from __future__ import annotations

from pellucid.url.params import PARAMS, URL_ENCODED, Param

_HEAD = ("Parameter", "Also", "Value", "Default", "Meaning")


def reference_markdown() -> str:
    """A Markdown table, one row a parameter in the order of canonical URLs, ending with a newline."""
    rows = (_HEAD, ("---",) * len(_HEAD), *map(_cells, (*PARAMS, URL_ENCODED)))
    return "".join(f"| {' | '.join(map(_escape, row))} |\n" for row in rows)


def _cells(param: Param) -> tuple[str, ...]:
    aliases = ", ".join(f"`{alias}`" for alias in param.aliases)
    default = "none" if param.default is None else f"`{param.default}`"
    return f"`{param.name}`", aliases or "-", param.grammar, default, param.doc


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|")
