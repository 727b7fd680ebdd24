from __future__ import annotations

import pytest

from pellucid.errors import ImageLimitError, RenderError
from pellucid.pipeline.failures import Failures


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_heavy_rendition_fails_alone() -> None:
    failures = Failures()
    failures.remember("huge", "picture", RenderError("took too long"), light=False)
    with pytest.raises(RenderError, match="took too long"):
        failures.check("huge", "picture", light=False)
    failures.check("large", "picture", light=False)
    failures.check("small", "picture", light=True)


def test_a_light_rendition_speaks_for_its_picture() -> None:
    failures = Failures()
    failures.remember("small", "picture", ImageLimitError("too much memory"), light=True)
    for rendition, light in (("small", True), ("other", True), ("huge", False)):
        with pytest.raises(ImageLimitError, match="too much memory"):
            failures.check(rendition, "picture", light=light)
    failures.check("small too", "another picture", light=True)


def test_a_picture_whose_heavy_renditions_keep_failing_gets_no_more_of_them() -> None:
    failures = Failures()
    for width in range(3):
        failures.check(f"huge {width}", "picture", light=False)
        failures.remember(f"huge {width}", "picture", RenderError("took too long"), light=False)
    with pytest.raises(RenderError, match="ask for a smaller one"):
        failures.check("huge 4", "picture", light=False)
    failures.check("small", "picture", light=True)


def test_nothing_is_remembered_for_ever() -> None:
    clock = Clock()
    failures = Failures(for_s=60, clock=clock)
    failures.remember("small", "picture", RenderError("took too long"), light=True)
    clock.now = 61
    failures.check("small", "picture", light=True)
