"""The samples are what a newcomer sees first: each is cut out well, in every tier."""

from __future__ import annotations

import json

import pytest
from e2e_server import PellucidServer

from pellucid.demo.samples import SAMPLE_PATHS
from pellucid.spec import Tier


@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize("path", SAMPLE_PATHS)
def test_a_sample_is_cut_out_with_confidence(server: PellucidServer, path: str, tier: Tier) -> None:
    url = f"{path}?w=400&bg_remove=1&bg_quality={tier}"
    cut = server.wait_for(url, "ready", Accept="image/webp")
    alpha = cut.rgba[..., 3] / 255
    assert 0.15 < (alpha > 0.95).mean() < 0.7
    assert (alpha < 0.05).mean() > 0.25
    assert ((alpha > 0.05) & (alpha < 0.95)).mean() < 0.08, "haze"
    # A probability, calibrated; 0.85 (osprey, fast) to 0.98 for these.
    assert json.loads(server.ask("/-/status" + url).body)["confidence"] >= 0.85
