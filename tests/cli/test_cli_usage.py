"""`pellucid usage` and `pellucid tokens`, as a person and as a script run them."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from command_line import run_in_process
from pellucid.cli.usage import bar
from pellucid.customers.customer import hash_key
from pellucid.settings.load import load_settings
from pellucid.settings.model import SettingsTree
from pellucid.spec import Token
from pellucid.wiring.accounts import customers_of
from pellucid.wiring.storage import open_database
from usage_rows import Charge, many, write_charges, write_hold

pytestmark = pytest.mark.slow

TODAY = datetime.now(UTC).date()
_TOKENS = {"shop": {"hosts": ["img.shop.example"], "key_hash": "ab" * 32, "credits_per_month": 1000}, "blog": {}}


def _environ(data_dir: Path, **more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PELLUCID_")}
    return own | {"PELLUCID_DATA_DIR": str(data_dir), "PELLUCID_TOKENS": json.dumps(_TOKENS)} | more


def _pellucid(*arguments: str, data_dir: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return run_in_process(*arguments, environ=_environ(data_dir, **environ))


def _pellucid_as_a_script_does(*arguments: str, data_dir: Path) -> subprocess.CompletedProcess[str]:
    """A process of its own, its output in a pipe."""
    done = subprocess.run(
        [sys.executable, "-m", "pellucid", *arguments],
        capture_output=True,
        check=False,
        env=_environ(data_dir),
        timeout=120,
    )
    # Not read as text, which would turn the line ends of CSV into others.
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def _on_a_terminal(*arguments: str, data_dir: Path) -> str:
    """What a person sees."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pellucid", *arguments],
        stdout=theirs,
        stderr=theirs,
        env=_environ(data_dir, TERM="xterm", COLUMNS="100", LANG="C.UTF-8"),
    )
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:
        pass  # Linux says EIO when the other end is closed
    os.close(ours)
    assert process.wait(60) == 0
    return seen.decode()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """The data directory of a server that charged."""
    settings = SettingsTree.model_validate({"data_dir": tmp_path / "data"})

    def write(connection: sa.Connection) -> None:
        rows = [
            *many(Charge(day=date(2026, 10, 5), token="shop"), 4),
            Charge(day=date(2026, 10, 7), token="blog", tier="best", credits=400, host="@evil"),
            *many(Charge(day=TODAY, token="shop"), 3),
        ]
        write_charges(connection, rows)
        write_hold(connection, "shop")

    async def fill() -> None:
        async with open_database(settings) as database:
            await database.run(write)

    asyncio.run(fill())
    return settings.data_dir


def test_csv_and_json_of_the_command_are_those_of_the_server(data_dir: Path) -> None:
    range_ = ("--from", "2026-10-04", "--to", "2026-10-07")
    as_csv = _pellucid_as_a_script_does("usage", *range_, "--by", "token,host", "--csv", data_dir=data_dir)
    assert (as_csv.returncode, as_csv.stderr) == (0, "")
    assert as_csv.stdout.count("\r\n") == 3
    assert list(csv.reader(io.StringIO(as_csv.stdout, newline=""))) == [
        ["token", "host", "removals", "credits"],
        ["shop", "shop.example", "4", "800"],
        ["blog", "'@evil", "1", "400"],
    ]
    as_json = json.loads(_pellucid("usage", *range_, "--token", "shop", "--json", data_dir=data_dir).stdout)
    assert [(row["day"], row["credits"]) for row in as_json["rows"]] == [
        ("2026-10-04", 0),
        ("2026-10-05", 800),
        ("2026-10-06", 0),
        ("2026-10-07", 0),
    ]
    assert as_json["total"] == {"removals": 4, "credits": 800}
    [balance] = as_json["balance"]
    assert (balance["limit"], balance["charged"], balance["held"], balance["remaining"]) == (1000, 600, 200, 200)


def test_a_person_sees_bars_and_a_pipe_plain_lines(data_dir: Path) -> None:
    range_ = ("--from", "2026-10-04", "--to", "2026-10-07")
    seen = _on_a_terminal("usage", *range_, data_dir=data_dir)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", seen).splitlines()
    [busiest] = [line for line in lines if line.startswith("2026-10-05")]
    [half] = [line for line in lines if line.startswith("2026-10-07")]
    assert (busiest.count("█"), half.count("█")) == (40, 20)
    plain = _pellucid("usage", *range_, data_dir=data_dir).stdout
    assert plain.isascii()
    assert "\x1b" not in plain
    assert "1,200 credits for 5 removals" in plain
    assert re.search(r"^shop +1,000 +600 +200 +200 *$", plain, re.MULTILINE)
    assert re.search(r"^blog +any +0 +0 +any *$", plain, re.MULTILINE)


