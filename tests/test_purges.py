"""The file that tells every process what was invalidated."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import Any

import pytest

from pellucid import purges as module
from pellucid.purges import Purge, Purges


def _purges(*keys: str) -> list[Purge]:
    return [Purge(record_key=key, at=1.5) for key in keys]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sub" / "purges.jsonl"


def test_followers_hear_everything_once_from_the_beginning(path: Path) -> None:
    teller, follower = Purges(path), Purges(path)
    assert follower.news() == [], "no file is no news"
    teller.tell(_purges("a", "b"))
    late = Purges(path)
    teller.tell(_purges("c"))
    for each in (follower, late, teller):
        assert each.news() == _purges("a", "b", "c")
        assert each.news() == []
        each.close()


def test_a_half_written_line_is_heard_when_it_is_whole(path: Path) -> None:
    path.parent.mkdir()
    follower = Purges(path)
    path.write_bytes(b'{"record_key":"a","at":1.5}\n{"record_')
    assert follower.news() == _purges("a")
    with path.open("ab") as file:
        file.write(b'key":"b","at":1.5}\n')
    assert follower.news() == _purges("b")
    follower.close()


def test_nothing_is_missed_when_the_file_is_put_aside(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_BYTES", 100)
    teller, follower = Purges(path), Purges(path)
    heard: list[Purge] = []
    for number in range(50):
        teller.tell(_purges(str(number)))
        if number % 3 == 0:  # now in time, now one file late
            heard += follower.news() or []
    assert [*heard, *(follower.news() or [])] == _purges(*map(str, range(50)))
    assert sum(each.stat().st_size for each in path.parent.iterdir()) < 300
    late = Purges(path)
    assert (late.news() or [])[-1:] == _purges("49")
    follower.close()
    late.close()


def test_what_was_lost_means_that_nothing_is_believed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_BYTES", 100)
    teller, follower = Purges(path), Purges(path)
    teller.tell(_purges("a"))
    assert follower.news() == _purges("a")
    for number in range(20):  # many files full
        teller.tell(_purges(str(number)))
    assert follower.news() is None
    teller.tell(_purges("b"))
    assert follower.news() == _purges("b")
    path.unlink()
    teller.tell(_purges("c"))
    assert follower.news() is None, "somebody took the file away"
    follower.close()


def test_many_tell_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_BYTES", 10_000)
    follower = Purges(path)
    heard: list[Purge] = []

    def tell(name: str) -> None:
        for number in range(100):
            Purges(path).tell(_purges(f"{name}{number}"))

    threads = [threading.Thread(target=tell, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        heard += follower.news() or []
    heard += follower.news() or []
    assert {each.record_key for each in heard} == {f"{name}{n}" for name in "abcd" for n in range(100)}
    follower.close()


def test_what_cannot_be_read_means_that_nothing_is_believed(path: Path) -> None:
    teller, follower = Purges(path), Purges(path)
    teller.tell(_purges("a"))
    with path.open("ab") as file:
        file.write(b"\0\0\0\n")
    assert follower.news() is None
    teller.tell(_purges("b"))
    assert follower.news() == _purges("b")
    follower.close()


def test_a_file_that_cannot_be_opened_now_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor is left for the new file when the old one has been read to its end."""
    path = tmp_path / "purges.jsonl"
    teller, follower = Purges(path), Purges(path)
    assert follower.news() == []
    first = Purge(record_key="first", at=1.0)
    second = Purge(record_key="second", at=2.0)
    teller.tell([first])
    assert follower.news() == [first]
    teller.tell([second])
    path.replace(tmp_path / "purges.jsonl.1")
    third = Purge(record_key="third", at=3.0)
    teller.tell([third])
    opened = Path.open

    def fail(self: Path, *args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "open", fail)
    for _ in range(3):
        with pytest.raises(OSError, match="Too many"):
            follower.news()
    monkeypatch.setattr(Path, "open", opened)
    assert follower.news() == [second, third]
    assert follower.news() == []
    follower.close()
