"""Where weights lie when nothing else is said (XDG base directories)."""

from __future__ import annotations

import os
from pathlib import Path

from pellucid.errors import SettingsError


def default_models_dir() -> Path:
    """`$XDG_CACHE_HOME/pellucid/models`, usually below `~/.cache`. Raises SettingsError for a user without a home."""
    return xdg_folder("XDG_CACHE_HOME", ".cache", setting="PELLUCID_MODELS_DIR") / "pellucid" / "models"


def xdg_folder(variable: str, below_home: str, *, setting: str) -> Path:
    """The folder that the environment names in `variable`, else `below_home` in the user's home. Raises SettingsError,
    which names `setting`, for a user who has neither.
    """
    if named := os.environ.get(variable):
        return Path(named)
    try:
        return Path.home() / below_home
    except RuntimeError as error:
        raise SettingsError(f"this user has no home folder; set {setting}") from error
