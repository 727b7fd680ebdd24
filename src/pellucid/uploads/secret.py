"""The secret of a data directory, made at its first use."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_BYTES = 32


def folder_secret(path: Path) -> bytes:
    """The 32 bytes at `path`. The first process generates them. Raises OSError."""
    for _ in range(2):
        try:
            secret = path.read_bytes()
        except FileNotFoundError:
            secret = b""
        if len(secret) == _BYTES:
            return secret
        made = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            if secret:
                made.replace(path)  # cut off by a power failure
            else:
                os.link(made, path)  # fails where another process was first
        except FileExistsError:
            pass
        finally:
            made.unlink(missing_ok=True)
    return path.read_bytes()
