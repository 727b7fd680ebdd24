"""The file that tells every process what was invalidated."""

from __future__ import annotations

from pathlib import Path

import pytest

from pellucid import purges as module
from pellucid.purges import Purge, Purges


def _purges(*keys: str) -> list[Purge]:
    return [Purge(record_key=key) for key in keys]


def test_followers_hear_everything_once_and_nothing_from_before(tmp_path: Path) -> None:
    teller = Purges(tmp_path / "sub" / "purges.jsonl")
    teller.tell(_purges("before"))
    follower, late = Purges(tmp_path / "sub" / "purges.jsonl"), None
    assert follower.news() == []
    teller.tell(_purges("a", "b"))
    late = Purges(tmp_path / "sub" / "purges.jsonl")
    teller.tell(_purges("c"))
    assert follower.news() == _purges("a", "b", "c")
    assert follower.news() == []
    assert late.news() == _purges("c")
    assert teller.news() == _purges("before", "a", "b", "c"), "the teller forgets as the others do"


def test_a_half_written_line_is_heard_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "purges.jsonl"
    follower = Purges(path)
    path.write_bytes(b'{"record_key":"a"}\n{"record_')
    assert follower.news() == _purges("a")
    with path.open("ab") as file:
        file.write(b'key":"b"}\n')
    assert follower.news() == _purges("b")


def test_what_was_missed_means_that_nothing_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "purges.jsonl"
    teller, follower = Purges(path), Purges(path)
    teller.tell(_purges(*"abcdef"))
    assert follower.news() == _purges(*"abcdef")
    monkeypatch.setattr(module, "_MAX_BYTES", 10)
    teller.tell(_purges("g"))
    assert follower.news() is None
    teller.tell(_purges("h"))
    assert path.stat().st_size < 60
    path.write_bytes(b"x" * 100 + b"\n")
    assert follower.news() is None


def test_no_file_is_no_news(tmp_path: Path) -> None:
    assert Purges(tmp_path / "none").news() == []
