"""Records as they are stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid import errors
from pellucid.errors import PellucidError
from pellucid.formats import ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.source.answers import Validators
from pellucid.source.fetch import ConnectTimeoutError, NoConnectionError
from pellucid.source.records import (
    KnownFailure,
    KnownOrigin,
    Record,
    decode_record,
    encode_record,
    recall_failure,
    remember_failure,
)

_moments = st.floats(0, 1e10)
_facts = st.builds(
    ImageFacts,
    format=st.sampled_from(ImageFormat),
    width=st.integers(1, 9999),
    height=st.integers(1, 9999),
    has_alpha=st.booleans(),
    pages=st.integers(1, 9),
    damaged=st.none() | st.booleans(),
)
_origins = st.builds(
    KnownOrigin,
    source=st.text(),
    scheme=st.sampled_from(["http", "https", "file"]),
    digest=st.text(),
    facts=_facts,
    size_bytes=st.integers(1, 9999),
    url=st.text(),
    validators=st.builds(Validators, etag=st.none() | st.text(), last_modified=st.none() | st.text()),
    position=st.text(),
    fresh_for_s=_moments,
    fresh_until=_moments,
)
_failures = st.builds(
    KnownFailure, source=st.text(), position=st.text(), error=st.text(), message=st.text(), until=_moments
)


@given(_origins | _failures)
def test_round_trip(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


@given(st.binary() | st.just(b'{"type":"origin"}') | st.just(b"{}"))
def test_damaged_records_are_none(data: bytes) -> None:
    assert decode_record(data) is None


@pytest.mark.parametrize(
    ("error", "cls"),
    [
        (errors.OriginNotFoundError("gone"), errors.OriginNotFoundError),
        (errors.ImageLimitError("big"), errors.ImageLimitError),
        (errors.DamagedImageError("half"), errors.DamagedImageError),
        (errors.RenderError("killed"), errors.RenderError),
        (NoConnectionError("none"), errors.OriginUnreachableError),
        (ConnectTimeoutError("slow"), errors.OriginTimeoutError),
    ],
)
def test_failures_come_back_as_their_public_class(error: PellucidError, cls: type[PellucidError]) -> None:
    recalled = recall_failure(remember_failure(error, source="x", position="", until=1))
    assert type(recalled) is cls
    assert str(recalled) == str(error)


@pytest.mark.parametrize("name", ["SettingsError", "annotations", "nothing", ""])
def test_an_unknown_name_is_an_unreachable_origin(name: str) -> None:
    recalled = recall_failure(KnownFailure(source="x", position="", error=name, message="m", until=1))
    assert type(recalled) is errors.OriginUnreachableError
