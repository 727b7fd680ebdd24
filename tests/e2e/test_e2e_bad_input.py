"""Bad values, bad origins, bad bytes: a sentence for each, and the server goes on."""

from __future__ import annotations

import io
import json
import socket
from typing import Any

import pytest
from e2e_server import Answer, PellucidServer, PhotoOrigin, StartServer
from PIL import Image


def _problem(answer: Answer) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == "*"
    document: dict[str, Any] = json.loads(answer.body)
    assert document["status"] == answer.status
    return document


@pytest.mark.parametrize(
    ("query", "parameter", "value"),
    [
        ("w=abc", "w", "abc"),
        ("w=-5", "w", "-5"),
        ("w=0", "w", "0"),
        ("width=1e9", "width", "1e9"),
        ("h=nan", "h", "nan"),
        ("func=explode", "func", "explode"),
        ("bg_color=12345", "bg_color", "12345"),
        ("bg_colour=notacolour", "bg_colour", "notacolour"),
        ("bg_remove=yes", "bg_remove", "yes"),
        ("force_format=exe", "force_format", "exe"),
        ("q=101", "q", "101"),
    ],
)
def test_a_bad_value_is_named(
    server: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes, query: str, parameter: str, value: str
) -> None:
    answer = server.ask(origin.put("/bad-value.jpg", otter_jpg) + f"?{query}")
    problem = _problem(answer)
    assert answer.status == 400
    assert (problem["parameter"], problem["value"]) == (parameter, value)
    assert problem["grammar"]


def _truncated_png() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((300, 300), 80).save(out, "PNG")
    return out.getvalue()[:60]


def _bomb_png() -> bytes:
    """A PNG header that promises 400 megapixels."""
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, "PNG")
    return out.getvalue()


UNUSABLE = {
    "text": (b"this is no picture at all", "unsupported-format"),
    "html": (b"<!doctype html><html><body>404</body></html>", "unsupported-format"),
    "truncated": (_truncated_png(), "bad-image"),
    "bomb": (_bomb_png(), "image-limit"),
    "jpeg-magic": (b"\xff\xd8\xff\xe0" + b"\0" * 100, "bad-image"),
}


@pytest.mark.parametrize("name", UNUSABLE)
@pytest.mark.parametrize("query", ["w=100", "w=100&bg_remove=1"])
def test_unusable_bytes_are_422(server: PellucidServer, origin: PhotoOrigin, name: str, query: str) -> None:
    body, slug = UNUSABLE[name]
    answer = server.ask(origin.put(f"/{name}.jpg", body) + f"?{query}")
    problem = _problem(answer)
    assert answer.status == 422
    assert problem["type"].endswith(slug)
    assert "max-age" in answer.headers["cache-control"]


def test_missing_and_refused_origins(server: PellucidServer, origin: PhotoOrigin) -> None:
    missing = server.ask(f"/{origin.host}/nothing-here.jpg?w=10")
    assert (missing.status, _problem(missing)["type"].rpartition(":")[2]) == (404, "origin-not-found")
    private = server.ask("/http://10.0.0.1/x.jpg?w=10")
    assert (private.status, _problem(private)["type"].rpartition(":")[2]) == (403, "origin-refused")
    nothing = server.ask("/http://127.0.0.1:9/x.jpg?w=10")
    assert (nothing.status, _problem(nothing)["type"].rpartition(":")[2]) == (502, "origin-unreachable")
    alias = server.ask("/_unknown_/x.jpg?w=10")
    assert alias.status == 404
    no_host = server.ask("/photos/x.jpg?w=10")
    assert (no_host.status, "host" in _problem(no_host)["detail"]) == (400, True)


def test_by_default_loopback_is_no_origin(start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes) -> None:
    server = start_server(PELLUCID_ORIGIN_ALLOW_NETWORKS="", PELLUCID_WORKERS="0")
    for host in (origin.host, origin.host.replace("127.0.0.1", "localhost")):
        origin.put("/guarded.jpg", otter_jpg)
        answer = server.ask(f"/http://{host}/guarded.jpg")
        assert answer.status == 403
        assert "PELLUCID_ORIGIN_ALLOW_NETWORKS" in _problem(answer)["detail"]
    assert origin.hits["/guarded.jpg"] == 0


def test_methods(server: PellucidServer) -> None:
    answer = server.ask("/h.example/x.jpg", method="POST")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    preflight = server.ask("/h.example/x.jpg", method="OPTIONS", Origin="https://shop.example")
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, "*")


@pytest.mark.parametrize(
    "path",
    ["//", "/%", "/%00", "/..%2f..%2fetc%2fpasswd", "/_samples_/..%2f..%2fserve.lock", "/http://", "/:80/x", "/-/x"],
)
def test_odd_paths_are_client_errors(server: PellucidServer, path: str) -> None:
    answer = server.ask(path)
    assert answer.status in (400, 404), answer.body
    _problem(answer)


def test_an_output_too_large_is_refused(server: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes) -> None:
    answer = server.ask(origin.put("/huge-wish.jpg", otter_jpg) + "?w=90000")
    assert answer.status == 400
    assert "pixels" in _problem(answer)["detail"]


def _raw_answer(server: PellucidServer, target: str) -> bytes:
    """Status line and headers, byte for byte."""
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: {server.address}\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received:
            chunk = client.recv(65536)
            assert chunk
            received += chunk
    return received.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize("length", [10, 600, 1500, 4000])
def test_headers_fit_into_every_proxy_however_long_the_url_is(
    server: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes, length: int
) -> None:
    """nginx takes 4 kB by default, and answers 502 for more."""
    path = origin.put("/" + "a" * length + ".jpg", bowl_jpg)[: 4096 - 5]
    ignored = "".join(f"&{n}{'%F0%9F%98%80' * 64}=1" for n in range(8))
    for prefix in ("", "/-/status", "/-/nothing"):
        for query in ("?bg_remove=1&w=33", "?bg_remove=1&w=33&bg_pending=202", f"?w=33{ignored}", "?w=no"):
            headers = _raw_answer(server, f"{prefix}{path}{query}")
            assert headers.startswith(b"HTTP/1.1 ")
            assert len(headers) < 4000
    pending = _raw_answer(server, f"{path}?bg_remove=1&w=33&bg_quality=best")
    assert (b"link: " in pending) is (length <= 1500)


def test_status_is_found_by_every_spelling_of_its_path(
    server: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes
) -> None:
    url = origin.put("/spelled.jpg", bowl_jpg) + "?bg_remove=1&w=33"
    wanted = json.loads(server.ask(f"/-/status{url}").body)["image"]
    for prefix in ("/%2D/status", "/%2d/status", "/-/st%61tus", "/%2D/%73tatus", "/-/status/"):
        answer = server.ask(f"{prefix}{url}")
        assert (answer.status, json.loads(answer.body).get("image")) == (200, wanted), prefix
    for prefix in ("//-/status", "/-%2Fstatus", "/%2F-/status", "/-//status", "/-/status%2F"):
        assert _problem(server.ask(f"{prefix}{url}"))["status"] in (400, 404), prefix
