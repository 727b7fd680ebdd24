"""The command that adds an extra of this package to the running installation."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_PACKAGE = "pellucid"


def install_command(extra: str) -> str:
    """The shell command that adds `extra`. The package is on no index, so the command names the source of this
    installation: its checkout, or the file or URL that pip has recorded (PEP 610).
    """
    return shlex.join([sys.executable, "-m", "pip", "install", *_requirement(extra)])


def _requirement(extra: str) -> list[str]:
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "pyproject.toml").is_file():
        return ["-e", f"{checkout}[{extra}]"]
    url = _installed_from()
    return [f"{_PACKAGE}[{extra}] @ {url}" if url else f"{_PACKAGE}[{extra}]"]


def _installed_from() -> str | None:
    """The URL that this package was installed from; None if it came from an index."""
    try:
        recorded = distribution(_PACKAGE).read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    return json.loads(recorded)["url"] if recorded else None
