"""Benchmarks are run as scripts of `bench/`, not installed: that folder is put where Python looks."""

from __future__ import annotations

import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))
