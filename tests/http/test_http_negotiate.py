"""Accept, by name only."""

from __future__ import annotations

import pytest

from pellucid.formats import ImageFormat
from pellucid.http.negotiate import accepted_formats


@pytest.mark.parametrize(
    ("accept", "webp"),
    [
        ("image/webp", True),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", True),  # Chromium
        ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", True),  # Firefox
        ("image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5", False),  # an old Safari
        ("IMAGE/WEBP ; q=0.1", True),
        ("image/webp;q=0", False),
        ("image/webp;q=0.000", False),
        ("image/webp; Q=0.0, */*", False),
        ("*/*", False),
        ("image/*", False),
        ("", False),
        (";;;,,,q=", False),
    ],
)
def test_webp_is_taken_when_it_is_named(accept: str, webp: bool) -> None:
    assert (ImageFormat.WEBP in accepted_formats(accept)) is webp
