"""Request headers of origins: how they are written, and what is refused at the start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from pellucid.cli.doctor import list_settings
from pellucid.errors import SettingsError
from pellucid.settings.load import load_settings
from pellucid.source.headers import SentHeaders
from pellucid.spec import DEFAULT_TOKEN, Token
from pellucid.wiring.values import origin_headers_of

KEY = "sesame-5ec4e7"
SHOP = Token("shop")


def _sent(tree: Any, url: str, token: Token = DEFAULT_TOKEN) -> SentHeaders:
    return origin_headers_of(tree).of(token).of(URL(url))


TOML = f"""
[origin]
contact = "https://shop.example/bot"

[origin.headers."cdn.example"]
X-Api-Key = "{KEY}"
Referer = "https://shop.example/"

[origin.headers."http://minio.internal"]
Authorization = "Basic dXNlcjpwYXNz=="

[tokens.shop.origin_headers."cdn.example"]
X-Api-Key = "of-the-shop"
"""

ENVIRON = {
    "PELLUCID_ORIGIN_CONTACT": "https://shop.example/bot",
    "PELLUCID_ORIGIN_HEADERS": json.dumps(
        {
            "cdn.example": {"X-Api-Key": KEY, "Referer": "https://shop.example/"},
            "http://minio.internal": {"Authorization": "Basic dXNlcjpwYXNz=="},
        }
    ),
    "PELLUCID_TOKENS": json.dumps({"shop": {"origin_headers": {"cdn.example": {"X-Api-Key": "of-the-shop"}}}}),
}


@pytest.mark.parametrize("written", ["toml", "environment"])
def test_headers_in_a_file_and_in_variables(written: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "pellucid.toml"
    config.write_text(TOML)
    if written == "toml":
        tree = load_settings(flags={}, environ={}, config=config)
    else:
        tree = load_settings(flags={}, environ=ENVIRON)
    assert tree.origin.contact == "https://shop.example/bot"
    shared = {"X-Api-Key": KEY, "Referer": "https://shop.example/"}
    assert dict(_sent(tree, "https://cdn.example/a").pairs) == shared
    assert not _sent(tree, "https://cdn.example/a").in_clear
    assert _sent(tree, "https://minio.internal/a").in_clear
    assert dict(_sent(tree, "https://cdn.example/a", SHOP).pairs) == {"X-Api-Key": "of-the-shop"}
    assert not _sent(tree, "https://elsewhere.example/a")
    list_settings(tree)
    shown = "".join(capsys.readouterr())
    assert "X-Api-Key" in shown
    assert not [secret for secret in (KEY, "dXNlcjpwYXNz", "of-the-shop") if secret in shown + repr(tree)]


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({"h.example": {"Host": KEY}}, "host is set by this server itself"),
        ({"h.example": {"Cookie": KEY}}, "cookie is set by this server itself"),
        ({"h.example": {"X-Key": f"{KEY}\r\nX: y"}}, "printable ASCII, on one line"),
        ({"h.example": {f"X-Key: {KEY}": "x"}}, "no name of a header"),
        ({"h.example": {f"Proxy-Authorization: {KEY}": ""}}, "no name of a header"),
        ({"h.example": {f"If-{KEY}: x": ""}}, "no name of a header"),
        ({"h.example": {"X-Key": 5304730530473}}, "it must be a text, in quotes"),
        ({"h.example": KEY}, "it must be a table of names and values"),
        ({"h.example:8080": {"X-Key": KEY}}, "must be a host alone"),
        ([KEY], "it must be a table of tables, or a text of JSON"),
    ],
)
def test_the_start_says_what_is_wrong_and_not_the_value(headers: object, sentence: str) -> None:
    for environ in (
        {"PELLUCID_ORIGIN_HEADERS": json.dumps(headers)},
        {"PELLUCID_TOKENS": json.dumps({"shop": {"origin_headers": headers}})},
    ):
        with pytest.raises(SettingsError, match=sentence) as caught:
            load_settings(flags={}, environ=environ)
        said = str(caught.value)
        assert next(iter(environ)) in said
        assert KEY not in said
        assert "5304730530473" not in said


def test_headers_that_are_no_json() -> None:
    with pytest.raises(SettingsError, match=r"origin.headers.*must be JSON") as caught:
        load_settings(flags={}, environ={"PELLUCID_ORIGIN_HEADERS": f"cdn.example=X-Api-Key: {KEY}"})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("contact", ["a (b)", "a\\b", "a\nb", "é", "a" * 201, "a\r\nX: y"])
def test_a_contact_that_no_header_holds(contact: str) -> None:
    with pytest.raises(SettingsError, match=r"PELLUCID_ORIGIN_CONTACT.*without parentheses"):
        load_settings(flags={}, environ={"PELLUCID_ORIGIN_CONTACT": contact})


@pytest.mark.parametrize("token", ["origin", "tokens"])
def test_an_alias_that_could_never_be_fetched_stops_the_start(token: str) -> None:
    aliases = {"PELLUCID_ALIASES": "_m_=http://minio.internal:9000/bucket/,_f_=file:///srv,_s_=https://minio.internal/"}

    def headers(host: str) -> dict[str, str]:
        table = {host: {"X-Key": KEY}}
        if token == "origin":
            return {"PELLUCID_ORIGIN_HEADERS": json.dumps(table)}
        return {"PELLUCID_TOKENS": json.dumps({"shop": {"origin_headers": table}})}

    with pytest.raises(SettingsError, match=r"alias _m_ leads to http://minio.internal:9000/bucket/.*https alone"):
        origin_headers_of(load_settings(flags={}, environ=aliases | headers("minio.internal")))
    assert origin_headers_of(load_settings(flags={}, environ=aliases | headers("http://minio.internal")))
    assert origin_headers_of(load_settings(flags={}, environ=aliases | headers("other.internal")))
