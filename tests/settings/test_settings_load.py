"""Settings: sources in order, unknown names refused, Kubernetes' variables ignored, no open proxy by accident."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from pellucid.cli.doctor import list_settings
from pellucid.errors import SettingsError
from pellucid.settings.cores import _quota_cores, available_cores
from pellucid.settings.load import load_settings, refuse_open_proxy
from pellucid.settings.names import setting_names, variable_name
from pellucid.spec import OriginRef
from pellucid.wiring.accounts import charge_every_s_of


def test_flags_beat_environment_beats_file(tmp_path: Path) -> None:
    config = tmp_path / "pellucid.toml"
    config.write_text("port = 1\nworkers = 1\n[origin]\nmax_bytes = 1\nallow_hosts = ['a.example', 'b.example']\n")
    tree = load_settings(
        flags={"port": 3, "workers": None, "origin.max_redirects": 2},
        environ={"PELLUCID_PORT": "2", "PELLUCID_WORKERS": "2"},
        config=config,
    )
    assert (tree.port, tree.workers, tree.origin.max_bytes, tree.origin.max_redirects) == (3, 2, 1, 2)
    assert tree.origin.allow_hosts == ("a.example", "b.example")


def test_config_named_by_the_environment(tmp_path: Path) -> None:
    config = tmp_path / "x.toml"
    config.write_text("port = 77\n")
    assert load_settings(flags={}, environ={"PELLUCID_CONFIG": str(config)}).port == 77


def test_names_that_stay() -> None:
    tree = load_settings(
        flags={},
        environ={
            "PELLUCID_HOST": "127.0.0.1",
            "PELLUCID_PORT": "8123",
            "PELLUCID_DATA_DIR": "/data",
            "PELLUCID_WORKERS": "4",
            "PELLUCID_MODELS_DIR": "/models",
            "PELLUCID_ORIGIN_ALLOW_NETWORKS": "127.0.0.0/8, ::1/128",
            "PELLUCID_ORIGIN_ALLOW_PORTS": "80,8080",
        },
    )
    assert tree.data_dir == Path("/data")
    assert tree.models_dir == Path("/models")
    assert tree.workers == 4
    assert tree.origin.allow_networks == (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
    assert tree.origin.allow_ports == {80, 8080}
    assert load_settings(flags={}, environ={"PELLUCID_ORIGIN_ALLOW_PORTS": "*"}).origin.allow_ports is None


def test_defaults_listen_on_loopback_only() -> None:
    tree = load_settings(flags={}, environ={})
    assert tree.host == "127.0.0.1"
    assert tree.origin.allow_networks == ()
    assert tree.origin.allow_ports == {80, 443}


def test_unknown_variable_names_its_neighbour() -> None:
    with pytest.raises(SettingsError, match=r"PELLUCID_WROKERS is no setting.*PELLUCID_WORKERS"):
        load_settings(flags={}, environ={"PELLUCID_WROKERS": "3"})


def test_unknown_key_in_the_file(tmp_path: Path) -> None:
    config = tmp_path / "x.toml"
    config.write_text("[origin]\nmax_byts = 1\n")
    with pytest.raises(SettingsError, match=r"origin\.max_byts is no setting"):
        load_settings(flags={}, environ={}, config=config)


def test_a_setting_of_an_older_version_is_told_its_name_of_today(tmp_path: Path) -> None:
    url = "postgresql://pellucid:topsecret@db.example/pellucid"
    with pytest.raises(SettingsError, match="PELLUCID_CREDITS_URL is called PELLUCID_DATABASE_URL now") as caught:
        load_settings(flags={}, environ={"PELLUCID_CREDITS_URL": url})
    assert "topsecret" not in str(caught.value)
    config = tmp_path / "x.toml"
    config.write_text(f"[credits]\nurl = '{url}'\n")
    with pytest.raises(SettingsError, match=r"credits\.url is no setting.*PELLUCID_DATABASE_URL is its name") as caught:
        load_settings(flags={}, environ={}, config=config)
    assert "topsecret" not in str(caught.value)
    assert load_settings(flags={}, environ={"PELLUCID_CREDITS_URL": ""}).database.url.get_secret_value() == ""
    tree = load_settings(flags={}, environ={"PELLUCID_DATABASE_URL": url})
    assert tree.database.url.get_secret_value() == url


def test_how_long_removals_wait_and_how_often_an_origin_is_charged() -> None:
    tree = load_settings(flags={}, environ={})
    assert (tree.queue.wait_s, tree.queue.unserved_s) == (6 * 3600, 600)
    assert (tree.credits.charge_every_s, tree.credits.charge_every) == (86_400, {})
    assert tree.mattes.warn_bytes == 50 << 30
    environ = {
        "PELLUCID_QUEUE_WAIT_S": "60",
        "PELLUCID_QUEUE_UNSERVED_S": "5.5",
        "PELLUCID_CREDITS_CHARGE_EVERY_S": "0",
        "PELLUCID_CREDITS_CHARGE_EVERY": "webcam.example=3600, _shots_=0.5",
        "PELLUCID_MATTES_WARN_BYTES": "0",
    }
    tree = load_settings(flags={}, environ=environ)
    assert (tree.queue.wait_s, tree.queue.unserved_s) == (60, 5.5)
    assert (tree.credits.charge_every_s, tree.mattes.warn_bytes) == (0, 0)
    assert tree.credits.charge_every == {"webcam.example": 3600, "_shots_": 0.5}
    charge_every_s = charge_every_s_of(tree)
    asked = [
        (OriginRef(host="webcam.example", path="/a.jpg"), 3600),
        (OriginRef(host="north.webcam.example:8443", path="/a.jpg"), 3600),
        (OriginRef(host="mywebcam.example", path="/a.jpg"), 0),
        (OriginRef(alias="_shots_", path="/a.jpg"), 0.5),
        (OriginRef(alias="_others_", path="/a.jpg"), 0),
    ]
    assert [charge_every_s(ref) for ref, _ in asked] == [seconds for _, seconds in asked]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PELLUCID_QUEUE_WAIT_S", "0"),
        ("PELLUCID_QUEUE_UNSERVED_S", "-1"),
        ("PELLUCID_CREDITS_CHARGE_EVERY_S", "-1"),
        ("PELLUCID_CREDITS_CHARGE_EVERY", "webcam.example=-1"),
        ("PELLUCID_CREDITS_CHARGE_EVERY", "webcam.example=daily"),
        ("PELLUCID_CREDITS_CHARGE_EVERY", "webcam.example"),
        ("PELLUCID_MATTES_WARN_BYTES", "-1"),
    ],
)
def test_a_time_or_size_that_is_none_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings(flags={}, environ={name: value})


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(flags={}, environ={}, config=tmp_path / "missing.toml")


def test_name_servers() -> None:
    servers = "192.0.2.1,192.0.2.2:5353,2001:db8::1,[2001:db8::2]:53"
    tree = load_settings(flags={}, environ={"PELLUCID_ORIGIN_NAMESERVERS": servers})
    assert tree.origin.nameservers == tuple(servers.split(","))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PELLUCID_PORT", "abc"),
        ("PELLUCID_PORT", "70000"),
        ("PELLUCID_WORKERS", "-1"),
        ("PELLUCID_ORIGIN_ALLOW_NETWORKS", "everything"),
        ("PELLUCID_ORIGIN_ALLOW_PORTS", "99999"),
        ("PELLUCID_MODEL_PRECISION", "int3"),
        ("PELLUCID_ORIGIN_MAX_BYTES", "0"),
        ("PELLUCID_ORIGIN_MEMORY_BYTES", "52428799"),
        ("PELLUCID_ORIGIN_NAMESERVERS", "ns.example"),
        ("PELLUCID_ORIGIN_NAMESERVERS", "192.0.2.1,[::1]:x"),
        ("PELLUCID_ORIGIN_CACHE_CONTROL", "obey"),
    ],
)
def test_bad_value_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings(flags={}, environ={name: value})


def test_variables_that_kubernetes_injects_are_ignored() -> None:
    tree = load_settings(
        flags={},
        environ={
            "PELLUCID_PORT": "tcp://10.3.0.7:80",
            "PELLUCID_SERVICE_HOST": "10.3.0.7",
            "PELLUCID_SERVICE_PORT": "80",
            "PELLUCID_SERVICE_PORT_HTTP": "80",
            "PELLUCID_WEB_PORT": "tcp://10.3.0.8:80",
            "PELLUCID_WEB_SERVICE_HOST": "10.3.0.8",
            "PELLUCID_PORT_80_TCP": "tcp://10.3.0.7:80",
            "PELLUCID_PORT_80_TCP_PROTO": "tcp",
            "PELLUCID_PORT_80_TCP_PORT": "80",
            "PELLUCID_PORT_80_TCP_ADDR": "10.3.0.7",
        },
    )
    assert tree.port == 8400


def test_public_address_needs_a_decision() -> None:
    public = {"host": "0.0.0.0"}
    with pytest.raises(SettingsError, match="open image proxy"):
        refuse_open_proxy(load_settings(flags=public, environ={}))
    refuse_open_proxy(load_settings(flags=public, environ={"PELLUCID_OPEN": "true"}))
    refuse_open_proxy(load_settings(flags=public, environ={"PELLUCID_ORIGIN_ALLOW_HOSTS": "shop.example"}))
    for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        refuse_open_proxy(load_settings(flags={"host": host}, environ={}))


def test_empty_variables_count_as_absent_and_tilde_is_home() -> None:
    tree = load_settings(flags={}, environ={"PELLUCID_CONFIG": "", "PELLUCID_PORT": "", "PELLUCID_DATA_DIR": "~/x"})
    assert tree.port == 8400
    assert tree.data_dir == Path.home() / "x"


def test_a_user_without_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match="PELLUCID_DATA_DIR"):
        load_settings(flags={}, environ={})


def test_aliases_from_one_variable() -> None:
    tree = load_settings(flags={}, environ={"PELLUCID_ALIASES": "_shop_=https://shop.example/img/, _b_=b.example"})
    assert tree.aliases == {"_shop_": "https://shop.example/img/", "_b_": "b.example"}


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_webhooks_need_a_secret() -> None:
    for name, value in (("URLS", "https://a.example/hook"), ("ALLOW_HOSTS", "a.example")):
        environ = {f"PELLUCID_NOTIFY_{name}": value}
        with pytest.raises(SettingsError, match=r"notify\.secret .*webhooks are signed"):
            load_settings(flags={}, environ=environ)
        load_settings(flags={}, environ=environ | {"PELLUCID_NOTIFY_SECRET": SECRET})
    load_settings(flags={}, environ={"PELLUCID_NOTIFY_SECRET": SECRET})


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"PELLUCID_NOTIFY_URLS": "ftp://a.example/"}, "PELLUCID_NOTIFY_URLS"),
        ({"PELLUCID_NOTIFY_URLS": "https://user:word@a.example/"}, "no user name"),
        ({"PELLUCID_NOTIFY_URLS": ",".join(f"https://{n}.example/" for n in range(9))}, "PELLUCID_NOTIFY_URLS"),
        ({"PELLUCID_NOTIFY_ALLOW_HOSTS": "a b"}, "no host name"),
        ({"PELLUCID_ORIGIN_ALLOW_HOSTS": "a b"}, "ORIGIN_ALLOW_HOSTS.*no host name"),
        ({"PELLUCID_NOTIFY_MAX_ATTEMPTS": "0"}, "PELLUCID_NOTIFY_MAX_ATTEMPTS"),
        ({"PELLUCID_CDN_PURGE_URL": "https://api.example/{tagg}"}, "{tagg} is no placeholder"),
        ({"PELLUCID_CDN_PURGE_URL": "/purge"}, "PELLUCID_CDN_PURGE_URL"),
        ({"PELLUCID_CDN_PURGE_URL": "https://api.example/", "PELLUCID_CDN_PURGE_BODY": "{urls}"}, "no placeholder"),
        ({"PELLUCID_CDN_PURGE_BODY": "{tags}"}, "need a purge_url"),
        ({"PELLUCID_CDN_PURGE_HEADERS": "Key=1"}, "need a purge_url"),
        ({"PELLUCID_CDN_PURGE_METHOD": "purge it"}, "PELLUCID_CDN_PURGE_METHOD"),
    ],
)
def test_notifications_that_could_not_be_sent_are_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(flags={}, environ={"PELLUCID_NOTIFY_SECRET": SECRET, **environ})


def test_three_kinds_of_cdn(tmp_path: Path) -> None:
    config = tmp_path / "pellucid.toml"
    config.write_text("[cdn]\npurge_url = 'http://nginx:8080{url}'\npurge_method = 'PURGE'\n")
    assert load_settings(flags={}, environ={}, config=config).cdn.purge_method == "PURGE"
    config.write_text(
        "[cdn]\npurge_url = 'https://api.example/purge_cache'\npurge_body = '{\"tags\":{tags}}'\n"
        "[cdn.purge_headers]\nAuthorization = 'Bearer a,b=c'\n"
    )
    cdn = load_settings(flags={}, environ={}, config=config).cdn
    assert cdn.purge_headers["Authorization"].get_secret_value() == "Bearer a,b=c"
    environ = {
        "PELLUCID_CDN_PURGE_URL": "https://api.example/service/ID/purge/{tag}",
        "PELLUCID_CDN_PURGE_HEADERS": "Fastly-Key=abc==,X-One=1",
    }
    cdn = load_settings(flags={}, environ=environ).cdn
    assert {name: value.get_secret_value() for name, value in cdn.purge_headers.items()} == {
        "Fastly-Key": "abc==",
        "X-One": "1",
    }


@pytest.mark.parametrize(
    "environ",
    [
        {"PELLUCID_NOTIFY_SECRET": "topsecret"},
        {"PELLUCID_CDN_PURGE_HEADERS": "bad name=topsecret"},
        {"PELLUCID_CDN_PURGE_HEADERS": "Host=topsecret\r\nX: y", "PELLUCID_CDN_PURGE_URL": "https://a.example/"},
    ],
)
def test_bad_secrets_are_not_repeated(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(flags={}, environ=environ)
    assert next(iter(environ)) in str(caught.value)
    assert "topsecret" not in str(caught.value)


def test_secrets_are_shown_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    tree = load_settings(
        flags={},
        environ={
            "PELLUCID_NOTIFY_SECRET": SECRET,
            "PELLUCID_CDN_PURGE_URL": "https://a.example/{tag}",
            "PELLUCID_CDN_PURGE_HEADERS": "Fastly-Key=topsecret",
        },
    )
    assert list_settings(tree) == 0
    shown = capsys.readouterr().out + repr(tree) + str(tree)
    assert "PELLUCID_NOTIFY_SECRET = ***" in shown
    assert "Fastly-Key" in shown
    assert "MfKQ9r8" not in shown
    assert "topsecret" not in shown


def test_every_setting_can_come_from_the_environment_by_its_own_name() -> None:
    names = [variable_name(path) for path in setting_names()]
    assert len(names) == len(set(names))
    # With one level of tables and `_` as delimiter, no plain setting may look like one of a table: `origin_x`.
    tables = {path[0] for path in setting_names() if len(path) == 2}
    assert not [path for path in setting_names() if len(path) == 1 and path[0].split("_")[0] in tables]


@pytest.mark.parametrize(
    ("text", "cores"),
    [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", None), ("", None), ("1 0", None)],
)
def test_a_containers_quota_counts(tmp_path: Path, text: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert _quota_cores(tmp_path / "cpu.max") == cores
    assert _quota_cores(tmp_path / "missing") is None
    assert available_cores() >= 1
