"""The comparison is run as a script of `bench/`, not installed: its folder is put where Python looks."""

from __future__ import annotations

import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))
