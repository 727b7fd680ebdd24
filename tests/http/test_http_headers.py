"""The table of states: lifetimes, state header, Vary, ETag; the same on 200 and 304."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.http.headers import ALWAYS, Lifetimes, cache_control, cutout_state, delivery_headers, is_not_modified
from pellucid.pipeline import CutoutState, Cutting, Delivery
from pellucid.queue.port import Failed, Full, Owed
from pellucid.renditions import make_rendition

LIVES = Lifetimes(browser_s=2592000, cdn_s=31536000, pending_s=5, failed_s=300)
LONG = "public, max-age=2592000, s-maxage=31536000"
SHORT = "public, max-age=5, s-maxage=5"

PENDING = Cutting(state=CutoutState.PENDING, receipt=Owed(position=3, eta_s=3.2))
FAILED = Cutting(state=CutoutState.FAILED, receipt=Failed(reason="attempts-used-up", retry_in_s=200))
READY = Cutting(state=CutoutState.READY)
NO_SUBJECT = Cutting(state=CutoutState.NO_SUBJECT)
BUSY = Cutting(state=CutoutState.BUSY, receipt=Full(depth=1000))


@pytest.mark.parametrize(
    ("cutting", "life", "state"),
    [
        (PENDING, SHORT, "pending;position=3;eta=4"),
        (READY, LONG, "ready"),
        (FAILED, "public, max-age=300, s-maxage=300", "failed;reason=attempts-used-up"),
        (NO_SUBJECT, LONG, "no-subject"),
    ],
)
def test_states(cutting: Cutting, life: str, state: str) -> None:
    assert cache_control(cutting, LIVES) == life
    assert cutout_state(cutting) == state


def test_without_removal_life_is_long() -> None:
    assert cache_control(None, LIVES) == LONG


def test_busy_is_short_and_jittered() -> None:
    lives = {cache_control(BUSY, LIVES) for _ in range(200)}
    seconds = {int(life.rpartition("=")[2]) for life in lives}
    assert seconds <= set(range(5, 31))
    assert len(seconds) > 5
    assert cutout_state(BUSY) == "busy"


def _headers(cutting: Cutting | None, *, negotiable: bool, ignored: tuple[str, ...] = ()) -> dict[bytes, bytes]:
    delivery = Delivery(rendition=make_rendition(b"x", "image/png"), negotiable=negotiable, cutting=cutting)
    return dict(delivery_headers(delivery, ignored=ignored, lifetimes=LIVES))


@pytest.mark.parametrize("cutting", [None, PENDING, READY, FAILED, NO_SUBJECT, BUSY])
def test_every_answer_has_what_is_always_there(cutting: Cutting | None) -> None:
    headers = _headers(cutting, negotiable=False)
    assert set(ALWAYS) <= set(headers.items())
    assert b"last-modified" not in headers
    assert b"vary" not in headers
    assert (b"pellucid-cutout" in headers) is (cutting is not None)
    assert _headers(cutting, negotiable=True)[b"vary"] == b"Accept"


def test_unknown_parameters_are_named_without_letting_anything_through() -> None:
    named = _headers(None, negotiable=False, ignored=("vh", 'a"\r\nSet-Cookie: x', "ü"))[b"pellucid-ignored"]
    assert named == b'"vh", "a%22%0D%0ASet-Cookie: x", "%FC"'


def test_the_list_of_unknown_parameters_is_bounded() -> None:
    named = _headers(None, negotiable=False, ignored=tuple("x" * 200 for _ in range(5000)))[b"pellucid-ignored"]
    assert len(named) < 4096


@given(st.text())
def test_ignored_names_never_break_a_header(name: str) -> None:
    value = _headers(None, negotiable=False, ignored=(name,))[b"pellucid-ignored"]
    assert all(0x20 <= byte <= 0x7E for byte in value)


@pytest.mark.parametrize(
    ("if_none_match", "expected"),
    [
        (None, False),
        ('"abc"', True),
        ('W/"abc"', True),
        ('"x", W/"abc" , "y"', True),
        ("*", True),
        ('"abcd"', False),
        ("abc", False),
        ("", False),
    ],
)
def test_if_none_match(if_none_match: str | None, expected: bool) -> None:
    assert is_not_modified(if_none_match, '"abc"') is expected
