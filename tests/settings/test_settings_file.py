"""What is wrong with a settings file: said in sentences, all of them at once, by every command."""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path
from typing import Any, get_origin

import pytest

from command_line import run_in_process
from pellucid.errors import SettingsError
from pellucid.settings.load import load_settings
from pellucid.settings.model import SettingsTree
from pellucid.settings.names import fields_of, holds_secret, kind_at, setting_names

SETTINGS = list(setting_names())
SECTIONS = [name for name in SettingsTree.model_fields if fields_of((name,))]
CUSTOMER = ("tokens", "shop")
OF_CUSTOMER = [(*CUSTOMER, name) for name in fields_of(CUSTOMER)]

_TABLES_OF_NAMES = {path for path in SETTINGS if get_origin(kind_at(path)) is dict}
"""Settings that a table may hold."""

_JARGON = re.compile(r"[Ii]nput|a valid|instance|dictionary|[Vv]alue error|[Tt]raceback|<class|tuple|Settings\b")
"""Words of the library that checks."""


def _problems(text: str | bytes, folder: Path, **environ: str) -> list[str]:
    """What is said of a file, a line each, the file's own name left out."""
    config = folder / "pellucid.toml"
    config.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError) as caught:
        load_settings(flags={}, environ=environ, config=config)
    said = str(caught.value)
    assert not _JARGON.search(said), said
    return [line.removeprefix(f"{config}: ").replace(str(config), "FILE") for line in said.splitlines()]


def _swapped(name: str) -> str:
    """A typo: two letters in the wrong order."""
    at = next(at for at in range(1, len(name) - 1) if name[at] != name[at + 1])
    return name[:at] + name[at + 1] + name[at] + name[at + 2 :]


@pytest.mark.parametrize("path", [*SETTINGS, *OF_CUSTOMER], ids=".".join)
def test_a_typo_anywhere_is_told_what_may_have_been_meant(path: tuple[str, ...], tmp_path: Path) -> None:
    *table, name = path
    typo = ".".join([*table, _swapped(name)])
    value = "{}" if path == ("tokens",) else "1"
    said = f"{typo} is no setting of Pellucid; did you mean {'.'.join(path)}?"
    assert _problems(f"{typo} = {value}\n", tmp_path) == [said]


@pytest.mark.parametrize("section", [*SECTIONS, "tokens"])
def test_a_typo_in_the_name_of_a_table(section: str, tmp_path: Path) -> None:
    for typo in (section + "s" if section[-1] != "s" else section[:-1], section.capitalize(), section.upper()):
        said = f"{typo} is no setting of Pellucid; did you mean {section}?"
        assert _problems(f"[{typo}]\nx = 1\n", tmp_path) == [said]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("PELLUCID_PORT = 1", "port"),
        ("PELLUCID_ORIGIN_MAX_BYTES = 1", "origin.max_bytes"),
        ("origin_max_bytes = 1", "origin.max_bytes"),
        ("data-dir = '/x'", "data_dir"),
        ("max_redirects = 1", "origin.max_redirects"),
        ("max_bytes = 1", "origin.max_bytes, cache.max_bytes or uploads.max_bytes"),
        ("[web]\nmax_redirects = 1", "origin.max_redirects"),
        ("[server]\nport = 1", "port"),
        ("[shop]\nhosts = ['a.example']", "tokens.shop"),
        ("[token.shop]\nhosts = ['a.example']", "tokens"),
        ("key_hash = ''", "tokens.NAME.key_hash"),
        ("browser_s = 1", "cache.browser_s or tokens.NAME.browser_s"),
        ("[shop]\nbrowser_s = 1", "cache.browser_s or tokens.shop"),
        ("[shop]\nbrowser_s = 1\nhosts = ['a.example']", "tokens.shop"),
    ],
)
def test_a_name_in_the_wrong_place_is_told_the_right_one(text: str, meant: str, tmp_path: Path) -> None:
    [said] = _problems(text, tmp_path)
    assert said.endswith(f" is no setting of Pellucid; did you mean {meant}?")


@pytest.mark.parametrize("text", ["zzz = 1", "[zzz]\nyyy = 1", "[origin]\nzzz = 1", "[[zzz]]\nyyy = 1", "x.y.z = 1"])
def test_where_nothing_is_near_it_says_where_all_are_listed(text: str, tmp_path: Path) -> None:
    [said] = _problems(text, tmp_path)
    assert said.endswith("is no setting of Pellucid; docs/settings.md lists all")


