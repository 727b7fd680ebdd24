from __future__ import annotations

import pytest

from pellucid.formats import ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.render.cost import is_heavy, is_heavy_blank, is_light_output
from pellucid.render.job import BlankJob, RenderJob
from pellucid.render.plan import plan
from pellucid.spec import Geometry


def _job(origin: ImageFormat, megapixels: float, width: int, *, to: ImageFormat = ImageFormat.WEBP) -> RenderJob:
    side = round((megapixels * 1e6) ** 0.5)
    facts = ImageFacts(format=origin, width=side, height=side, has_alpha=False)
    target = plan(Geometry(width=width), width=side, height=side, max_pixels=100_000_000)
    return RenderJob(facts=facts, plan=target, background=None, format=to)


@pytest.mark.parametrize(
    ("origin", "megapixels", "megabytes", "width", "cut", "heavy"),
    [
        (ImageFormat.JPEG, 12, 5, 400, True, False),
        (ImageFormat.JPEG, 24, 10, 1200, True, False),
        (ImageFormat.JPEG, 48, 20, 400, False, False),
        (ImageFormat.JPEG, 12, 5, 3400, False, True),
        (ImageFormat.PNG, 24, 30, 400, False, False),
        (ImageFormat.PNG, 60, 30, 400, False, True),
        (ImageFormat.AVIF, 12, 1, 400, False, False),
        (ImageFormat.AVIF, 40, 1, 400, False, True),
        (ImageFormat.JP2, 4, 1, 400, False, False),
        (ImageFormat.JP2, 4, 20, 400, False, True),
        (ImageFormat.SVG, 1, 0.001, 800, False, False),
        (ImageFormat.SVG, 1, 0.001, 4000, False, True),
        (ImageFormat.PDF, 90, 4, 1600, False, False),
        (ImageFormat.PDF, 2, 25, 400, False, False),
        (ImageFormat.PDF, 2, 40, 400, False, True),
        (ImageFormat.PDF, 2, 0.01, 4000, False, True),
    ],
)
def test_lanes(origin: ImageFormat, megapixels: float, megabytes: float, width: int, cut: bool, heavy: bool) -> None:
    assert is_heavy(_job(origin, megapixels, width), size_bytes=int(megabytes * 1e6), cut=cut) is heavy


def test_a_light_rendition_of_a_picture_that_is_heavy_to_decode_is_light_output() -> None:
    assert is_light_output(_job(ImageFormat.PNG, 100, 400), cut=True)
    assert not is_light_output(_job(ImageFormat.PNG, 1, 4000), cut=False)


def test_a_blank_of_50_megapixels_is_heavy() -> None:
    def blank(width: int) -> BlankJob:
        return BlankJob(width=width, height=width, background=None, format=ImageFormat.WEBP)

    assert is_heavy_blank(blank(7000))
    assert not is_heavy_blank(blank(1600))
