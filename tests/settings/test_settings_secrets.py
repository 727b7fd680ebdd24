"""Secrets are shown nowhere. Which settings are secret, their types say: a new `SecretStr` is under test by itself."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import structlog
from pydantic import BaseModel, SecretStr

from pellucid.cli.doctor import list_settings
from pellucid.errors import SettingsError
from pellucid.serve.log import set_up_logging
from pellucid.settings.load import load_settings
from pellucid.settings.model import SettingsTree
from pellucid.settings.names import holds_secret, setting_names

SECRET = "5ec4e7" * 10 + "5ec4"
"""Right for every secret of today: hexadecimal, and base64 of 48 bytes."""

NUMBER = 5304730530473
SHOWN = ("5ec4e7", "530473", "0x4d3")


def _secrets(kind: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all `SecretStr` in the tree; what a dict holds is called `shop`."""
    if kind is SecretStr:
        yield path
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            yield from _secrets(field.annotation, (*path, name))
    elif get_origin(kind) is dict:
        yield from _secrets(get_args(kind)[1], (*path, "shop"))
    else:
        for part in get_args(kind):
            yield from _secrets(part, path)


SECRETS = sorted(set(_secrets(SettingsTree)))

NEEDED: dict[tuple[str, ...], dict[str, Any]] = {
    ("cdn", "purge_headers", "shop"): {"cdn": {"purge_url": "https://cdn.example/{tag}"}},
}
"""What must be set beside a secret."""


def _nested(path: tuple[str, ...], value: object) -> dict[str, Any]:
    for step in reversed(path):
        value = {step: value}
    assert isinstance(value, dict)
    return value


def _as_toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_as_toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_toml, value)) + "]"
    return json.dumps(value)


def _write(folder: Path, tree: dict[str, Any]) -> Path:
    config = folder / "pellucid.toml"
    config.write_text("".join(f"{name} = {_as_toml(value)}\n" for name, value in tree.items()))
    return config


def _said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


def _assert_hidden(text: str) -> None:
    assert not [part for part in SHOWN if part in text], text


def test_the_walk_finds_secrets_of_every_kind() -> None:
    assert {
        ("web", "admin_key"),
        ("notify", "secret"),
        ("database", "url"),
        ("cdn", "purge_headers", "shop"),
        ("origin", "headers", "shop", "shop"),
        ("tokens", "shop", "origin_headers", "shop", "shop"),
        ("tokens", "shop", "notify_secret"),
        ("tokens", "shop", "key_hash"),
    } <= set(SECRETS)
    assert all(map(holds_secret, SECRETS))
    assert not holds_secret(("tokens", "shop", "hosts", "0"))
    assert not holds_secret(("port",))


