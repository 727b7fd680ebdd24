"""The settings reference as Markdown, generated from the tree: `docs/settings.md` is this text, and a test says so."""

from __future__ import annotations

from typing import Any, cast

from pydantic.fields import FieldInfo

from pellucid.settings.model import SettingsTree
from pellucid.settings.names import setting_names, variable_name

# Defaults that depend on the machine, in words.
_IN_WORDS: dict[tuple[str, ...], str] = {
    ("data_dir",): "`~/.local/share/pellucid`",
    ("models_dir",): "`~/.cache/pellucid/models`",
    ("workers",): "half the cores, at least 1",
    ("web", "connections"): "4096, or what the limit of open files allows",
    ("render", "processes"): "half the cores, at least 1",
}


def settings_markdown() -> str:
    """A table of every setting: environment variable, path in TOML, default, meaning."""
    lines = ["| variable | in TOML | default | meaning |", "|---|---|---|---|"]
    for path in setting_names():
        field = _field(path)
        lines.append(
            f"| `{variable_name(path)}` | `{'.'.join(path)}` | {_default(path, field)} | {field.description} |"
        )
    return "\n".join(lines) + "\n"


def _field(path: tuple[str, ...]) -> FieldInfo:
    section: Any = SettingsTree
    for step in path[:-1]:
        section = section.model_fields[step].annotation
    return section.model_fields[path[-1]]


def _default(path: tuple[str, ...], field: FieldInfo) -> str:
    if path in _IN_WORDS:
        return _IN_WORDS[path]
    value: object = field.get_default(call_default_factory=False)
    if not value and not isinstance(value, (bool, int, float)):
        return "-"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if path == ("origin", "allow_ports"):
        return "`80,443`"
    if isinstance(value, tuple):
        return f"`{','.join(str(each) for each in cast('tuple[object, ...]', value))}`"
    return f"`{value}`"