@pytest.mark.parametrize("value", ["1", "'x'", "true", "[1, 2]", "[]", "1979-05-27", "[{max_bytes = 1}]"])
@pytest.mark.parametrize("section", SECTIONS)
def test_a_value_where_a_table_belongs(section: str, value: str, tmp_path: Path) -> None:
    [said] = _problems(f"{section} = {value}\n", tmp_path)
    assert said.startswith(section)
    assert said.endswith(f"it must be a table, [{section}]")


def test_a_value_in_place_of_a_table_is_said_although_variables_fill_the_table(tmp_path: Path) -> None:
    said = _problems("render = 1\n", tmp_path, PELLUCID_RENDER_WAIT_S="3")
    assert said == ["render = 1: it must be a table, [render]"]


@pytest.mark.parametrize("path", [each for each in SETTINGS if each not in _TABLES_OF_NAMES], ids=".".join)
def test_a_table_where_a_value_belongs(path: tuple[str, ...], tmp_path: Path) -> None:
    name = ".".join(path)
    [said] = _problems(f"[{name}]\nx = 1\n", tmp_path)
    assert said.startswith(f"{name}: it must be" if holds_secret(path) else f"{name} is a table here; it must be")
    [said] = _problems(f"[[{name}]]\nx = 1\n", tmp_path)
    in_a_list = (f"{name} is a list of tables, [[{name}]]; it must be", f"{name}, entry 1 is a table here; it must be")
    assert said.startswith(f"{name}: it must be" if holds_secret(path) else in_a_list)


@pytest.mark.parametrize("path", [*SETTINGS, *OF_CUSTOMER], ids=".".join)
def test_a_value_of_another_type(path: tuple[str, ...], tmp_path: Path) -> None:
    name = ".".join(path)
    [said] = _problems(f"{name} = 1979-05-27\n", tmp_path)
    shown = f"{name}: " if holds_secret(path) else f"{name} = 1979-05-27: "
    assert said.startswith(shown + "it must be ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = 'x'", "port = 'x': it must be a whole number"),
        ("port = 1.5", "port = 1.5: it must be a whole number"),
        ("port = 70000", "port = 70000: it must be 65535 or less"),
        ("port = 0x" + "f" * 5000, "port = a number of many digits: it must be 65535 or less"),
        ("port = inf", "port = inf: it must be a finite number"),
        ("workers = -1", "workers = -1: it must be 0 or more"),
        ("open = 'maybe'", "open = 'maybe': it must be true or false"),
        ("host = true", "host = true: it must be a text, in quotes"),
        ("log.level = 'loud'", "log.level = 'loud': it must be 'debug', 'info', 'warning' or 'error'"),
        ("model.precision = 'x'", "model.precision = 'x': it must be 'auto', or 'f32', 'bf16' or 'int8'"),
        ("model.quality = 'x'", "model.quality = 'x': it must be 'fast', 'standard' or 'best'"),
        ("origin.max_bytes = 0", "origin.max_bytes = 0: it must be more than 0"),
        ("origin.allow_hosts = ['a.example', 3]", "origin.allow_hosts, entry 2 = 3: it must be a text, in quotes"),
        ("origin.allow_ports = [80, 0]", "origin.allow_ports, entry 2 = 0: it must be 1 or more"),
        (
            "web.trusted_proxies = ['10.0.0.1/8']",
            "web.trusted_proxies, entry 1 = '10.0.0.1/8': it must be a network, such as 10.0.0.0/8 or 2001:db8::/32, "
            "with no bits beyond its prefix",
        ),
        ("aliases = 1", "aliases = 1: it must be a table of names and values, or a text, name=value,name=value"),
        ("origin.headers = 1", "origin.headers: it must be a table of tables, or a text of JSON"),
        ("origin.headers.'a.example' = 1", "origin.headers, in an entry: it must be a table of names and values"),
        ("cdn.purge_headers.'Key: 123' = 1", "cdn.purge_headers, in an entry: it must be a text, in quotes"),
        (
            "tokens.shop.origin_headers.'a.example'.'Key: 123' = 1",
            "tokens.shop.origin_headers, in an entry: it must be a text, in quotes",
        ),
        ("aliases._shop_ = 1", "aliases._shop_ = 1: it must be a text, in quotes"),
        ("aliases.'a b' = 1", 'aliases."a b" = 1: it must be a text, in quotes'),
        ("credits.charge_every.'a.example' = 'x'", "credits.charge_every.\"a.example\" = 'x': it must be a number"),
        ("cdn.purge_method = 'a'", "cdn.purge_method = 'a': it must be like ^[A-Z]+$"),
        ("notify.urls = ['ftp://x/']", "notify.urls, entry 1 = 'ftp://x/': not an absolute http or https URL"),
        ("tokens.Shop = {}", "tokens.Shop: a customer's name has lower-case letters, digits and -, at most 40"),
        ("tokens.shop = 1", "tokens.shop: it must be a table, [tokens.shop]"),
        ("tokens.shop.open = 'x'", "tokens.shop.open = 'x': it must be true or false"),
        ("tokens.shop.quality = 'x'", "tokens.shop.quality = 'x': it must be 'fast', 'standard' or 'best'"),
        ("tokens.shop.cdn_s = -1", "tokens.shop.cdn_s = -1: it must be 0 or more"),
        ("tokens.shop.aliases = 1", "tokens.shop.aliases = 1: it must be a table of names and values"),
        ("tokens.shop.aliases._a_ = 1", "tokens.shop.aliases._a_ = 1: it must be a text, in quotes"),
        (
            "tokens.shop.aliases._a_ = 'ftp://a.example'",
            "tokens.shop.aliases: alias _a_ leads to 'ftp://a.example', which is no address: write "
            "https://host/base/, host/base, or file:///folder",
        ),
        (
            "tokens.shop.aliases = '_a_=https://b.example/,_a_b_=https://a.example/'",
            "tokens.shop.aliases = '_a_=https://b.example/,_a_b_=https://a.example/': the alias _a_ is contained in "
            "_a_b_; rename one of them",
        ),
        (
            "tokens.shop.aliases.shop = 'https://a.example'",
            "tokens.shop.aliases: 'shop' is no alias: write letters, digits and -.~ between two _, such as _shop_",
        ),
        ("[[tokens]]\nname = 'shop'", "tokens: it must be a table for each customer, [tokens.NAME]"),
        (
            "[tokens]\nhosts = ['a.example']",
            "tokens.hosts: it must stand in the table of a customer, [tokens.NAME]; [tokens.hosts] would be one of "
            "that name",
        ),
        (
            "[tokens.a]\nhosts = ['x']\n[tokens.b]\nhosts = ['x']",
            "tokens: two tokens share the host x",
        ),
    ],
)
def test_a_bad_value_is_shown_with_what_it_must_be(text: str, said: str, tmp_path: Path) -> None:
    assert _problems(text, tmp_path) == [said]


