"""Which records are valid after which invalidations: by numbers, in a bounded memory."""

from __future__ import annotations

import pytest

import pellucid.invalidation.validity as module
from pellucid.invalidation.validity import Validity
from pellucid.spec import OriginRef, Token
from pellucid.store import keys

SHOP = Token("shop")


def _ref(number: int) -> OriginRef:
    return OriginRef(host="shop.example", path=f"/{number}.jpg")


def _key(number: int, token: Token = SHOP) -> str:
    return keys.origin_record_key(token, _ref(number))


def test_records_of_dropped_invalidations_are_not_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ORIGINS", 3)
    validity = Validity()
    validity.reset("here", after=0)
    for seq, number in enumerate([1, 2, 3, 1, 4, 5], start=1):
        validity.apply(seq, token="", origin=keys.origin_digest_of(_ref(number)), digest="")
    # In memory are 1, 4 and 5, named by 4, 5 and 6; what names 2 and 3 fell out.
    assert [validity.is_valid(_key(number), "here:2") for number in range(1, 7)] == [False] * 6
    assert [validity.is_valid(_key(number), "here:3") for number in range(1, 7)] == [
        False,
        True,
        True,
        False,
        False,
        True,
    ]
    assert [validity.is_invalidated(_key(number), "here:0") for number in range(1, 7)] == [
        True,
        False,
        False,
        True,
        True,
        False,
    ]


def test_of_two_changes_the_earlier_fetch_may_be_appended_last() -> None:
    """Both fetched before they read the other's row, so it is unknown which of them has the present bytes."""
    validity = Validity()
    validity.reset("here", after=0)
    origin = keys.origin_digest_of(_ref(1))
    validity.apply(1, token="shop", origin=origin, digest="later")
    validity.apply(2, token="shop", origin=origin, digest="earlier")
    assert not validity.is_valid(_key(1), "here:0", "earlier")
    assert not validity.is_valid(_key(1), "here:0", "later")
    assert validity.is_valid(_key(1), "here:1", "earlier"), "fetched after the other row was read"
    validity.apply(3, token="shop", origin=origin, digest="later")
    validity.apply(4, token="shop", origin=origin, digest="later")
    assert validity.is_valid(_key(1), "here:2", "later"), "two rows with the same bytes do not contradict each other"


def test_a_reset_changes_the_generation_of_every_record() -> None:
    """As after an invalidation of its origin, which may be among the missed ones."""
    validity = Validity()
    validity.reset("here", after=0)
    validity.apply(1, token="", origin=keys.origin_digest_of(_ref(1)), digest="")
    named, other = validity.generation_of(_key(1)), validity.generation_of(_key(2))
    assert named != other
    validity.apply(2, token="", origin=keys.origin_digest_of(_ref(3)), digest="")
    assert (validity.generation_of(_key(1)), validity.generation_of(_key(2))) == (named, other), "not named"
    validity.reset("here", after=7)
    assert validity.generation_of(_key(1)) != named
    assert validity.generation_of(_key(2)) != other


def test_before_the_first_read_every_record_is_valid() -> None:
    """The database is unavailable: stored records are used."""
    validity = Validity()
    assert validity.position == ""
    assert validity.is_valid(_key(1), "elsewhere:5")
    validity.reset("here", after=0)
    assert validity.is_valid(_key(1), "")
    assert not validity.is_valid(_key(1), "elsewhere:5")