@pytest.mark.parametrize("by", [(), ("--by", "token"), ("--by", "day,token")])
def test_without_figures_there_is_a_sentence_and_no_rows_of_zeros(
    data_dir: Path, tmp_path: Path, by: tuple[str, ...]
) -> None:
    empty = tmp_path / "empty"

    async def make() -> None:
        async with open_database(SettingsTree.model_validate({"data_dir": empty})) as database:
            await database.bring_up()

    asyncio.run(make())
    first = TODAY.replace(day=1)
    span = f"from {first} to {TODAY} (UTC)" if first != TODAY else f"on {TODAY} (UTC)"
    fresh = _pellucid("usage", *by, data_dir=empty, PELLUCID_TOKENS="")
    assert (fresh.returncode, fresh.stdout) == (0, f"No removals yet {span}.\n")
    with_limits = _pellucid("usage", *by, data_dir=empty).stdout
    assert re.search(r"^shop +1,000 +0 +0 +1,000 *$", with_limits, re.MULTILINE)
    assert "blog" not in with_limits, "there is nothing to say of who has neither limit nor charge"
    past = _pellucid(
        "usage", "--from", "2026-01-03", "--to", "2026-01-31", "--token", "blog", *by, data_dir=data_dir
    ).stdout
    assert past == "No removals for blog from 2026-01-03 to 2026-01-31 (UTC).\n"

    range_ = ("--from", "2026-01-03", "--to", "2026-01-05")
    as_csv = _pellucid("usage", *range_, "--csv", data_dir=data_dir).stdout
    assert list(csv.reader(io.StringIO(as_csv, newline="")))[1:] == [[f"2026-01-0{day}", "0", "0"] for day in (3, 4, 5)]
    as_json = json.loads(_pellucid("usage", *range_, "--json", data_dir=data_dir).stdout)
    assert (as_json["total"], len(as_json["rows"])) == ({"removals": 0, "credits": 0}, 3)


def test_one_of_a_thing_is_one(data_dir: Path) -> None:
    day = ("--from", "2026-10-07", "--to", "2026-10-07")
    assert "On 2026-10-07 (UTC): 400 credits for 1 removal\n" in _pellucid("usage", *day, data_dir=data_dir).stdout


def test_a_long_host_is_not_cut_off_in_a_pipe(data_dir: Path) -> None:
    host = "h" * 240 + ".example"

    async def add() -> None:
        async with open_database(SettingsTree.model_validate({"data_dir": data_dir})) as database:
            await database.run(lambda db: write_charges(db, [Charge(day=date(2025, 3, 1), host=host)]))

    asyncio.run(add())
    said = _pellucid("usage", "--from", "2025-03-01", "--to", "2025-03-01", "--by", "host", data_dir=data_dir).stdout
    assert re.search(rf"^{host} +1 +200 *$", said, re.MULTILINE)


def test_what_was_said_wrongly_and_where_nothing_is(data_dir: Path, tmp_path: Path) -> None:
    bad = _pellucid("usage", "--from", "2026-02-30", data_dir=data_dir)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert "YYYY-MM-DD" in bad.stderr
    both = _pellucid("usage", "--csv", "--json", data_dir=data_dir)
    assert (both.returncode, "not both" in both.stderr) == (2, True)
    nothing = _pellucid("usage", data_dir=tmp_path / "elsewhere")
    assert (nothing.returncode, "Traceback" in nothing.stderr) == (1, False)
    assert "--data-dir" in nothing.stderr
    assert not (tmp_path / "elsewhere").exists(), "asking makes no files"


