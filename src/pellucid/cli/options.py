"""Options that several verbs share, and how they become settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pellucid.settings.model import SettingsTree

Config = Annotated[Path | None, typer.Option("--config", help="A TOML file with settings.", show_default=False)]
DataDir = Annotated[Path | None, typer.Option(help="Everything the server writes.", show_default=False)]
ModelsDir = Annotated[Path | None, typer.Option(help="Where model weights lie.", show_default=False)]
Model = Annotated[str | None, typer.Option("--model", "-m", help="Model card to use.", show_default=False)]
Device = Annotated[str | None, typer.Option(help="Device of the runtime.", show_default=False)]
Precision = Annotated[str | None, typer.Option(help="auto, int8, bf16 or f32.", show_default=False)]

Quality = Annotated[str | None, typer.Option("--quality", "-q", help="fast, standard or best.", show_default=False)]


def read_settings(config: Path | None = None, **flags: object) -> SettingsTree:
    """Settings from the file, the environment and flags; a flag's double underscore stands for a dot."""
    from pellucid.settings.load import load_settings  # noqa: PLC0415 - pydantic takes 0.2 s

    return load_settings(flags={name.replace("__", "."): value for name, value in flags.items()}, config=config)
