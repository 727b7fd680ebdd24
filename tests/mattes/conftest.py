"""Makes the samples importable: they lie beside this file, and the tests tree is no package."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
