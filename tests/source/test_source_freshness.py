"""Freshness lifetimes from headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.source.freshness import fresh_seconds
from pellucid.source.limits import Freshness

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def said(
    cache_control: str = "", *, expires: str | None = None, date: str | None = None, age: str | None = None
) -> float | None:
    return fresh_seconds(cache_control=cache_control, expires=expires, date=date, age=age, now=NOW)


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("", None),
        ("public", None),
        ("max-age=120", 120),
        ("MAX-AGE=120", 120),
        ('max-age="120"', 120),
        ("max-age = 120", 120),
        ("max-age=120, s-maxage=600", 600),
        ("s-maxage=0, max-age=600", 0),
        ("max-age=10, max-age=20", 10),
        ("max-age=-5", 0),
        ("max-age=soon", 0),
        ("max-age=99999999999999999999", 9_999_999_999),
        ("no-store", 0),
        ("max-age=600, no-cache", 0),
        ("private, max-age=600", 0),
        ('private="Set-Cookie", max-age=600', 0),
        ("x-max-age=5", None),
    ],
)
def test_cache_control(cache_control: str, seconds: float | None) -> None:
    assert said(cache_control) == seconds


def test_expires_counts_from_date_and_only_without_max_age() -> None:
    expires = "Tue, 14 Nov 2023 23:13:20 GMT"
    assert said(expires=expires) == 3600
    assert said(expires=expires, date="Tue, 14 Nov 2023 23:03:20 GMT") == 600
    assert said(expires="Tue, 14 Nov 2023 23:13:20 -0000") == 3600
    assert said("max-age=7", expires=expires) == 7
    assert said(expires="0") == 0
    assert said(expires="Tue, 14 Nov 2022 23:13:20 GMT") == 0


def test_age_is_subtracted() -> None:
    assert said("max-age=120", age="50") == 70
    assert said("max-age=120", age="500") == 0
    assert said("max-age=120", age="old") == 120


@given(st.text(max_size=60), st.none() | st.text(max_size=40), st.none() | st.text(max_size=10))
def test_any_header_gives_a_believable_number(cache_control: str, expires: str | None, age: str | None) -> None:
    seconds = said(cache_control, expires=expires, age=age)
    assert seconds is None or seconds >= 0
    limits = Freshness(min_s=60, max_s=3600, default_s=600)
    assert 60 <= limits.clamp(seconds) <= 3600
