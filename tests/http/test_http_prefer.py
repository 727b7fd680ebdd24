"""The `Prefer` header: wishes that are not understood are ignored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.http.prefer import MAX_WAIT_S, preferred_wait_s


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("wait=3", 3),
        ("respond-async, wait=7", 7),
        ("Wait = 7 ; x=y", 7),
        ('wait="4"', 4),
        ("wait=100000", MAX_WAIT_S),
        ("wait=0", 0),
        ("wait=1, wait=9", 1),
        ("wait", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=²", None),
        ("waiting=3", None),
        ("", None),
    ],
)
def test_wait(prefer: str, expected: int | None) -> None:
    assert preferred_wait_s(prefer) == expected


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_nothing_breaks_it(prefer: str) -> None:
    seconds = preferred_wait_s(prefer)
    assert seconds is None or 0 <= seconds <= MAX_WAIT_S
