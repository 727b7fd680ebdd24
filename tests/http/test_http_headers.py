"""The table of states: lifetimes, state header, Vary, ETag; the same on 200 and 304."""

from __future__ import annotations

from dataclasses import replace

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.customers.customer import DEFAULT_CUSTOMER
from pellucid.customers.lifetimes import Lifetimes
from pellucid.formats import ImageFormat
from pellucid.http.headers import (
    ALWAYS,
    MAX_HEADER_BYTES,
    Headers,
    cache_control,
    content_headers,
    credits_header,
    cutout_state,
    delivery_headers,
    is_not_modified,
    lifetimes_of,
)
from pellucid.http.status_responses import status_response
from pellucid.image.facts import ImageFacts
from pellucid.pipeline.states import Bill, CutoutState, CutoutStatus, ImageResult, Stages, StatusResult
from pellucid.queue.values import Failed, Full, Pending
from pellucid.source.answers import Sharing
from pellucid.source.origin import Origin
from pellucid.spec import Interim, OriginRef, Removal, Spec
from pellucid.store.renditions import RenditionSource, make_rendition
from pellucid.uploads.store import UPLOADS_ALIAS

LIVES = Lifetimes()
LONG = "public, max-age=2592000, s-maxage=31536000"
SHORT = "public, max-age=5, s-maxage=5"
FACTS = ImageFacts(format=ImageFormat.JPEG, width=8, height=6, has_alpha=False)
ORIGIN = Origin(digest="0" * 32, facts=FACTS, size_bytes=1, url="", source="", record_key="origins/default/x")
SPEC = Spec(origin=OriginRef(host="example.com", path="/a.jpg"), removal=Removal(remove=True))


def _cutting(state: CutoutState, receipt: Pending | Failed | Full | None = None) -> CutoutStatus:
    return CutoutStatus(state=state, job="job", origin=ORIGIN, receipt=receipt)


OWED = Pending(position=3, eta_s=3.2)
PENDING = _cutting(CutoutState.PENDING, OWED)
STALE = _cutting(CutoutState.STALE, OWED)
FAILED = _cutting(CutoutState.FAILED, Failed(reason="attempts-used-up", retry_in_s=200))
READY = _cutting(CutoutState.READY)
NO_SUBJECT = _cutting(CutoutState.NO_SUBJECT)
BUSY = _cutting(CutoutState.BUSY, Full(of_token=1000, depth=1000))
MINUTE = "public, max-age=60, s-maxage=60"


def _life(cutout: CutoutStatus | None) -> str:
    return dict(cache_control(cutout, LIVES))[b"cache-control"].decode()


@pytest.mark.parametrize(
    ("cutout", "expected", "state"),
    [
        (PENDING, SHORT, "pending;position=3;eta=4"),
        (READY, LONG, "ready"),
        (STALE, MINUTE, "stale;position=3;eta=4"),
        (FAILED, "public, max-age=300, s-maxage=300", "failed;reason=attempts-used-up"),
        (NO_SUBJECT, LONG, "no-subject"),
    ],
)
def test_states(cutout: CutoutStatus, expected: str, state: str) -> None:
    assert _life(cutout) == expected
    assert cutout_state(cutout) == state


def test_without_removal_life_is_long() -> None:
    assert _life(None) == LONG


def test_a_cdn_may_be_told_apart() -> None:
    targeted = replace(LIVES, targeted=True)
    assert dict(cache_control(PENDING, targeted))[b"cdn-cache-control"] == b"max-age=5"
    assert dict(cache_control(READY, targeted))[b"cdn-cache-control"] == b"max-age=31536000"
    assert b"cdn-cache-control" not in dict(cache_control(READY, LIVES))


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("cutout", [None, READY, PENDING])
def test_what_an_origin_says_caps_what_is_said_of_its_pictures(cutout: CutoutStatus | None, targeted: bool) -> None:
    lives = replace(LIVES, targeted=targeted)
    seconds, _ = lifetimes_of(cutout, lives)
    private = f"private, max-age={seconds}".encode()
    assert cache_control(cutout, lives, sharing=Sharing.PRIVATE) == [(b"cache-control", private)]
    assert cache_control(cutout, lives, sharing=Sharing.NO_STORE) == [(b"cache-control", b"no-store")]
    ignoring = replace(lives, respect_origin=False)
    for sharing in Sharing:
        assert cache_control(cutout, ignoring, sharing=sharing) == cache_control(cutout, lives)


