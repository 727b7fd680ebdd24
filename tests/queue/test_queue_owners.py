"""Lock files that say who is alive."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pellucid.errors import QueueError
from pellucid.queue.owners import Owners


@pytest.fixture
def owners(tmp_path: Path) -> Owners:
    return Owners(tmp_path / "owners")


def test_alive_from_acquire_to_release(owners: Owners) -> None:
    assert not owners.is_alive("w")
    lock = owners.acquire("w")
    assert owners.is_alive("w")
    assert not owners.bury("w")
    assert owners.is_alive("w")
    lock.release()
    assert not owners.is_alive("w")
    assert owners.names() == []


def test_a_living_name_is_taken(owners: Owners) -> None:
    lock = owners.acquire("w")
    with pytest.raises(QueueError, match="'w' is already at work"):
        owners.acquire("w")
    lock.release()
    owners.acquire("w").release()


def test_a_dead_file_is_buried_and_its_name_free(owners: Owners, tmp_path: Path) -> None:
    (tmp_path / "owners").mkdir()
    file = tmp_path / "owners" / "w.lock"
    file.touch()
    assert owners.names() == ["w"]
    assert not owners.is_alive("w")
    assert owners.bury("w")
    assert not file.exists()
    assert owners.bury("w")
    owners.acquire("w").release()


@pytest.mark.parametrize("worker_id", ["../w", "a/b", "host:1", "ü", "w.lock", "."])
def test_any_name_is_one_file_in_the_folder(owners: Owners, tmp_path: Path, worker_id: str) -> None:
    lock = owners.acquire(worker_id)
    assert owners.names() == [worker_id]
    assert [path.parent for path in tmp_path.rglob("*.lock")] == [tmp_path / "owners"]
    lock.release()


def test_a_removed_file_is_made_again(owners: Owners, tmp_path: Path) -> None:
    lock = owners.acquire("w")
    (tmp_path / "owners" / "w.lock").unlink()
    (tmp_path / "owners").rmdir()
    assert not owners.is_alive("w")
    lock.ensure()
    assert owners.is_alive("w")
    lock.release()


def test_release_leaves_a_namesake_alone(owners: Owners, tmp_path: Path) -> None:
    lock = owners.acquire("w")
    (tmp_path / "owners" / "w.lock").unlink()
    namesake = owners.acquire("w")
    lock.release()
    assert owners.is_alive("w")
    namesake.release()


def test_opening_lets_one_in_at_a_time(owners: Owners) -> None:
    with (
        owners.opening(timeout_s=0),
        pytest.raises(QueueError, match="another process"),
        owners.opening(timeout_s=0.05),
    ):
        pytest.fail("two at once")
    with owners.opening(timeout_s=0):
        pass


def test_a_program_the_worker_starts_does_not_keep_it_alive(owners: Owners) -> None:
    lock = owners.acquire("w")
    program = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        os.close(lock._fd)  # what the kernel does when the worker is killed
        assert not owners.is_alive("w")
    finally:
        program.kill()
        program.wait()
