"""PURE: insights as they are stored: what was looked for in the bytes of an image, and what was found."""

from __future__ import annotations

import msgspec

from pellucid.image.box import Box
from pellucid.insights.needs import Needs
from pellucid.insights.values import Area, Insights, Salience
from pellucid.spec import Colour

_VERSION = 1
"""Raised when one of the detectors finds something else."""


class InsightRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of an image. `looked` has the names of what was looked for: `faces`, `salience`, `main_colour`, and
    `content` by the value of `trim`.
    """

    version: int = _VERSION
    looked: frozenset[str] = frozenset()
    faces: tuple[Area, ...] = ()
    salience: Salience | None = None
    main_colour: Colour | None = None
    content: dict[str, Box] = {}

    def missing(self, needs: Needs) -> Needs:
        """What of `needs` was not looked for."""
        return Needs(
            faces=needs.faces and "faces" not in self.looked,
            salience=needs.salience and "salience" not in self.looked,
            main_colour=needs.main_colour and "main_colour" not in self.looked,
            trim=0.0 if content_name(needs.trim) in self.looked else needs.trim,
        )

    def with_found(self, found: InsightRecord) -> InsightRecord:
        """This record, and what was found since."""
        return InsightRecord(
            looked=self.looked | found.looked,
            faces=found.faces if "faces" in found.looked else self.faces,
            salience=found.salience if "salience" in found.looked else self.salience,
            main_colour=found.main_colour if "main_colour" in found.looked else self.main_colour,
            content=self.content | found.content,
        )

    def insights(self, needs: Needs) -> Insights:
        """What the planner gets."""
        return Insights(
            faces=self.faces if needs.faces else (),
            salience=self.salience if needs.salience else None,
            main_colour=self.main_colour if needs.main_colour else None,
            content=self.content.get(content_name(needs.trim)) if needs.trim else None,
        )


def content_name(trim: float) -> str:
    """The name under which the box inside a border is kept."""
    return f"content:{trim:g}"


def encode_record(record: InsightRecord) -> bytes:
    """As JSON."""
    return msgspec.json.encode(record)


def decode_record(data: bytes) -> InsightRecord | None:
    """None for what is damaged or of another version."""
    try:
        record = msgspec.json.decode(data, type=InsightRecord)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    return record if record.version == _VERSION else None
