"""Makes the contract suites importable: they lie beside this folder, and the tests tree is no package."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "contract"))
