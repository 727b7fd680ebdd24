"""The sample photographs behind the built-in alias `_samples_`: files of this package.

`photos/LICENCES.txt`, beside them, says who made each, out of which package it comes and what was changed.
"""

from __future__ import annotations

from pathlib import Path

SAMPLES_ALIAS = "_samples_"

SAMPLES_FOLDER = Path(__file__).parent / "photos"

SAMPLES = ("bowl.jpg", "dog.jpg", "otter.jpg", "osprey.jpg")
"""Names of the files, in the order in which they are shown."""

SAMPLE_PATHS = tuple(f"/{SAMPLES_ALIAS}/{name}" for name in SAMPLES)
"""Where a server has them."""
