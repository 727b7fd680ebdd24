"""Ways from a photo and a given matte to a cutout, to be measured against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from pellucid.formats import ImageFormat
from pellucid.image.decode import decode_full, decode_scaled
from pellucid.image.encode import encode
from pellucid.image.matte_file import pack_matte
from pellucid.image.probe import probe
from pellucid.image.vips import from_array, to_array
from pellucid.render.compose import with_alpha
from pellucid.render.job import RenderJob
from pellucid.render.plan import plan
from pellucid.render.run import render
from pellucid.render.steps.matte import apply_matte
from pellucid.spec import Geometry
from scenes.reduce import Pixels, area_means, reduce_cutout, whole_factor

_MAX_PIXELS = 100_000_000


class Contender(Protocol):
    """A way to make cutouts from a photo and a given matte."""

    def cut(self, photo: Pixels, matte_hw: Pixels, /) -> Pixels:
        """At the photo's own size: (height, width, 3) and (height, width) in, (height, width, 4) straight out."""
        ...

    def render(self, photo: bytes, matte_hw: Pixels, width: int, /) -> Pixels:
        """From an encoded photo, `width` pixels wide, else as `cut`."""
        ...


class PhotoAsItIs:
    """No estimation: the matte on the photo, both at the size that is asked for."""

    def cut(self, photo: Pixels, matte_hw: Pixels, /) -> Pixels:
        """The photo's own colours."""
        return with_alpha(photo, matte_hw)

    def render(self, photo: bytes, matte_hw: Pixels, width: int, /) -> Pixels:
        """Scaled by the decoder that Pellucid renders with; the matte by area means."""
        facts = probe(photo, max_pixels=_MAX_PIXELS)
        small = np.rint(area_means(matte_hw.astype(np.float32), whole_factor(matte_hw, width))).astype(np.uint8)
        return with_alpha(to_array(decode_scaled(photo, facts, width=width, height=small.shape[0])), small)


class Pellucid:
    """This program: `render.cutting` at the photo's own size, a whole rendition (PNG) of a stored matte below it."""

    def cut(self, photo: Pixels, matte_hw: Pixels, /) -> Pixels:
        """As `Cutout.rgba` does."""
        return apply_matte(photo, matte_hw)

    def render(self, photo: bytes, matte_hw: Pixels, width: int, /) -> Pixels:
        """As the server does: the stored matte and the photo scaled by libvips, then the foreground estimated."""
        facts = probe(photo, max_pixels=_MAX_PIXELS)
        blob = pack_matte(
            matte_hw.astype(np.float32) / np.float32(255),
            width=facts.width,
            height=facts.height,
            confidence=1.0,
            empty=False,
            recipe_id="given",
        )
        resolved = plan(Geometry(width=width), width=facts.width, height=facts.height, max_pixels=_MAX_PIXELS)
        job = RenderJob(facts=facts, plan=resolved, background=None, format=ImageFormat.PNG)
        png = render(photo, blob, job).body
        return to_array(decode_full(png, probe(png, max_pixels=_MAX_PIXELS)))


class Reduced:
    """A contender's cutout at full size, reduced afterwards: what a caller does who has only the whole cutout."""

    def __init__(self, inner: Contender) -> None:
        self._inner = inner

    def cut(self, photo: Pixels, matte_hw: Pixels, /) -> Pixels:
        """As the contender does."""
        return self._inner.cut(photo, matte_hw)

    def render(self, photo: bytes, matte_hw: Pixels, width: int, /) -> Pixels:
        """By premultiplied area means."""
        pixels = to_array(decode_full(photo, probe(photo, max_pixels=_MAX_PIXELS)))
        return reduce_cutout(self._inner.cut(pixels, matte_hw), width)


CONTENDERS: Mapping[str, Contender] = {"photo as it is": PhotoAsItIs(), "Pellucid": Pellucid()}


def as_png(photo: Pixels) -> bytes:
    """The photo as a file, nothing lost."""
    return encode(from_array(photo), format=ImageFormat.PNG, quality=None)
