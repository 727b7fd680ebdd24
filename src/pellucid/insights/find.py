"""Look for insights in the bytes of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.image import vips
from pellucid.image.box import Box
from pellucid.image.decode import decode_scaled
from pellucid.image.facts import ImageFacts
from pellucid.image.probe import DEFAULT_MAX_DECODE_BYTES
from pellucid.image.vips import VipsImage
from pellucid.insights import border, faces, main_colour
from pellucid.insights.detectors import Detectors, fitted
from pellucid.insights.needs import Needs
from pellucid.insights.record import InsightRecord, content_name
from pellucid.insights.values import Area, Salience
from pellucid.spec import WHITE, Colour

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALL_SIDE = 256
"""Of the reduction for what needs no details."""


def find_insights(
    data: bytes,
    facts: ImageFacts,
    needs: Needs,
    *,
    detectors: Detectors,
    max_bytes: int = DEFAULT_MAX_DECODE_BYTES,
) -> InsightRecord:
    """What `needs` asks for, without that for which a model is missing. The image is decoded once, as small as that
    allows. Raises what `decode_scaled` does.
    """
    side = max(_SMALL_SIDE, faces.FINE if needs.faces else 0, border.SIDE if needs.trim else 0)
    width, height = facts.width, facts.height
    if max(width, height) > side:
        width, height = fitted(width, height, side)
    image = decode_scaled(data, facts, width=width, height=height, max_bytes=max_bytes)
    opaque = image.flatten(background=WHITE.rgb) if image.bands == 4 else image

    def scaled(across: int, down: int) -> NDArray[np.uint8]:
        return vips.to_array(vips.resample_in_place(opaque, width=across, height=down, kernel="lanczos3"))

    looked: set[str] = set()
    found_faces: tuple[Area, ...] = ()
    found_salience: Salience | None = None
    found_colour: Colour | None = None
    content: dict[str, Box] = {}
    if needs.faces:
        found = detectors.find_faces(scaled, width=facts.width, height=facts.height)
        if found is not None:
            looked.add("faces")
            found_faces = found
    if needs.salience and detectors.sees_objects:
        looked.add("salience")
        found_salience = detectors.find_salience(scaled)
    if needs.main_colour:
        looked.add("main_colour")
        found_colour = main_colour.main_colour(_reduced(image, main_colour.SIDE))
    if needs.trim:
        name = content_name(needs.trim)
        looked.add(name)
        box = border.content_box(vips.to_array(image), needs.trim)
        if box is not None:
            content[name] = border.scaled_box(box, (width, height), (facts.width, facts.height))
    return InsightRecord(
        looked=frozenset(looked),
        faces=found_faces,
        salience=found_salience,
        main_colour=found_colour,
        content=content,
    )


def _reduced(image: VipsImage, side: int) -> NDArray[np.uint8]:
    if max(image.width, image.height) <= side:
        return vips.to_array(image)
    width, height = fitted(image.width, image.height, side)
    return vips.to_array(vips.to_srgb_size(image, width=width, height=height))
