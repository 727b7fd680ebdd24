"""How an extra of this package is added to the installation that runs."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_PACKAGE = "pellucid"


def install_command(extra: str) -> str:
    """The shell command that adds `extra` here. No index has the package, so it names what this one was made of: the
    checkout that it runs from, or the file or address that pip wrote down (PEP 610).
    """
    return shlex.join([sys.executable, "-m", "pip", "install", *_requirement(extra)])


def _requirement(extra: str) -> list[str]:
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "pyproject.toml").is_file():
        return ["-e", f"{checkout}[{extra}]"]
    url = _installed_from()
    return [f"{_PACKAGE}[{extra}] @ {url}" if url else f"{_PACKAGE}[{extra}]"]


def _installed_from() -> str | None:
    """The URL that this package was installed from; None where an index had it."""
    try:
        written = distribution(_PACKAGE).read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    return json.loads(written)["url"] if written else None
