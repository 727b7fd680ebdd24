"""Where the server writes when nothing else is said (XDG base directories)."""

from __future__ import annotations

from pathlib import Path

from pellucid.models.folder import xdg_folder


def default_data_dir() -> Path:
    """`$XDG_DATA_HOME/pellucid`, usually below `~/.local/share`. Raises SettingsError for a user without a home."""
    return xdg_folder("XDG_DATA_HOME", ".local/share", setting="PELLUCID_DATA_DIR") / "pellucid"