def test_busy_is_short_and_jittered() -> None:
    lives = {_life(BUSY) for _ in range(200)}
    seconds = {int(each.rpartition("=")[2]) for each in lives}
    assert seconds <= set(range(5, 31))
    assert len(seconds) > 5
    assert cutout_state(BUSY) == "busy"


def _headers(
    cutout: CutoutStatus | None,
    *,
    negotiable: bool,
    ignored: tuple[str, ...] = (),
    found: RenditionSource = RenditionSource.MADE,
    waited_s: int | None = None,
) -> dict[bytes, bytes]:
    stages = Stages()
    stages.ms.update(origin=1.25, cutout=0.5, render=30)
    delivery = ImageResult(
        rendition=make_rendition(b"x", "image/png"),
        found=found,
        origin=ORIGIN,
        negotiable=negotiable,
        cutout=cutout,
        stages=stages,
    )
    return dict(delivery_headers(delivery, customer=DEFAULT_CUSTOMER, spec=SPEC, ignored=ignored, waited_s=waited_s))


@pytest.mark.parametrize("cutout", [None, PENDING, READY, STALE, FAILED, NO_SUBJECT, BUSY])
def test_every_answer_has_what_is_always_there(cutout: CutoutStatus | None) -> None:
    headers = _headers(cutout, negotiable=False)
    assert set(ALWAYS) <= set(headers.items())
    assert b"last-modified" not in headers
    assert b"vary" not in headers
    assert (b"pellucid-cutout" in headers) is (cutout is not None)
    assert headers[b"cache-tag"] == headers[b"surrogate-key"]
    assert headers[b"cache-tag"].isalnum()
    assert _headers(cutout, negotiable=True)[b"vary"] == b"Accept"


def test_who_waits_on_request_gets_an_answer_for_himself() -> None:
    headers = _headers(READY, negotiable=True, waited_s=7)
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"vary"] == b"Accept, Prefer"
    assert headers[b"preference-applied"] == b"wait=7"


@pytest.mark.parametrize("cutout", [PENDING, BUSY, STALE])
def test_what_may_change_says_where_to_hear_of_it(cutout: CutoutStatus) -> None:
    link = _headers(cutout, negotiable=False)[b"link"].decode()
    assert '</-/status/example.com/a.jpg?bg_remove=1>; rel="status"' in link
    assert '</-/events/example.com/a.jpg?bg_remove=1>; rel="monitor"' in link


@pytest.mark.parametrize("cutout", [None, READY, FAILED, NO_SUBJECT])
def test_what_stays_has_no_link(cutout: CutoutStatus | None) -> None:
    assert b"link" not in _headers(cutout, negotiable=False)


def test_stages_and_where_the_rendition_came_from() -> None:
    headers = _headers(PENDING, negotiable=False, found=RenditionSource.DISK)
    assert headers[b"server-timing"] == b'origin;dur=1.2, render;dur=30.0, cutout;desc="pending";dur=0.5'
    assert headers[b"cache-status"] == b"Pellucid; hit; detail=disk"
    assert _headers(PENDING, negotiable=False)[b"cache-status"].startswith(b"Pellucid; fwd=miss; stored")


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


@pytest.mark.parametrize("cutout", [PENDING, READY, STALE, FAILED, NO_SUBJECT, BUSY])
def test_the_state_is_a_structured_field(cutout: CutoutStatus) -> None:
    headers = _headers(cutout, negotiable=True, ignored=('a"b', "ü"))
    state, parameters = http_sf.parse(headers[b"pellucid-cutout"], tltype="item")
    assert isinstance(state, http_sf.Token)
    assert str(state) == str(cutout.state)
    assert set(parameters) <= {"position", "eta", "reason"}
    names = [name for name, _ in http_sf.parse(headers[b"pellucid-ignored"], tltype="list")]
    assert names == ["a%22b", "%FC"]


@pytest.mark.parametrize("found", list(RenditionSource))
def test_cache_status_is_a_structured_field(found: RenditionSource) -> None:
    headers = _headers(READY, negotiable=True, found=found)
    [(cache, parameters)] = http_sf.parse(headers[b"cache-status"], tltype="list")
    assert str(cache) == "Pellucid"
    assert ("hit" in parameters) is (found in (RenditionSource.MEMORY, RenditionSource.DISK))
    assert ("fwd" in parameters) is ("hit" not in parameters), "RFC 9211: a hit was not forwarded"


