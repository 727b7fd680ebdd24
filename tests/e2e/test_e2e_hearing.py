"""Status, events, waiting, stale cutouts, invalidation: through two web processes, with the real model."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from e2e_server import DEADLINE_S, PellucidServer, PhotoOrigin, running_server, wait_until

KEY = "a key for tests"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PellucidServer]:
    """A server with two web processes."""
    settings = {"PELLUCID_WEB_PROCESSES": "2", "PELLUCID_WEB_ADMIN_KEY": KEY, "PELLUCID_ORIGIN_FRESH_MIN_S": "3600"}
    with running_server(tmp_path_factory.mktemp("pair"), **settings) as server:
        yield server


def _events(server: PellucidServer, path: str, *, last_id: str = "") -> Iterator[tuple[str, str, dict[str, object]]]:
    """(event, id, data) until the stream ends."""
    client = http.client.HTTPConnection(server.address, timeout=DEADLINE_S)
    client.request("GET", path, headers={"Last-Event-ID": last_id} if last_id else {})
    answer = client.getresponse()
    assert answer.status == 200, answer.status
    assert answer.headers["content-type"].startswith("text/event-stream")
    fields: dict[str, str] = {}
    for raw in answer:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "event" in fields:
            yield fields["event"], fields["id"], json.loads(fields["data"])
            fields = {}
    client.close()


def test_events_tell_the_way_to_the_cutout(pair: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    url = origin.put("/heard.jpg", bowl_jpg) + "?w=200&bg_remove=1"
    assert pair.ask(url).state == "pending"
    told = list(_events(pair, f"/-/events{url}"))
    assert told[-1][0] == "ready"
    assert {event for event, _, _ in told} <= {"pending", "ready"}
    assert 0 < told[-1][2]["confidence"] <= 1
    assert pair.ask(url).state == "ready"
    status = json.loads(pair.ask(f"/-/status{url}").body)
    assert status["state"] == "ready"
    assert pair.ask(status["links"]["image"]).state == "ready"
    # Back after a lost connection, with nothing left to hear.
    assert pair.ask(f"/-/events{url}", Last_Event_ID=told[-1][1]).status == 204


def test_one_stream_for_many_pictures(pair: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    urls = [origin.put(f"/many{number}.jpg", bowl_jpg) + "?w=100&bg_remove=1" for number in range(6)]
    missing = f"/{origin.host}/missing.jpg?bg_remove=1"
    urls.append(urls[0].replace("w=100", "width=100"))  # the same picture, spelled otherwise
    for url in urls:
        pair.ask(url)
    query = "&".join(f"url={quote(url, safe='')}" for url in [*urls, missing])
    last = {data["asked"]: event for event, _, data in _events(pair, f"/-/events?{query}")}
    assert last == dict.fromkeys(urls, "ready") | {missing: "problem"}


def test_a_status_owes_nothing(pair: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    url = origin.put("/unasked.jpg", bowl_jpg) + "?w=100&bg_remove=1"
    for _ in range(3):
        assert json.loads(pair.ask(f"/-/status{url}").body)["state"] == "unasked"
    assert pair.ask(f"/-/status/{origin.host}/unasked.jpg?w=100").status == 400
    assert pair.ask("/-/events").status == 400


def test_who_waits_gets_the_cutout_at_once(pair: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    waiting = pair.ask(origin.put("/wait.jpg", bowl_jpg) + "?w=200&bg_remove=1&bg_pending=wait")
    assert waiting.state == "ready"
    assert "max-age=2592000" in waiting.headers["cache-control"]
    preferring = pair.ask(origin.put("/prefer.jpg", bowl_jpg) + "?w=200&bg_remove=1", Prefer="wait=20")
    assert preferring.state == "ready"
    assert preferring.headers["cache-control"] == "no-store"
    assert preferring.headers["preference-applied"] == "wait=20"


def test_a_changed_origin_shows_its_former_cutout_until_the_new_one_is_there(
    pair: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes, otter_jpg: bytes
) -> None:
    path = origin.put("/changes.jpg", bowl_jpg)
    url = f"{path}?w=200&bg_remove=1"
    before = pair.wait_for(url, "ready")
    for worker in pair.pids("pellucid: matte worker"):
        os.kill(worker, signal.SIGSTOP)
    try:
        origin.put("/changes.jpg", otter_jpg)
        asked = origin.hits["/changes.jpg"]
        assert pair.ask("/-/invalidate", method="POST", body=_invalidation(url)).status == 401
        done = pair.ask("/-/invalidate", method="POST", body=_invalidation(url), Authorization=f"Bearer {KEY}")
        assert done.status == 200, done.body
        # Whichever of the two processes answers.
        for _ in range(12):
            answer = pair.ask(url)
            assert answer.state == "stale"
            assert answer.body == before.body
            assert "max-age=60," in answer.headers["cache-control"]
        assert pair.ask(f"{path}?w=100").body != before.body
        assert origin.hits["/changes.jpg"] > asked
    finally:
        for worker in pair.pids("pellucid: matte worker"):
            os.kill(worker, signal.SIGCONT)
    after = pair.wait_for(url, "ready")
    assert after.body != before.body


def test_what_was_fetched_before_a_purge_and_arrives_after_it_is_not_believed(
    pair: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes, otter_jpg: bytes
) -> None:
    """Requests until both web processes have asked for the old picture, before one of them hears of the purge."""
    path = origin.put("/late.jpg", bowl_jpg)
    origin.held["/late.jpg"] = release = threading.Event()
    old: list[threading.Thread] = []

    def both_asked() -> bool:
        # The one that is awake takes all connections that are there: a few at a time, as long as the other sleeps.
        old.append(threading.Thread(target=pair.ask, args=(f"{path}?w={100 + len(old)}",)))
        old[-1].start()
        return origin.hits["/late.jpg"] == 2

    wait_until(both_asked)
    origin.put("/late.jpg", otter_jpg)
    purge = threading.Thread(
        target=pair.ask,
        args=("/-/invalidate",),
        kwargs={"method": "POST", "body": _invalidation(path), "Authorization": f"Bearer {KEY}"},
    )
    purge.start()
    time.sleep(0.1)  # told, not heard by the other one yet
    del origin.held["/late.jpg"]
    release.set()
    for thread in (*old, purge):
        thread.join()
    expected = pair.ask(origin.put("/late-too.jpg", otter_jpg) + "?w=100").body
    for _ in range(12):
        assert pair.ask(f"{path}?w=100").body == expected


def test_both_processes_answer_and_one_may_die(pair: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    url = origin.put("/two.jpg", bowl_jpg) + "?w=120"
    first = pair.ask(url)
    pids = pair.pids("pellucid: web")
    assert len(pids) == 2
    os.kill(pids[0], signal.SIGKILL)
    for _ in range(20):
        answer = pair.ask(url)
        assert (answer.status, answer.body) == (200, first.body)
    wait_until(lambda: len(pair.pids("pellucid: web")) == 2)


def test_the_swap_script_is_there(pair: PellucidServer) -> None:
    script = pair.ask("/-/swap.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["access-control-allow-origin"] == "*"
    assert b"EventSource" in script.body


def _invalidation(url: str) -> bytes:
    return json.dumps({"urls": [url]}).encode()
