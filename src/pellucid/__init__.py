"""Pellucid: pictures without their background.

    import pellucid

    cutout = pellucid.cut("purse.jpg")
    cutout.rgba()    # uint8, H x W x 4, straight alpha
    cutout.matte     # float32, H x W, [0, 1]

`cut` uses one default engine, built at its first call: the single piece of module state in the package. Programs that
choose the model, the device or the life of the weights make an `Engine` of their own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pellucid.engine import Cutout, Engine, Picture

__all__ = ["Cutout", "Engine", "cut"]


def cut(image: Picture) -> Cutout:
    """Cut out the subject of a picture: encoded bytes, a path, or uint8 pixels (H x W x 3 or 4, sRGB, straight alpha).

    Raises ModelUnavailableError when the weights are not there (`pellucid models pull`), ImageError when `image` is no
    usable picture, OSError when the file cannot be read.
    """
    return _default_engine().cut(image)


@lru_cache(maxsize=1)
def _default_engine() -> Engine:
    from pellucid.settings.load import load_settings  # noqa: PLC0415 - `import pellucid` stays cheap
    from pellucid.wiring.engines import open_library_engine  # noqa: PLC0415

    return open_library_engine(load_settings(flags={}))


def __getattr__(name: str) -> object:
    """`Engine` and `Cutout`, imported when they are first asked for: `import pellucid` loads no runtime."""
    if name in ("Cutout", "Engine"):
        from pellucid import engine  # noqa: PLC0415

        return getattr(engine, name)
    raise AttributeError(f"module 'pellucid' has no attribute {name!r}")
