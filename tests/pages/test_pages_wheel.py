"""What is installed has its pages and its manual: in a wheel they are files of the package."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "pellucid" / "pages"

_LOOK = """
import pellucid
from pellucid.pages.manual import find_manual
manual = find_manual()
pages = [url for url in manual.urls if manual.page(url)]
print(pellucid.__path__[0], len(pages), manual.page("/-/docs").title, sep="\\n")
"""


@pytest.mark.slow
def test_a_wheel_carries_pages_and_manual(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        file.extractall(tmp_path / "installed")
    own = {f"pellucid/pages/{path.relative_to(PACKAGE).as_posix()}" for path in PACKAGE.rglob("*.*")}
    assert {name for name in own if not name.endswith(".pyc")} <= names
    for text in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "docs/states.md", "docs/images"):
        assert any(name.startswith(f"pellucid/pages/manual/{text}") for name in names), text
    looked = subprocess.run(
        [sys.executable, "-c", _LOOK],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed")},
        check=True,
        capture_output=True,
        text=True,
    )
    where, pages, title = looked.stdout.splitlines()
    assert where == str(tmp_path / "installed" / "pellucid"), "not the checkout"
    assert int(pages) > 25
    assert title == "Pellucid"
