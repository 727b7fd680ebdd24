"""Lock files that say who is alive."""

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
    return LockFiles(tmp_path / "crew")


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_files, "_NAME_TAKEN_S", 0.05)


def join(registry: LockFiles, worker_id: str = "w") -> LockSession:
    return registry.join(make_info(worker_id))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_alive_from_joining_to_leaving(registry: LockFiles, tmp_path: Path) -> None:
    assert not registry.is_alive("w")
    assert (registry.alive(), registry.dead()) == ((), ())
    seat, other = join(registry), join(registry, "v")
    assert registry.is_alive("w")
    assert registry.alive() == (make_info("v"), make_info("w")), "what each said of itself, by name"
    assert registry.dead() == ()
    registry.remove_dead("w")
    assert registry.is_alive("w")
    seat.leave()
    assert not registry.is_alive("w")
    other.leave()
    assert list((tmp_path / "crew").iterdir()) == []


def test_a_look_leaves_no_descriptor_open(registry: LockFiles) -> None:
    seat = join(registry)
    kill(join(registry, "dead"))
    before = open_files()
    for _ in range(3):
        registry.alive()
        registry.dead()
        registry.remove_dead("w")
        with pytest.raises(WorkerNameError):
            join(registry)
    assert open_files() == before
    seat.leave()
    assert open_files() == before - 1


def test_a_living_name_is_taken(registry: LockFiles) -> None:
    seat = join(registry)
    with pytest.raises(WorkerNameError, match="'w' is already at work"):
        join(registry)
    seat.leave()
    join(registry).leave()


def test_a_name_is_not_taken_by_who_only_looks(
    registry: LockFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look holds the lock for an instant, and so does who removes a dead one's file."""
    kill(join(registry))
    fd = os.open(tmp_path / "crew" / "w.lock", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    assert not registry.is_alive("w"), "two looks at a time do not see each other"
    monkeypatch.setattr(lock_files.time, "sleep", lambda _: fcntl.flock(fd, fcntl.LOCK_UN))
    join(registry).leave()
    os.close(fd)


def test_a_dead_one_is_seen_until_it_is_buried_and_its_name_is_free(registry: LockFiles, tmp_path: Path) -> None:
    kill(join(registry))
    file = tmp_path / "crew" / "w.lock"
    assert (registry.alive(), registry.dead()) == ((), ("w",))
    registry.remove_dead("w")
    assert not file.exists()
    assert registry.dead() == ()
    registry.remove_dead("w")
    kill(join(registry))
    join(registry).leave()


@pytest.mark.parametrize("worker_id", ["../w", "a/b", "host:1", "ü", "w.lock", ".", "%2e"])
def test_any_name_is_one_file_in_the_folder(registry: LockFiles, tmp_path: Path, worker_id: str) -> None:
    seat = join(registry, worker_id)
    assert registry.alive() == (make_info(worker_id),)
    assert [path.parent for path in tmp_path.rglob("*.lock")] == [tmp_path / "crew"]
    kill(seat)
    assert registry.dead() == (worker_id,)


def test_a_removed_file_is_made_again(registry: LockFiles, tmp_path: Path) -> None:
    seat = join(registry)
    seat.ensure()
    (tmp_path / "crew" / "w.lock").unlink()
    (tmp_path / "crew").rmdir()
    assert not registry.is_alive("w")
    seat.ensure()
    assert registry.alive() == (make_info("w"),)
    seat.leave()


def test_a_folder_that_cannot_be_made_again_costs_no_descriptor_of_another(registry: LockFiles, tmp_path: Path) -> None:
    """The old one stays the seat's until there is a new one: its number may soon be another file's."""
    seat = join(registry)
    folder = tmp_path / "crew"
    (folder / "w.lock").unlink()
    folder.rmdir()
    folder.write_text("in the way")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        seat.ensure()
    with (tmp_path / "mine").open("w") as mine:
        for _ in range(2):
            with pytest.raises(OSError, match=r"File exists|Not a directory"):
                seat.ensure()
        mine.write("still open")
        mine.flush()
        folder.unlink()
        seat.ensure()
        assert registry.is_alive("w")
        seat.leave()
        mine.write(", to the end")
        mine.flush()


def test_a_file_that_could_not_be_written_is_not_held(registry: LockFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="no space"):
            join(registry)
    assert not registry.is_alive("w")
    join(registry).leave()


def test_leaving_leaves_a_namesake_alone(registry: LockFiles, tmp_path: Path) -> None:
    seat = join(registry)
    (tmp_path / "crew" / "w.lock").unlink()
    namesake = join(registry)
    with pytest.raises(WorkerNameError):
        seat.ensure()
    seat.leave()
    assert registry.is_alive("w")
    namesake.leave()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"worker_id": 1}', b"\xff"])
def test_a_file_that_says_nothing_is_nobody(registry: LockFiles, tmp_path: Path, content: bytes) -> None:
    """It is being written, or is another version's: alive, but not shown."""
    seat = join(registry)
    (tmp_path / "crew" / "w.lock").write_bytes(content)
    assert (registry.alive(), registry.dead()) == ((), ())
    (tmp_path / "crew" / "notes.txt").touch()
    assert registry.dead() == ()
    seat.leave()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_counts_as_held(registry: LockFiles, tmp_path: Path) -> None:
    kill(join(registry))
    (tmp_path / "crew" / "w.lock").chmod(0)
    assert registry.is_alive("w")
    assert registry.dead() == ()
    registry.remove_dead("w")


def test_a_program_the_worker_starts_does_not_keep_it_alive(registry: LockFiles) -> None:
    seat = join(registry)
    program = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        kill(seat)
        assert not registry.is_alive("w")
    finally:
        program.kill()
        program.wait()
