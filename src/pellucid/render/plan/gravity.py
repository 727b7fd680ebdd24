"""PURE: which part of an image is kept when it is cropped, and where it lies when it is padded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pellucid.image.box import Box
from pellucid.insights.values import Area, Insights
from pellucid.render.plan.region import Trimmed, the_face
from pellucid.render.plan.turn import Turn
from pellucid.spec import FocalPoint, FocalUnit, Gravity


@dataclass(frozen=True, slots=True)
class Anchor:
    """One direction. `align` puts the image to the beginning (0), the middle or the end (1) of its room; `focus`, a
    fraction of the image, is put as near to the middle of the room as the image allows.
    """

    align: float = 0.5
    focus: float | None = None

    def offset(self, size: int, room: int) -> int:
        """Where an image of `size` pixels begins in a room of `room`: negative where the image is larger."""
        if self.focus is None:
            # The middle of a crop is rounded towards its beginning, as is that of a padding.
            return math.floor((room - size) * self.align) if room >= size else -math.floor((size - room) * self.align)
        wanted = math.floor(room / 2 - self.focus * size + 0.5)
        return min(max(wanted, min(0, room - size)), max(0, room - size))


CENTRE = Anchor()

_ALIGNED: dict[Gravity, tuple[Anchor, Anchor]] = {
    Gravity.CENTER: (CENTRE, CENTRE),
    Gravity.NORTH: (CENTRE, Anchor(0.0)),
    Gravity.SOUTH: (CENTRE, Anchor(1.0)),
    Gravity.WEST: (Anchor(0.0), CENTRE),
    Gravity.EAST: (Anchor(1.0), CENTRE),
    Gravity.NORTHWEST: (Anchor(0.0), Anchor(0.0)),
    Gravity.NORTHEAST: (Anchor(1.0), Anchor(0.0)),
    Gravity.SOUTHWEST: (Anchor(0.0), Anchor(1.0)),
    Gravity.SOUTHEAST: (Anchor(1.0), Anchor(1.0)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenery:
    """What gravity may go by: the size of the upright image, the `region` of it that is resized and the sides at which
    it was `trimmed`, how it is turned, whether it is cropped or padded, and the share of the turned region that is
    `seen`, across and down.
    """

    width: int
    height: int
    region: Box
    trimmed: Trimmed
    turn: Turn
    is_cropped: bool
    seen: tuple[float, float]
    insights: Insights

    def focus(self, x: float, y: float) -> tuple[Anchor, Anchor]:
        """Anchors at a point in pixels of the upright image."""
        region = self.region
        across = min(max((x - region.left) / region.width, 0.0), 1.0)
        down = min(max((y - region.top) / region.height, 0.0), 1.0)
        turned = self.turn.point(across, down, width=region.width, height=region.height)
        return Anchor(focus=turned[0]), Anchor(focus=turned[1])

    def focus_on(self, area: Area) -> tuple[Anchor, Anchor]:
        """Anchors at the middle of `area`."""
        x, y = area.centre
        return self.focus(x * self.width, y * self.height)


def align(gravity: Gravity) -> tuple[Anchor, Anchor]:
    """Anchors of a place; the middle for what is none."""
    return _ALIGNED.get(gravity, (CENTRE, CENTRE))


def anchors(gravity: Gravity | FocalPoint, scenery: Scenery) -> tuple[Anchor, Anchor]:
    """Across and down."""
    if isinstance(gravity, FocalPoint):
        return _of_point(gravity, scenery)
    match gravity:
        case Gravity.TRIM:
            return _of_trim(scenery)
        case Gravity.SMART:
            return _of_people(scenery) or _of_object(scenery)
        case Gravity.FACE:
            face = the_face(scenery.insights)
            return _of_object(scenery) if face is None else scenery.focus_on(face)
        case Gravity.AUTO:
            return _of_object(scenery)
        case compass:
            return _ALIGNED[compass]


def _of_point(point: FocalPoint, scenery: Scenery) -> tuple[Anchor, Anchor]:
    match point.unit:
        case FocalUnit.PIXELS:
            return scenery.focus(point.x, point.y)
        case FocalUnit.PERCENT:
            return scenery.focus(point.x / 100 * scenery.width, point.y / 100 * scenery.height)
        case FocalUnit.RESULT_PERCENT:
            return Anchor(focus=point.x / 100), Anchor(focus=point.y / 100)


def _of_object(scenery: Scenery) -> tuple[Anchor, Anchor]:
    """Around the subject; else the salient point; else the middle."""
    subject, salient = scenery.insights.subject, scenery.insights.salient
    if subject is not None:
        return scenery.focus(subject.left + subject.width / 2, subject.top + subject.height / 2)
    if salient is not None:
        return scenery.focus(salient[0] * scenery.width, salient[1] * scenery.height)
    return CENTRE, CENTRE


def _of_people(scenery: Scenery) -> tuple[Anchor, Anchor] | None:
    """Around all faces if they can be seen together, else around the largest; None without any."""
    faces = scenery.insights.faces
    if not faces:
        return None
    together = Area(
        left=min(face.left for face in faces),
        top=min(face.top for face in faces),
        right=max(face.right for face in faces),
        bottom=max(face.bottom for face in faces),
    )
    across = (together.right - together.left) * scenery.width / scenery.region.width
    down = (together.bottom - together.top) * scenery.height / scenery.region.height
    if not scenery.turn.is_free and scenery.turn.quarters % 2:
        across, down = down, across
    fits = across <= scenery.seen[0] and down <= scenery.seen[1]
    return scenery.focus_on(together if fits else faces[0])


def _of_trim(scenery: Scenery) -> tuple[Anchor, Anchor]:
    """Cloudimage: by the sides that were trimmed. Padded, the canvas grows on those sides alone; cropped, those sides
    are not cut once more. All sides: the middle; none: as `smart`. A free rotation has no such sides.
    """
    trimmed = scenery.trimmed
    if not trimmed:
        return _of_people(scenery) or _of_object(scenery)
    if scenery.turn.is_free:
        return CENTRE, CENTRE
    # Side by side as a point: 0 = left or top only, 1 = right or bottom only.
    x, y = _side(trimmed.left, trimmed.right), _side(trimmed.top, trimmed.bottom)
    x, y = scenery.turn.point(x, y, width=1, height=1)
    return (Anchor(x), Anchor(y)) if scenery.is_cropped else (Anchor(1 - x), Anchor(1 - y))


def _side(first: bool, last: bool) -> float:
    return 0.5 if first == last else float(last)
