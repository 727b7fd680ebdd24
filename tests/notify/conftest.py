"""Makes the origin servers and the queue's helpers importable: they lie in folders beside this one."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("contract", "source"):
    sys.path.append(str(Path(__file__).parents[1] / folder))
