"""What is installed has its samples, pages and manual: in a wheel they are files of the package."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from pellucid.demo.samples import SAMPLES, SAMPLES_FOLDER

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "src" / "pellucid" / "pages"

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Wheel:
    """A wheel of the checkout: the files in it, and the folder that it was unpacked to."""

    names: frozenset[str]
    installed: Path

    def run(self, code: str) -> list[str]:
        """Lines that `code` prints, which sees this package and not the checkout's."""
        done = subprocess.run(
            [sys.executable, "-c", f"import pellucid\nprint(pellucid.__path__[0])\n{code}"],
            cwd=self.installed.parent,
            env={"PYTHONPATH": str(self.installed)},
            check=True,
            capture_output=True,
            text=True,
        )
        where, *lines = done.stdout.splitlines()
        assert where == str(self.installed / "pellucid"), "not the checkout"
        return lines


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder / "dist"), versions=["standard"])
    with zipfile.ZipFile(built) as file:
        file.extractall(folder / "installed")
        return Wheel(frozenset(file.namelist()), folder / "installed")


def test_a_wheel_carries_the_samples_and_their_licences(wheel: Wheel) -> None:
    for told in ("LICENSE", "NOTICE", "src/pellucid/demo/photos/LICENCES.txt"):
        assert any(name.endswith(f".dist-info/licenses/{told}") for name in wheel.names), told
    sizes = wheel.run(
        "from pellucid.demo.samples import SAMPLES, SAMPLES_FOLDER\n"
        "print(*((SAMPLES_FOLDER / name).stat().st_size for name in SAMPLES), sep='\\n')"
    )
    assert [int(size) for size in sizes] == [(SAMPLES_FOLDER / name).stat().st_size for name in SAMPLES]
    beside = wheel.installed / "pellucid" / "demo" / "photos" / "LICENCES.txt"
    assert beside.read_bytes() == (SAMPLES_FOLDER / "LICENCES.txt").read_bytes()


def test_a_wheel_carries_pages_and_manual(wheel: Wheel) -> None:
    own = {f"pellucid/pages/{path.relative_to(PAGES).as_posix()}" for path in PAGES.rglob("*.*")}
    assert {name for name in own if not name.endswith(".pyc")} <= wheel.names
    for text in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "docs/states.md", "docs/images"):
        assert any(name.startswith(f"pellucid/pages/manual/{text}") for name in wheel.names), text
    pages, title = wheel.run(
        "from pellucid.pages.manual import find_manual\n"
        "manual = find_manual()\n"
        "print(len([url for url in manual.urls if manual.page(url)]), manual.page('/-/docs').title, sep='\\n')"
    )
    assert int(pages) > 25
    assert title == "Pellucid"
