"""The samples are what a newcomer sees first: each is cut out well, in every tier."""

from __future__ import annotations

import json

import pytest
from e2e_server import PellucidServer

from pellucid.demo.samples import SAMPLE_PATHS
from pellucid.spec import Tier

_DOUBTED = {("osprey.jpg", Tier.FAST): 0.85, ("osprey.jpg", Tier.STANDARD): 0.78, ("osprey.jpg", Tier.BEST): 0.82}
"""A calibrated confidence is below 0.9 where the branch is half cut; the cutouts of the bird were looked at."""


@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize("path", SAMPLE_PATHS)
def test_a_sample_is_cut_out_with_confidence(server: PellucidServer, path: str, tier: Tier) -> None:
    url = f"{path}?w=400&bg_remove=1&bg_quality={tier}"
    cut = server.wait_for(url, "ready", Accept="image/webp")
    alpha = cut.rgba[..., 3] / 255
    assert 0.15 < (alpha > 0.95).mean() < 0.7
    assert (alpha < 0.05).mean() > 0.25
    assert ((alpha > 0.05) & (alpha < 0.95)).mean() < 0.08, "haze"
    least = _DOUBTED.get((path.rpartition("/")[2], tier), 0.9)
    assert json.loads(server.ask("/-/status" + url).body)["confidence"] >= least
