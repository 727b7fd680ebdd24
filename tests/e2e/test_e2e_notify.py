"""Webhooks by HTTP: a browser's request on one side, a receiver on the other."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from e2e_server import DEADLINE_S, PellucidServer, PhotoOrigin, StartServer, running_server

KEY = bytes(range(24))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


class HookReceiver:
    """Takes POSTs on loopback; answers `status`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.calls.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait_for(self, path: str, count: int = 1, *, key: bytes = KEY) -> list[dict[str, object]]:
        """The messages that came to `path`, once there are `count`; each is verified."""
        deadline = time.monotonic() + DEADLINE_S
        while len(found := [call for call in self.calls if call[0] == path]) < count:
            assert time.monotonic() < deadline, f"only {len(found)} calls came to {path}"
            time.sleep(0.02)
        messages: list[dict[str, object]] = []
        for _, headers, body in found:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
            assert headers["webhook-signature"] == f"v1,{expected}"
            assert abs(time.time() - int(headers["webhook-timestamp"])) < 300
            messages.append(json.loads(body))
        return messages

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def receiver() -> Iterator[HookReceiver]:
    receiver = HookReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def hooks(receiver: HookReceiver) -> HookReceiver:
    """The receiver that all tests share, as if it were new."""
    receiver.calls.clear()
    receiver.status = 204
    return receiver


@pytest.fixture(scope="module")
def notifying(tmp_path_factory: pytest.TempPathFactory, receiver: HookReceiver) -> Iterator[PellucidServer]:
    """The server of those tests that leave no message on its way."""
    with running_server(
        tmp_path_factory.mktemp("notifying"),
        PELLUCID_NOTIFY_URLS=f"{receiver.url}/all",
        PELLUCID_NOTIFY_ALLOW_HOSTS="127.0.0.1",
        PELLUCID_NOTIFY_SECRET=SECRET,
        PELLUCID_NOTIFY_BACKOFF_S="0.2",
        PELLUCID_WORKERS="1",
    ) as server:
        yield server


def test_who_asked_and_the_operator_are_called_when_a_cutout_is_ready(
    notifying: PellucidServer, hooks: HookReceiver, origin: PhotoOrigin, bowl_jpg: bytes
) -> None:
    picture = origin.put("/notify/bowl.jpg", bowl_jpg)
    url = f"{picture}?w=200&bg_remove=1&bg_notify={quote(hooks.url, safe='')}%2Fmine%3Fid%3D7"
    assert notifying.ask(url).state == "pending"
    notifying.ask(url)
    (mine,), (everybody,) = hooks.wait_for("/mine?id=7"), hooks.wait_for("/all")
    assert mine["type"] == everybody["type"] == "cutout.ready"
    data = mine["data"]
    assert isinstance(data, dict)
    assert notifying.ask(str(data["image"])).state == "ready", "the URL in the message is that of the cutout"
    assert str(data["image"]).startswith(f"{picture}?w=200&bg_remove=1&bg_notify=")

    plain = notifying.ask(f"{picture}?w=200&bg_remove=1")
    assert plain.state == "ready"
    assert plain.headers["etag"] == notifying.ask(url).headers["etag"], "the parameter changes no picture"
    assert len(hooks.calls) == 2, "a cutout that is ready at once calls nobody"


def test_a_customer_hears_of_its_own_cutouts_under_its_own_secret(
    start_server: StartServer, hooks: HookReceiver, origin: PhotoOrigin, bowl_jpg: bytes
) -> None:
    key = bytes(range(32))
    tokens = {
        "shop": {
            "hosts": ["img.shop.example"],
            "notify_urls": [f"{hooks.url}/shop"],
            "notify_secret": base64.b64encode(key).decode(),
        },
        "default": {},
    }
    server = start_server(PELLUCID_TOKENS=json.dumps(tokens), PELLUCID_WORKERS="1")
    server.wait_for(origin.put("/notify/other.jpg", bowl_jpg) + "?w=50&bg_remove=1", "ready")
    picture = origin.put("/notify/shop.jpg", bowl_jpg)
    server.wait_for(f"{picture}?w=50&bg_remove=1", "ready", Host="img.shop.example")
    (message,) = hooks.wait_for("/shop", key=key)
    assert message["type"] == "cutout.ready"
    assert len(hooks.calls) == 1


def test_a_failure_is_told(
    start_server: StartServer, hooks: HookReceiver, origin: PhotoOrigin, bowl_jpg: bytes
) -> None:
    # No picture is cut in a millisecond: the worker ends itself, and that was the only attempt.
    server = start_server(
        PELLUCID_NOTIFY_URLS=f"{hooks.url}/all",
        PELLUCID_NOTIFY_SECRET=SECRET,
        PELLUCID_QUEUE_JOB_TIMEOUT_S="0.001",
        PELLUCID_QUEUE_MAX_ATTEMPTS="1",
        PELLUCID_WORKERS="1",
    )
    picture = origin.put("/notify/slow.jpg", bowl_jpg)
    assert server.ask(f"{picture}?bg_remove=1").state == "pending"
    server.wait_for(f"{picture}?bg_remove=1", "failed")
    (message,) = hooks.wait_for("/all")
    assert message["type"] == "cutout.failed"
    data = message["data"]
    assert isinstance(data, dict)
    assert (data["reason"], data["attempts"]) == ("attempts-used-up", 1)


def test_a_callback_elsewhere_is_a_400(server: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    picture = origin.put("/notify/refused.jpg", bowl_jpg)
    answer = server.ask(f"{picture}?bg_remove=1&bg_notify=https%3A%2F%2Fhooks.example%2F")
    problem = json.loads(answer.body)
    assert (answer.status, problem["parameter"]) == (400, "bg_notify")
    assert "PELLUCID_NOTIFY_ALLOW_HOSTS" in problem["detail"]
    assert origin.hits["/notify/refused.jpg"] == 0


def test_a_web_process_killed_while_nobody_answers_loses_no_message(
    notifying: PellucidServer, hooks: HookReceiver, origin: PhotoOrigin, bowl_jpg: bytes
) -> None:
    hooks.status = 500
    picture = origin.put("/notify/killed.jpg", bowl_jpg)
    notifying.ask(f"{picture}?w=100&bg_remove=1")
    hooks.wait_for("/all")
    web = notifying.pids("pellucid: web")
    for pid in web:
        os.kill(pid, signal.SIGKILL)
    notifying.wait_for_pids("pellucid: web", other_than=web)
    hooks.status = 204
    before = len(hooks.calls)
    messages = hooks.wait_for("/all", before + 1)
    assert messages[-1] == messages[0]
    assert len({headers["webhook-id"] for _, headers, _ in hooks.calls}) == 1
