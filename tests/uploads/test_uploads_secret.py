"""The secret of a folder: one for all processes, replaced when it was cut off."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pellucid.uploads.secret import folder_secret


def test_all_processes_get_the_first_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        secrets = list(threads.map(folder_secret, [tmp_path / "secret"] * 64))
    assert len(set(secrets)) == 1
    assert len(secrets[0]) == 32
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_secret_that_was_cut_off_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"short")
    secret = folder_secret(path)
    assert len(secret) == 32
    assert folder_secret(path) == secret