SERVER_BYTES = 300
"""What the HTTP server adds: status line, `date`, `connection` and `content-length`."""

BILL = Bill(price=400, charged=10**9, remaining=10**9, resets_at=2e9)
LONG_PATHS = st.builds(
    lambda piece, times, tail: "/" + (piece * times)[:4000] + tail,
    st.sampled_from(["a", "/", "%C3%A9", "%25", "abc/", "~", ",", "'"]),
    st.integers(0, 4000),
    st.text("abc", max_size=5),
)
REFS = st.builds(OriginRef, host=st.sampled_from(["h.example", "a." * 120 + "example"]), path=LONG_PATHS) | st.builds(
    OriginRef, alias=st.sampled_from(["_p_", UPLOADS_ALIAS, "_" + "n" * 2000 + "_"]), path=LONG_PATHS
)
SPECS = st.builds(
    Spec,
    origin=REFS,
    removal=st.builds(
        Removal,
        remove=st.just(True),
        notify=st.none() | LONG_PATHS.map(lambda path: f"https://h.example{path}"[:500]),
        interim=st.sampled_from(Interim),
    ),
)
NAMES = st.lists(st.text(max_size=80) | st.sampled_from(["\U0001f600" * 70, "x" * 5000]), max_size=40).map(tuple)


def _bytes(headers: Headers) -> int:
    return sum(len(name) + len(value) + len(b": \r\n") for name, value in headers)


@given(
    spec=SPECS,
    ignored=NAMES,
    cutout=st.sampled_from([None, PENDING, READY, STALE, FAILED, NO_SUBJECT, BUSY]),
    waited_s=st.sampled_from([None, 25]),
    targeted=st.booleans(),
)
def test_all_headers_together_fit_into_a_proxys_buffer(
    spec: Spec, ignored: tuple[str, ...], cutout: CutoutStatus | None, waited_s: int | None, *, targeted: bool
) -> None:
    stages = Stages()
    stages.ms.update(dict.fromkeys(("origin", "cutout", "wait", "render"), 99_999.94))
    delivery = ImageResult(
        rendition=make_rendition(b"x", "image/png"),
        found=RenditionSource.SHARED,
        origin=ORIGIN,
        negotiable=True,
        cutout=cutout,
        stages=stages,
    )
    headers = delivery_headers(
        delivery,
        customer=replace(DEFAULT_CUSTOMER, lifetimes=replace(LIVES, targeted=targeted)),
        spec=spec,
        ignored=ignored,
        waited_s=waited_s,
    )
    headers += content_headers(delivery, spec)
    assert _bytes([*headers, *credits_header(BILL)]) + SERVER_BYTES < MAX_HEADER_BYTES
    if cutout in (PENDING, BUSY):
        _, headers, _ = status_response(StatusResult(cutout=cutout or PENDING, negotiable=True), spec)
        assert _bytes([*headers, *credits_header(BILL)]) + SERVER_BYTES < MAX_HEADER_BYTES


def test_a_link_that_is_too_long_is_shortened_before_it_goes() -> None:
    def link(length: int) -> str | None:
        spec = replace(SPEC, origin=replace(SPEC.origin, path="/" + "a" * length))
        headers = delivery_headers(
            ImageResult(
                rendition=make_rendition(b"x", "image/png"),
                found=RenditionSource.MADE,
                origin=ORIGIN,
                negotiable=False,
                cutout=PENDING,
            ),
            customer=DEFAULT_CUSTOMER,
            spec=spec,
            ignored=(),
        )
        found = dict(headers).get(b"link")
        return None if found is None else found.decode()

    assert (link(700) or "").count("rel=") == 2
    assert (link(1600) or "").endswith('rel="status"; type="application/json"')
    assert (link(1600) or "").count("rel=") == 1
    assert link(3000) is None


def test_the_names_that_are_ignored_have_a_share() -> None:
    headers = _headers(None, negotiable=False, ignored=tuple(f"{n:02}" + "\U0001f600" * 64 for n in range(16)))
    assert 300 < len(headers[b"pellucid-ignored"]) <= 800
    assert b'"00%1F600' in headers[b"pellucid-ignored"]