def test_tokens_are_listed_without_their_secrets(data_dir: Path, tmp_path: Path) -> None:
    done = _pellucid("tokens", "list", data_dir=data_dir)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^shop +img\.shop\.example +yes +1,000 +600 +200 *$", done.stdout, re.MULTILINE)
    assert re.search(r"^blog +- +- +any +0 +0 *$", done.stdout, re.MULTILINE)
    assert "abab" not in done.stdout
    alone = _pellucid("tokens", "list", data_dir=tmp_path / "elsewhere", PELLUCID_TOKENS="")
    assert re.search(r"^default +everybody +- +any +0 +0 *$", alone.stdout, re.MULTILINE)


def _made(output: str) -> tuple[str, str, str]:
    """The key, the TOML table and the JSON of `tokens new`."""
    [key] = re.findall(r"pel_[\w-]{43}", output)
    [variable] = re.findall(r"PELLUCID_TOKENS='(.*)'", output)
    toml = re.search(r"(?m)^    \[tokens\..*\n(?:    \w+ = .*\n)+", output)
    assert toml
    return key, toml[0], variable


def test_a_new_token_can_be_pasted_either_way(tmp_path: Path) -> None:
    hosts = ("--host", "IMG.new.example", "--host", "cdn.new.example")
    limit = ("--origin", "new.example", "--credits-per-month", "5000")
    done = _pellucid("tokens", "new", "new", *hosts, *limit, data_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    key, toml, variable = _made(done.stdout)
    table = tomllib.loads(toml)["tokens"]["new"]
    assert table == {
        "hosts": ["img.new.example", "cdn.new.example"],
        "key_hash": hash_key(key),
        "credits_per_month": 5000,
        "origins": ["new.example"],
    }
    assert json.loads(variable) == _TOKENS | {"new": table}, "tokens that are there are kept"
    settings = load_settings(flags={}, environ={"PELLUCID_TOKENS": variable})
    assert customers_of(settings).of_key(key) == customers_of(settings).get(Token("new"))
    config = tmp_path / "pellucid.toml"
    config.write_text(toml)
    customers = customers_of(load_settings(flags={}, environ={}, config=config))
    new = customers.get(Token("new"))
    assert new is not None
    assert (customers.of_key(key), customers.of_host("cdn.new.example")) == (new, new)
    assert list(tmp_path.iterdir()) == [config]


def test_a_new_key_for_a_token_that_is_there_keeps_the_rest(tmp_path: Path) -> None:
    key, toml, _ = _made(_pellucid("tokens", "new", "shop", data_dir=tmp_path).stdout)
    table = tomllib.loads(toml)["tokens"]["shop"]
    assert table == _TOKENS["shop"] | {"key_hash": hash_key(key)}


_SIGNED = {"notify_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "notify_urls": ["https://a.example/"]}
_OWN = {"aliases": {"_shop_": "https://a.example/b/"}, "quality": "best", "browser_s": 0}
_HEADERS = {"origin_headers": {"a.example": {"X-Api-Key": "secret", "Referer": "https://b.example/"}}}


@pytest.mark.parametrize("entry", [_SIGNED, _OWN, _HEADERS], ids=["secret", "tables", "tables of secrets"])
def test_a_new_key_for_a_token_keeps_all_that_is_set_for_it(tmp_path: Path, entry: dict[str, Any]) -> None:
    done = _pellucid("tokens", "new", "shop", data_dir=tmp_path, PELLUCID_TOKENS=json.dumps({"shop": entry}))
    assert done.returncode == 0, done.stderr
    key, toml, _ = _made(done.stdout)
    assert tomllib.loads(toml)["tokens"]["shop"] == entry | {"key_hash": hash_key(key)}


def test_the_first_token_shuts_out_who_has_none_and_that_is_said(tmp_path: Path) -> None:
    first = _pellucid("tokens", "new", "first", data_dir=tmp_path, PELLUCID_TOKENS="")
    assert "are refused" in first.stdout
    assert "are refused" not in _pellucid("tokens", "new", "next", data_dir=tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("Shop",), "tokens.Shop"),
        (("next", "--host", "img.shop.example"), "two tokens share the host img.shop.example"),
    ],
)
def test_a_token_that_the_server_would_refuse_is_not_made(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = _pellucid("tokens", "new", *arguments, data_dir=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("value", "most", "cells"), [(0, 100, ""), (1, 10**9, "▏"), (100, 100, "█" * 40), (50, 100, "█" * 20), (0, 0, "")]
)
def test_bars(value: int, most: int, cells: str) -> None:
    assert bar(value, most) == cells