def test_long_names_and_values_are_not_repeated_in_full(tmp_path: Path) -> None:
    for text in (f"host = {['x' * 10_000]}", f"{'x' * 10_000} = 1", f"aliases.{'x' * 10_000} = 1"):
        assert [len(line) < 300 for line in _problems(text, tmp_path)] == [True]


def test_control_characters_in_a_name_do_not_reach_the_terminal(tmp_path: Path) -> None:
    [said] = _problems('"\\u001b[31m\\n" = 1\n', tmp_path)
    assert said.isprintable()


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = """
        prot = 1
        workers = "many"
        [origins]
        max_bytes = 1
        [origin]
        max_byts = 1
        [tokens.shop]
        hots = []
        """
    assert sorted(_problems(text, tmp_path, PELLUCID_WROKERS="1", PELLUCID_LOG_LEVEL="loud")) == [
        "PELLUCID_WROKERS is no setting of Pellucid; did you mean PELLUCID_WORKERS?",
        "log.level (PELLUCID_LOG_LEVEL) = 'loud': it must be 'debug', 'info', 'warning' or 'error'",
        "origin.max_byts is no setting of Pellucid; did you mean origin.max_bytes?",
        "origins is no setting of Pellucid; did you mean origin?",
        "prot is no setting of Pellucid; did you mean port?",
        "tokens.shop.hots is no setting of Pellucid; did you mean tokens.shop.hosts?",
        "workers = 'many': it must be a whole number",
    ]


def test_a_list_of_faults_has_an_end(tmp_path: Path) -> None:
    lines = _problems("".join(f"unknown{number} = 1\n" for number in range(1000)), tmp_path)
    assert (len(lines), lines[-1]) == (31, "and 970 more")


