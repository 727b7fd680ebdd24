"""A limit on credits is spent on whom its owner names: through a real server, as a stranger and as the customer."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

from e2e_server import PellucidServer, PhotoOrigin, StartServer

from pellucid.customers.customer import hash_key, make_key

REFUSED = "no-credits;reason=origin-not-listed"


def _rows(server: PellucidServer) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(server.database)) as db:
        return {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in ("removals", "holds", "charges")}


NOTHING: dict[str, list[Any]] = {"removals": [], "holds": [], "charges": []}


def test_a_host_name_spends_nothing_on_strangers_pictures(
    start_server: StartServer, origin: PhotoOrigin, bowl_jpg: bytes
) -> None:
    key = make_key()
    limit = {"credits_per_month": 10_000}
    tokens = {
        "shut": limit | {"hosts": ["shut.example"], "key_hash": hash_key(key)},
        "away": limit | {"hosts": ["away.example"], "origins": ["elsewhere.example"]},
        "own": limit | {"hosts": ["own.example"], "origins": ["127.0.0.1"]},
        "wide": limit | {"hosts": ["wide.example"], "open": True},
        "free": {"hosts": ["free.example"]},
    }
    server = start_server(PELLUCID_TOKENS=json.dumps(tokens))
    url = origin.put("/stranger.jpg", bowl_jpg) + "?w=64&bg_remove=1"
    plain = server.ask(url.replace("&bg_remove=1", ""), Host="shut.example")
    for host in ("shut.example", "away.example"):
        for choice in ("", "&bg_pending=wait", "&bg_pending=202", "&bg_pending=blank"):
            answer = server.ask(url + choice, Host=host)
            assert (answer.status, answer.headers["pellucid-cutout"]) == (200, REFUSED)
            assert answer.headers["cache-control"] == "public, max-age=300, s-maxage=300"
            assert answer.headers["pellucid-credits"].startswith("charged=0;remaining=10000;resets=")
            assert answer.body == plain.body
        status = json.loads(server.ask(f"/-/status{url}", Host=host).body)
        assert (status["state"], status["reason"]) == ("no-credits", "origin-not-listed")
        events = server.ask(f"/-/events{url}", Host=host).body.decode()
        assert "event: no-credits\n" in events
        assert '"reason":"origin-not-listed"' in events
    uploaded = json.loads(server.ask("/-/uploads", method="POST", body=bowl_jpg, Host="own.example").body)
    upload = f"{uploaded['path']}?w=64&bg_remove=1"
    for host in ("shut.example", "own.example"):
        assert server.ask(upload, Host=host).headers["pellucid-cutout"] == REFUSED
    assert _rows(server) == NOTHING

    # What the operator put there himself is nobody else's picture.
    assert server.wait_for("/_samples_/bowl.jpg?w=64&bg_remove=1", "ready", Host="shut.example")
    # The key, for its holder alone; what it paid for is everybody's then.
    has_key = {"Authorization": f"Bearer {key}"}
    assert json.loads(server.ask(f"/-/status{url}", **has_key).body)["state"] == "unasked"
    assert server.ask(url, **has_key).state == "pending"
    assert server.wait_for(url, "ready", **has_key).headers["cache-control"].startswith("private")
    for _ in range(2):  # the second answer comes from the memory of whole answers
        answer = server.ask(url, Host="shut.example")
        assert (answer.state, answer.headers["cache-control"][:6]) == ("ready", "public")
    assert server.wait_for(upload, "ready", **has_key)
    # The matte is there, and is no more to be had for nothing.
    assert server.ask(url, Host="away.example").headers["pellucid-cutout"] == REFUSED
    for host in ("own.example", "wide.example", "free.example"):
        assert server.ask(url, Host=host).state == "ready"
    assert server.ask(upload, Host="wide.example").state == "ready"
    charged = sorted(row[:1] for row in _rows(server)["charges"])
    assert [token for (token,) in charged] == ["free", "own", "shut", "shut", "shut", "wide", "wide"]
    output = "".join(server.output)
    assert "token shut has a limit, and neither origins nor open: only requests with its key" in output
    assert output.count("has a limit") == 1


def test_a_server_without_customers(start_server: StartServer, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    server = start_server(PELLUCID_CREDITS_PER_MONTH="10000")
    url = origin.put("/alone.jpg", bowl_jpg) + "?w=64&bg_remove=1"
    assert server.ask(url).headers["pellucid-cutout"] == REFUSED
    assert _rows(server) == NOTHING
    assert server.wait_for("/_samples_/bowl.jpg?w=64&bg_remove=1", "ready")
    assert "credits.per_month is set, and neither origin.allow_hosts nor open" in "".join(server.output)


def test_a_server_that_names_its_origins(start_server: StartServer, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    server = start_server(PELLUCID_CREDITS_PER_MONTH="10000", PELLUCID_ORIGIN_ALLOW_HOSTS="127.0.0.1")
    url = origin.put("/named.jpg", bowl_jpg) + "?w=64&bg_remove=1"
    assert server.wait_for(url, "ready").headers["pellucid-credits"].startswith("charged=200;remaining=9800")
    assert "credits.per_month is set" not in "".join(server.output)
