"""One tier of Pellucid as a resident process: `python -m comparison.pellucid_side TIER [COMPILED_DIR]`, in `bench`."""

from __future__ import annotations

import sys
import time
from importlib.metadata import version
from pathlib import Path

from comparison.protocol import Head, claim_stdout, picture_reply, send, serve


def main() -> None:
    messages = claim_stdout()
    from pellucid.engine import Engine  # noqa: PLC0415 - imports are part of the start-up that is measured
    from pellucid.errors import PellucidError  # noqa: PLC0415
    from pellucid.models.folder import default_models_dir  # noqa: PLC0415

    compiled = Path(sys.argv[2]) if len(sys.argv) > 2 else default_models_dir() / "compiled"
    try:
        engine = Engine(quality=sys.argv[1], compiled_dir=compiled)
    except PellucidError as error:
        send(messages, {"missing": str(error)})
        return

    def cut(head: Head, body: bytes) -> tuple[Head, bytes]:
        started = time.perf_counter()
        png = engine.cut_png(body)
        return picture_reply(png, time.perf_counter() - started, whole=head.get("whole", False))

    def matte(_: Head, body: bytes) -> tuple[Head, bytes]:
        from pellucid.image.probe import probe  # noqa: PLC0415

        started = time.perf_counter()
        engine.make_matte(body, probe(body, max_pixels=engine.max_pixels))
        return {"seconds": time.perf_counter() - started}, b""

    names = ("pellucid", "openvino", "pyvips-binary", "numpy")
    send(messages, {"versions": {name: version(name) for name in names}, "recipe": engine.recipe.id})
    serve(messages, {"cut": cut, "matte": matte})


if __name__ == "__main__":
    main()
