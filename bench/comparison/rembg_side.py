"""rembg as a resident process. Run by rembg's own Python: `python -m comparison.rembg_side`, in the folder `bench`.

`U2NET_HOME` names a folder with `u2net.onnx`; without that file rembg would download it, so this ends instead.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from importlib.metadata import version
from typing import Any

from comparison.protocol import Head, claim_stdout, picture_reply, send, serve

WAYS: dict[str, dict[str, bool]] = {
    "default": {},
    "decontaminate": {"decontaminate": True},
    "matting": {"alpha_matting": True},
    "mask": {"only_mask": True},
}


def main() -> None:
    messages = claim_stdout()
    library: Any = import_module("rembg")  # by name: it is not there where types are checked
    u2net: Any = import_module("rembg.sessions.u2net")
    if u2net.U2netSession.resolve_existing("u2net.onnx") is None:
        sys.exit("U2NET_HOME has no u2net.onnx")
    session = library.new_session("u2net")

    def cut(head: Head, body: bytes) -> tuple[Head, bytes]:
        started = time.perf_counter()
        png: bytes = library.remove(body, session=session, **WAYS[head.get("way", "default")])
        return picture_reply(png, time.perf_counter() - started, whole=head.get("whole", False))

    names = ("rembg", "onnxruntime", "pillow", "numpy", "pymatting")
    send(messages, {"versions": {name: version(name) for name in names}})
    serve(messages, {"cut": cut})


if __name__ == "__main__":
    main()
