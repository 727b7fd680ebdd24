"""Which records are believed after what was heard: by numbers, in a bounded memory."""

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


def test_what_falls_out_of_memory_is_not_believed_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NAMES", 3)
    validity = Validity()
    validity.begin("here", after=0)
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


def test_of_two_who_found_a_change_the_first_to_ask_may_be_the_last_to_tell() -> None:
    """Both asked before they heard of each other: which of them knows what the origin holds now nobody can say."""
    validity = Validity()
    validity.begin("here", after=0)
    origin = keys.origin_digest_of(_ref(1))
    validity.apply(1, token="shop", origin=origin, digest="later")
    validity.apply(2, token="shop", origin=origin, digest="earlier")
    assert not validity.is_valid(_key(1), "here:0", "earlier")
    assert not validity.is_valid(_key(1), "here:0", "later")
    assert validity.is_valid(_key(1), "here:1", "earlier"), "who asked after it heard of the other one"
    validity.apply(3, token="shop", origin=origin, digest="later")
    validity.apply(4, token="shop", origin=origin, digest="later")
    assert validity.is_valid(_key(1), "here:2", "later"), "two who found the same do not contradict each other"


def test_a_question_is_shared_by_nobody_who_comes_after_a_new_beginning() -> None:
    """As after an invalidation of its origin: what was missed may have been one."""
    validity = Validity()
    validity.begin("here", after=0)
    validity.apply(1, token="", origin=keys.origin_digest_of(_ref(1)), digest="")
    named, other = validity.generation_of(_key(1)), validity.generation_of(_key(2))
    assert named != other
    validity.apply(2, token="", origin=keys.origin_digest_of(_ref(3)), digest="")
    assert (validity.generation_of(_key(1)), validity.generation_of(_key(2))) == (named, other), "not named"
    validity.begin("here", after=7)
    assert validity.generation_of(_key(1)) != named
    assert validity.generation_of(_key(2)) != other


def test_before_anything_was_heard_everything_is_believed() -> None:
    """The database is away: what is known goes on."""
    validity = Validity()
    assert validity.position == ""
    assert validity.is_valid(_key(1), "elsewhere:5")
    validity.begin("here", after=0)
    assert validity.is_valid(_key(1), "")
    assert not validity.is_valid(_key(1), "elsewhere:5")
