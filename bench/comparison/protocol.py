"""Messages between the comparison and a side: a length, JSON, and bytes. Standard library only.

4 bytes  length of the JSON, big-endian
JSON     an object; `body` is the number of bytes that follow
bytes    the body
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import IO, Any

Head = dict[str, Any]
Handler = Callable[[Head, bytes], tuple[Head, bytes]]

_IHDR_END = 33
"""Signature (8 bytes) and IHDR chunk (25): what the other end checks of a PNG."""


def send(stream: IO[bytes], head: Head, body: bytes = b"") -> None:
    """Write one message."""
    text = json.dumps({**head, "body": len(body)}).encode()
    stream.write(len(text).to_bytes(4, "big") + text)
    stream.write(body)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[Head, bytes]:
    """Read one message. Raises EOFError when the other end is gone."""
    head: Head = json.loads(_exactly(stream, int.from_bytes(_exactly(stream, 4), "big")))
    return head, _exactly(stream, head["body"])


def claim_stdout() -> IO[bytes]:
    """The real standard output, for messages alone: what libraries print goes to standard error from now on."""
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return messages


def serve(messages: IO[bytes], handlers: dict[str, Handler]) -> None:
    """Answer requests by their `do` until standard input ends."""
    while True:
        try:
            head, body = receive(sys.stdin.buffer)
        except EOFError:
            return
        send(messages, *handlers[head["do"]](head, body))


def picture_reply(png: bytes, seconds: float, *, whole: bool) -> tuple[Head, bytes]:
    """The answer to `cut`: time and size, and of the PNG the header unless all of it is wanted."""
    return {"seconds": seconds, "png_bytes": len(png)}, png if whole else png[:_IHDR_END]


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise EOFError("the other end is gone")
    return data
