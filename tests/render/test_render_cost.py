from __future__ import annotations

from dataclasses import replace

import pytest

from pellucid.formats import WRITABLE, ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.render.cost import estimate_ms, is_heavy, is_heavy_blank, is_light_output
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


def test_what_is_asked_for_besides_counts() -> None:
    job = _job(ImageFormat.JPEG, 12, 1000)
    plain = estimate_ms(job, size_bytes=10**6, cut=False)
    for more in (replace(job, optipress=1), replace(job, sharpen=30.0), replace(job, or_jpeg=True)):
        assert estimate_ms(more, size_bytes=10**6, cut=False) > plain
    by_format = [estimate_ms(replace(job, format=each), size_bytes=10**6, cut=False) for each in sorted(WRITABLE)]
    assert len(set(by_format)) == len(WRITABLE)


def test_a_blank_of_50_megapixels_is_heavy() -> None:
    def blank(width: int) -> BlankJob:
        return BlankJob(width=width, height=width, background=None, format=ImageFormat.WEBP)

    assert is_heavy_blank(blank(7000))
    assert not is_heavy_blank(blank(1600))