def test_a_variable_that_takes_the_place_of_the_file_is_the_one_that_is_named(tmp_path: Path) -> None:
    text = "port = 1\n[tokens.shop]\nhosts = ['a.example']\n"
    [said] = _problems(text, tmp_path, PELLUCID_PORT="x")
    assert said == "port (PELLUCID_PORT) = 'x': it must be a whole number"
    [said] = _problems(text, tmp_path, PELLUCID_TOKENS=json.dumps({"shop": {"hots": []}}))
    assert said == "PELLUCID_TOKENS: tokens.shop.hots is no setting of Pellucid; did you mean tokens.shop.hosts?"
    [said] = _problems(text, tmp_path, PELLUCID_TOKENS="[1]")
    assert said == "tokens (PELLUCID_TOKENS): it must be a JSON object, {...}"
    config = tmp_path / "pellucid.toml"
    with pytest.raises(SettingsError, match=r"^port \(PELLUCID_PORT\) = 'x'"):
        load_settings(flags={"port": "x"}, environ={}, config=config)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port =", "it is not TOML: invalid value (at line 1, column 7, the end of the file)"),
        ("host = localhost\n", "it is not TOML: invalid value (at line 1, column 8)"),
        (
            "open = true\nport: 1\n",
            "it is not TOML: expected '=' after a key in a key/value pair (at line 2, column 5)",
        ),
        ("a = [1,\n\n", "it is not TOML: invalid value (at line 1, column 8, the end of the file)"),
        ("port = 1\nport = 2\n", "it is not TOML: a name is set for the second time (at line 2, column 9)"),
        ("[origin]\n[origin]\n", "it is not TOML: cannot declare [origin] twice (at line 2, column 8)"),
        ('{"port": 1}', "it is not TOML: invalid statement (at line 1, column 1)"),
        ("x = " + "[" * 5000, "it is nested too deeply"),
        ("port = " + "9" * 5000, "a number in it has more digits than can be read"),
        ("port = 1\nhost = 'a'".encode("utf-16"), "it is not UTF-8 text (line 1)"),
        (b"port = 1\nhost = '\xe9'\n", "it is not UTF-8 text (line 2)"),
        (b"#" * 1_048_577, "it has more than 1 MiB"),
    ],
    ids=lambda each: repr(each[:30]),
)
def test_what_is_no_settings_file(text: str | bytes, said: str, tmp_path: Path) -> None:
    assert _problems(text, tmp_path) == [f"the settings file FILE cannot be read: {said}"]


@pytest.mark.parametrize(
    ("name", "why"),
    [("missing.toml", "it is not there"), ("", "it is a folder"), ("/dev/zero", "it has more than 1 MiB")],
)
def test_a_path_that_is_no_file(name: str, why: str, tmp_path: Path) -> None:
    for environ, config in (({}, tmp_path / name), ({"PELLUCID_CONFIG": str(tmp_path / name)}, None)):
        with pytest.raises(SettingsError, match=f"cannot be read: {why}"):
            load_settings(flags={}, environ=environ, config=config)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    config = tmp_path / "pellucid.toml"
    config.write_text("port = 1\n")
    config.chmod(0)
    with pytest.raises(SettingsError, match="cannot be read: Permission denied"):
        load_settings(flags={}, environ={}, config=config)


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfport = 77\n", b"port = 77\r\nopen = true\r\n", b"port = 77"])
def test_what_editors_make_of_a_file(text: bytes, tmp_path: Path) -> None:
    config = tmp_path / "pellucid.toml"
    config.write_bytes(text)
    assert load_settings(flags={}, environ={}, config=config).port == 77


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("port = 77\n",))
    writer.start()
    assert load_settings(flags={}, environ={}, config=pipe).port == 77
    writer.join()


COMMANDS: list[tuple[str, ...]] = [
    ("serve",),
    ("work",),
    ("cut", "a.jpg", "-o", "out"),
    ("eval", "folder"),
    ("usage",),
    ("doctor",),
    ("doctor", "--settings"),
    ("models", "list"),
    ("models", "pull"),
    ("models", "verify"),
    ("tokens", "list"),
    ("tokens", "new", "shop"),
    ("mattes", "list"),
    ("mattes", "prune", "--superseded"),
    ("db", "check"),
    ("db", "upgrade"),
    ("db", "restored"),
]


@pytest.mark.parametrize("how", ["--config", "PELLUCID_CONFIG"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_says_it_and_ends(command: tuple[str, ...], how: str, tmp_path: Path) -> None:
    config = tmp_path / "pellucid.toml"
    config.write_text("prot = 1\n[origin]\nmax_byts = 1\n")
    environ: dict[str, Any] = {name: value for name, value in os.environ.items() if not name.startswith("PELLUCID_")}
    environ |= {"PELLUCID_CONFIG": str(config)} if how == "PELLUCID_CONFIG" else {}
    done = run_in_process(*command, *(["--config", str(config)] if how == "--config" else []), environ=environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"pellucid: {config}: prot is no setting of Pellucid; did you mean port?",
        f"{config}: origin.max_byts is no setting of Pellucid; did you mean origin.max_bytes?",
    ]


def test_the_tables_are_found_by_type() -> None:
    assert {"origin", "web", "tokens"} - set(SECTIONS) == {"tokens"}
    assert {("aliases",), ("credits", "charge_every"), ("cdn", "purge_headers"), ("tokens",)} <= _TABLES_OF_NAMES
    assert all(kind_at(path) is not None for path in [*SETTINGS, *OF_CUSTOMER])
