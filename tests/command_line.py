"""`pellucid` called in this process: a process of its own takes 1 to 2 s, most of it for imports."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from unittest import mock

from pellucid.cli import main


def run_in_process(*arguments: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What `pellucid ARGUMENTS` does with exactly these variables, and what it prints where there is no terminal."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    status = 0
    with (
        mock.patch.dict(os.environ, environ, clear=True),
        mock.patch.object(sys, "argv", ["pellucid", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    printed = []
    for stream in (out, err):
        stream.seek(0)
        printed.append(stream.read())
    return subprocess.CompletedProcess(["pellucid", *arguments], status, *printed)
