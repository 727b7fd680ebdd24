"""The command line: `pellucid serve | work | cut | models | usage | tokens | db | doctor`."""

from __future__ import annotations

import sys

from rich.console import Console

from pellucid.errors import PellucidError


def main() -> None:
    """The entry point. Errors of ours become a message and status 1, never a traceback."""
    from pellucid.cli.app import app  # noqa: PLC0415 - what a verb needs is imported by the verb

    try:
        app()
    except PellucidError as error:
        # markup off: paths may hold square brackets
        Console(stderr=True, soft_wrap=True).print(f"pellucid: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
