"""rembg's own environment, made once from a lock file, and a models folder with Pellucid's weights in it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pellucid.models.cards import find_card
from pellucid.models.folder import default_models_dir

BENCH = Path(__file__).parents[1]
LOCK = BENCH / "rembg.lock"
DEFAULT_ENV = BENCH.parent / ".bench" / "rembg"

_STAMP = "made-from"
"""Written last, with the digest of the lock file: an install that was interrupted, or of other versions, is redone."""


def ensure_env(given: Path | None) -> Path:
    """The environment with rembg in it: `given`, or the default one, made when missing. Exits when it cannot be."""
    if given is not None:
        if not (given / "bin" / "rembg").is_file():
            sys.exit(f"{given} has no rembg")
        return given
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    stamp = DEFAULT_ENV / _STAMP
    if not (stamp.is_file() and stamp.read_text() == digest):
        print("making rembg's environment (once, about 850 MB)", file=sys.stderr)
        shutil.rmtree(DEFAULT_ENV, ignore_errors=True)
        python = DEFAULT_ENV / "bin" / "python"
        install = [python, "-m", "pip", "install", "-qq", "--require-hashes", "-r", LOCK]
        for command in ([sys.executable, "-m", "venv", DEFAULT_ENV], install):
            if subprocess.run(command, check=False).returncode:
                sys.exit("rembg's environment could not be made")
        stamp.write_text(digest)
    return DEFAULT_ENV


@contextmanager
def linked_weights() -> Generator[Path]:
    """A value for `U2NET_HOME`: rembg takes `u2net.onnx` from there as it is and downloads nothing.

    Exits when Pellucid's weights are missing or not the file that both programs name.
    """
    card = find_card("u2net")
    weights = card.path_in(default_models_dir())
    if not weights.is_file():
        sys.exit("the weights are missing: pellucid models pull")
    with weights.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != card.sha256:
            sys.exit("the weights are damaged: pellucid models verify")
    with TemporaryDirectory(prefix="u2net-") as name:
        home = Path(name)
        (home / "u2net.onnx").symlink_to(weights.resolve())
        yield home
