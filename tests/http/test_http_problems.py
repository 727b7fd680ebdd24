"""Every error has a row, and the documents are RFC 9457's."""

from __future__ import annotations

import msgspec
import pytest

from pellucid import errors
from pellucid.http.problems import PROBLEMS, describe_error, kind_of


def _all_errors(base: type[errors.PellucidError] = errors.PellucidError) -> list[type[errors.PellucidError]]:
    public = [sub for sub in base.__subclasses__() if sub.__module__ == errors.__name__]
    return [base, *(found for sub in public for found in _all_errors(sub))]


@pytest.mark.parametrize("cls", _all_errors(), ids=lambda cls: cls.__name__)
def test_every_error_class_has_its_own_row(cls: type[errors.PellucidError]) -> None:
    assert cls in PROBLEMS


def test_slugs_are_distinct() -> None:
    slugs = [kind.slug for kind in set(PROBLEMS.values())]  # errors that are the same to a caller share a kind
    assert len(slugs) == len(set(slugs))


def test_a_bad_value_names_parameter_value_and_grammar() -> None:
    problem = describe_error(errors.BadValueError(parameter="w", value="abc", grammar="a number"))
    document = msgspec.json.decode(problem.body)
    assert problem.status == document["status"] == 400
    assert (document["parameter"], document["value"], document["grammar"]) == ("w", "abc", "a number")
    assert "abc" in document["detail"]
    assert (b"content-type", b"application/problem+json") in problem.headers


def test_who_needs_a_key_is_told_how_to_send_it() -> None:
    """RFC 9110, section 11.6.1."""
    assert (b"www-authenticate", b"Bearer") in describe_error(errors.AuthenticationError("a key is needed")).headers
    assert b"www-authenticate" not in dict(describe_error(errors.OriginForbiddenError("no")).headers)


def test_statuses_of_the_design() -> None:
    expected = {
        errors.BadOriginError: 400,
        errors.OriginNotFoundError: 404,
        errors.OriginForbiddenError: 403,
        errors.OriginRefusedError: 403,
        errors.OriginTimeoutError: 504,
        errors.OriginUnreachableError: 502,
        errors.UnsupportedFormatError: 422,
        errors.ImageLimitError: 422,
        errors.ImageError: 422,
        errors.BusyError: 503,
    }
    assert {cls: kind_of(cls("x")).status for cls in expected} == expected


def test_busy_says_when_to_come_back() -> None:
    headers = dict(describe_error(errors.BusyError("full", retry_after_s=7)).headers)
    assert headers[b"retry-after"] == b"7"
    assert headers[b"cache-control"] == b"no-store"


def test_messages_about_this_machine_stay_in_the_log() -> None:
    problem = describe_error(errors.StoreError("cannot write to a secret folder"))
    assert problem.status == 503
    assert b"secret" not in problem.body


def test_a_subclass_without_a_row_takes_its_parents() -> None:
    class OddError(errors.OriginTimeoutError):
        pass

    assert kind_of(OddError("x")).status == 504
