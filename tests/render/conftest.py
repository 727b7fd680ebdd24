from __future__ import annotations

import pytest

from pellucid.image import vips


@pytest.fixture(autouse=True, scope="session")
def hardened() -> None:
    """As in a render process: untrusted loaders blocked."""
    vips.harden()
