"""One tier of Pellucid as a resident process: `python -m comparison.pellucid_side TIER [COMPILED_DIR]`, in `bench`."""

from __future__ import annotations

import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from comparison.protocol import Head, claim_stdout, picture_reply, send, serve


def main() -> None:
    messages = claim_stdout()
    from pellucid.errors import PellucidError  # noqa: PLC0415 - imports are part of the start-up that is measured
    from pellucid.folders import default_models_dir  # noqa: PLC0415

    compiled = Path(sys.argv[2]) if len(sys.argv) > 2 else default_models_dir() / "compiled"
    try:
        engine = open_tier(sys.argv[1], compiled)
    except PellucidError as error:
        send(messages, {"missing": str(error)})
        return

    def cut(head: Head, body: bytes) -> tuple[Head, bytes]:
        started = time.perf_counter()
        png = cut_png(engine, body)
        return picture_reply(png, time.perf_counter() - started, whole=head.get("whole", False))

    def matte(_: Head, body: bytes) -> tuple[Head, bytes]:
        from pellucid.image.probe import probe  # noqa: PLC0415

        started = time.perf_counter()
        engine.make_matte(body, probe(body, max_pixels=engine.max_pixels))
        return {"seconds": time.perf_counter() - started}, b""

    names = ("pellucid", "openvino", "pyvips-binary", "numpy")
    send(messages, {"versions": {name: version(name) for name in names}})
    serve(messages, {"cut": cut, "matte": matte})


def open_tier(tier: str, compiled: Path) -> Any:  # noqa: ANN401 - see below
    """The engine of a tier. Raises PellucidError where it is not to be had.

    An engine without `quality` has one tier: `standard`.
    """
    from pellucid.engine import Engine  # noqa: PLC0415
    from pellucid.errors import SettingsError  # noqa: PLC0415

    make: Any = Engine
    try:
        return make(quality=tier, compiled_dir=compiled)
    except TypeError as error:
        if "quality" not in str(error):
            raise
        if tier != "standard":
            raise SettingsError(f"this Pellucid has no tier {tier}") from error
        return make(compiled_dir=compiled)


def cut_png(engine: Any, data: bytes) -> bytes:  # noqa: ANN401
    """Encoded bytes to the bytes of an RGBA PNG; through the pixels where the engine writes no PNG itself."""
    if hasattr(engine, "cut_png"):
        return engine.cut_png(data)
    from pellucid.formats import ImageFormat  # noqa: PLC0415
    from pellucid.image.encode import encode  # noqa: PLC0415
    from pellucid.image.vips import from_array  # noqa: PLC0415

    return encode(from_array(engine.cut(data).rgba()), format=ImageFormat.PNG, quality=None)


if __name__ == "__main__":
    main()
