"""The folders used when nothing else is said (XDG base directories)."""

from __future__ import annotations

import os
from pathlib import Path

from pellucid.errors import SettingsError


def default_models_dir() -> Path:
    """Where weights lie when nothing else is said: `$XDG_CACHE_HOME/pellucid/models`, usually below `~/.cache`."""
    return _base("XDG_CACHE_HOME", ".cache", mend="PELLUCID_MODELS_DIR") / "pellucid" / "models"


def default_data_dir() -> Path:
    """Where the server writes when nothing else is said: `$XDG_DATA_HOME/pellucid`, usually below `~/.local/share`."""
    return _base("XDG_DATA_HOME", ".local/share", mend="PELLUCID_DATA_DIR") / "pellucid"


def _base(variable: str, below_home: str, *, mend: str) -> Path:
    if named := os.environ.get(variable):
        return Path(named)
    try:
        return Path.home() / below_home
    except RuntimeError as error:
        raise SettingsError(f"this user has no home folder; set {mend}") from error