@pytest.mark.parametrize("path", SECRETS, ids=".".join)
def test_a_secret_is_in_no_listing_and_no_log(
    path: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = _nested(path, SECRET)
    for table, entries in NEEDED.get(path, {}).items():
        tree[table] |= entries
    settings = load_settings(flags={}, environ={}, config=_write(tmp_path, tree))
    value: Any = settings
    for step in path:
        value = value[step] if isinstance(value, dict) else getattr(value, step)
    assert value.get_secret_value() == SECRET, "the test set what it wanted to set"
    list_settings(settings)
    for style in ("json", "console"):
        set_up_logging(level="debug", style=style)
        log = structlog.get_logger()
        log.error("settings", settings=settings)
        try:
            raise RuntimeError("with all of this at hand") from ValueError(settings)
        except RuntimeError:
            log.exception("unexpected")
    logging.getLogger("pellucid").error("settings %s %r", settings, settings)
    out, err = capsys.readouterr()
    assert "PELLUCID_WEB_ADMIN_KEY" in out
    assert "unexpected" in err
    _assert_hidden(out + err + repr(settings) + str(settings) + str(settings.model_dump()) + settings.model_dump_json())


WRONG: dict[str, Any] = {
    "number": NUMBER,
    "real": NUMBER + 0.5,
    "list": [SECRET, NUMBER],
    "table": {"a": SECRET, "b": NUMBER},
    "tables": [{"a": SECRET, "b": {"c": NUMBER}}],
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("path", SECRETS, ids=".".join)
def test_what_is_no_secret_by_its_type_is_not_repeated(path: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    """In the place of the secret, and of every table around it."""
    for length in range(1, len(path) + 1):
        wrong = _nested(path[:length], WRONG[kind])
        if length < len(path) and kind == "table":
            continue  # a table with names that are no settings: said without their values, under test below
        with pytest.raises(SettingsError) as caught:
            load_settings(flags={}, environ={}, config=_write(tmp_path, wrong))
        _assert_hidden(_said(caught.value))
        assert path[0] in str(caught.value)


@pytest.mark.parametrize("path", SECRETS, ids=".".join)
def test_a_secret_beside_a_mistake_is_not_repeated(path: tuple[str, ...], tmp_path: Path) -> None:
    tree = _nested(path, SECRET)
    parent = tree
    for step in path[:-1]:
        parent = parent[step]
    parent["no setting"] = {"a": SECRET}
    with pytest.raises(SettingsError) as caught:
        load_settings(flags={}, environ={}, config=_write(tmp_path, tree))
    _assert_hidden(_said(caught.value))


@pytest.mark.parametrize(
    "text",
    [
        f'{{"shop": {{"key_hash": {NUMBER}}}}}',
        f'{{"shop": {{"notify_secret": {NUMBER}}}}}',
        f'{{"shop": {{"notify_secret": "short{NUMBER}"}}}}',
        f'{{"shop": {{"key_hash": "pel_{NUMBER}"}}}}',
        f'{{"shop": {{"key_hash": "{SECRET}"}}, "blog": {{"key_hash": "{SECRET}"}}}}',
        f'{{"shop": {{"key_hash": "{SECRET}", "hots": []}}}}',
        f'{{"shop": "{SECRET}"}}',
        f'{{"shop": ["{SECRET}"]}}',
        f'{{"shop": {{"key_hash": "{SECRET}"}}',
        f'["{SECRET}"]',
        SECRET,
    ],
)
def test_customers_in_a_variable_are_not_repeated(text: str) -> None:
    with pytest.raises(SettingsError, match="tokens") as caught:
        load_settings(flags={}, environ={"PELLUCID_TOKENS": text})
    _assert_hidden(_said(caught.value))


@pytest.mark.parametrize("text", [f"Authorization: Bearer {SECRET}", SECRET, f"={SECRET}", f"Key={SECRET},{SECRET}"])
def test_headers_that_are_none_are_not_repeated(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"PELLUCID_CDN_PURGE_HEADERS": text, "PELLUCID_CDN_PURGE_URL": "https://cdn.example/{tag}"}
    with pytest.raises(SettingsError, match="PELLUCID_CDN_PURGE_HEADERS") as caught:
        list_settings(load_settings(flags={}, environ=environ))
    _assert_hidden(_said(caught.value) + capsys.readouterr().out)


def test_the_command_says_which_settings_are_wrong_and_not_what_they_are(tmp_path: Path) -> None:
    tree: dict[str, Any] = {}
    for path in SECRETS:
        at = tree
        for step in path[:-1]:
            at = at.setdefault(step, {})
        at[path[-1]] = NUMBER
    config = _write(tmp_path, tree)
    done = subprocess.run(
        [sys.executable, "-m", "pellucid", "serve", "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    for path in SECRETS:
        assert path[-1] in done.stderr or path[-1] == "shop"
    _assert_hidden(done.stdout + done.stderr)


def test_names_of_settings_are_no_secrets() -> None:
    hidden = [".".join(path) for path in setting_names() if holds_secret(path)]
    assert hidden == ["origin.headers", "web.admin_key", "notify.secret", "cdn.purge_headers", "database.url", "tokens"]
