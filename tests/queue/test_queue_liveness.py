"""Lock files that show which workers are alive."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

import pytest
from queue_helpers import kill, make_info

from pellucid.errors import WorkerNameError
from pellucid.liveness import lock_files
from pellucid.liveness.lock_files import LockFiles, LockSession


@pytest.fixture
def registry(tmp_path: Path) -> LockFiles:
    return LockFiles(tmp_path / "workers")


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_files, "_NAME_TAKEN_S", 0.05)


def register(registry: LockFiles, worker_id: str = "w") -> LockSession:
    return registry.register(make_info(worker_id))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_worker_is_alive_while_it_is_registered(registry: LockFiles, tmp_path: Path) -> None:
    assert not registry.is_alive("w")
    assert (registry.alive(), registry.dead()) == ((), ())
    session, other = register(registry), register(registry, "v")
    assert registry.is_alive("w")
    assert registry.alive() == (make_info("v"), make_info("w")), "the info of each worker, by name"
    assert registry.dead() == ()
    registry.remove_dead("w")
    assert registry.is_alive("w")
    session.unregister()
    assert not registry.is_alive("w")
    other.unregister()
    assert list((tmp_path / "workers").iterdir()) == []


def test_a_check_leaves_no_descriptor_open(registry: LockFiles) -> None:
    session = register(registry)
    kill(register(registry, "dead"))
    before = open_files()
    for _ in range(3):
        registry.alive()
        registry.dead()
        registry.remove_dead("w")
        with pytest.raises(WorkerNameError):
            register(registry)
    assert open_files() == before
    session.unregister()
    assert open_files() == before - 1


def test_the_name_of_a_living_worker_is_taken(registry: LockFiles) -> None:
    session = register(registry)
    with pytest.raises(WorkerNameError, match="'w' is already at work"):
        register(registry)
    session.unregister()
    register(registry).unregister()


def test_a_check_does_not_take_the_name(registry: LockFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check holds the lock for an instant, and so does the removal of a dead worker's file."""
    kill(register(registry))
    fd = os.open(tmp_path / "workers" / "w.lock", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    assert not registry.is_alive("w"), "two simultaneous checks do not see each other"
    monkeypatch.setattr(lock_files.time, "sleep", lambda _: fcntl.flock(fd, fcntl.LOCK_UN))
    register(registry).unregister()
    os.close(fd)


def test_a_dead_worker_is_listed_until_it_is_removed_and_its_name_is_free(registry: LockFiles, tmp_path: Path) -> None:
    kill(register(registry))
    file = tmp_path / "workers" / "w.lock"
    assert (registry.alive(), registry.dead()) == ((), ("w",))
    registry.remove_dead("w")
    assert not file.exists()
    assert registry.dead() == ()
    registry.remove_dead("w")
    kill(register(registry))
    register(registry).unregister()


@pytest.mark.parametrize("worker_id", ["../w", "a/b", "host:1", "ü", "w.lock", ".", "%2e"])
def test_any_name_is_one_file_in_the_folder(registry: LockFiles, tmp_path: Path, worker_id: str) -> None:
    session = register(registry, worker_id)
    assert registry.alive() == (make_info(worker_id),)
    assert [path.parent for path in tmp_path.rglob("*.lock")] == [tmp_path / "workers"]
    kill(session)
    assert registry.dead() == (worker_id,)


def test_a_removed_file_is_created_again(registry: LockFiles, tmp_path: Path) -> None:
    session = register(registry)
    session.heartbeat()
    (tmp_path / "workers" / "w.lock").unlink()
    (tmp_path / "workers").rmdir()
    assert not registry.is_alive("w")
    session.heartbeat()
    assert registry.alive() == (make_info("w"),)
    session.unregister()


def test_a_folder_that_cannot_be_created_again_closes_no_descriptor(registry: LockFiles, tmp_path: Path) -> None:
    """The session keeps the old descriptor until it has a new one: its number may soon belong to another file."""
    session = register(registry)
    folder = tmp_path / "workers"
    (folder / "w.lock").unlink()
    folder.rmdir()
    folder.write_text("in the way")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        session.heartbeat()
    with (tmp_path / "mine").open("w") as mine:
        for _ in range(2):
            with pytest.raises(OSError, match=r"File exists|Not a directory"):
                session.heartbeat()
        mine.write("still open")
        mine.flush()
        folder.unlink()
        session.heartbeat()
        assert registry.is_alive("w")
        session.unregister()
        mine.write(", to the end")
        mine.flush()


def test_a_file_that_could_not_be_written_is_not_locked(registry: LockFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="no space"):
            register(registry)
    assert not registry.is_alive("w")
    register(registry).unregister()


def test_unregistering_keeps_the_file_of_a_namesake(registry: LockFiles, tmp_path: Path) -> None:
    session = register(registry)
    (tmp_path / "workers" / "w.lock").unlink()
    namesake = register(registry)
    with pytest.raises(WorkerNameError):
        session.heartbeat()
    session.unregister()
    assert registry.is_alive("w")
    namesake.unregister()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"worker_id": 1}', b"\xff"])
def test_an_unreadable_lock_file_is_not_listed(registry: LockFiles, tmp_path: Path, content: bytes) -> None:
    """It is being written, or another version wrote it: the worker is alive, but not listed."""
    session = register(registry)
    (tmp_path / "workers" / "w.lock").write_bytes(content)
    assert (registry.alive(), registry.dead()) == ((), ())
    (tmp_path / "workers" / "notes.txt").touch()
    assert registry.dead() == ()
    session.unregister()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_counts_as_locked(registry: LockFiles, tmp_path: Path) -> None:
    kill(register(registry))
    (tmp_path / "workers" / "w.lock").chmod(0)
    assert registry.is_alive("w")
    assert registry.dead() == ()
    registry.remove_dead("w")


def test_a_child_process_does_not_keep_its_worker_alive(registry: LockFiles) -> None:
    session = register(registry)
    program = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        kill(session)
        assert not registry.is_alive("w")
    finally:
        program.kill()
        program.wait()
