"""How to install what is optional: said the same everywhere, and it works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pellucid.system.extras import install_command

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
OURS = {"dev", "build"}
"""What `make` installs for those who work on the project."""

_TEXTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for folder in ("docs", "src", "bench", "scripts") for path in (ROOT / folder).rglob("*")),
]
_DRY = ("--dry-run", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")


def _lines(needle: str) -> list[str]:
    texts = [path.read_text(errors="ignore") for path in _TEXTS if path.is_file() and "__pycache__" not in path.parts]
    return [line.strip() for text in texts for line in text.splitlines() if needle in line]


def _dry_run(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*shlex.split(command), *_DRY], capture_output=True, text=True, check=False, timeout=120, cwd="/"
    )


def test_texts_name_the_checkout_and_no_package_of_an_index() -> None:
    found = [re.search(r"\.venv/bin/pip install -e '\.\[(\w+)\]'$", line) for line in _lines("bin/pip install")]
    assert {each[1] for each in found if each} == {"eval", "postgres"}
    assert all(found)
    assert not _lines("pellucid[")


def test_the_page_of_commands_lists_every_extra() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    table = page.partition("## Extras")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == EXTRAS.keys() - OURS


def test_messages_name_extras_that_there_are() -> None:
    named = {name for line in _lines("install_command(") for name in re.findall(r"install_command\(['\"](\w+)", line)}
    assert named <= EXTRAS.keys()
    assert {"eval", "optimize", "postgres"} <= named


@pytest.mark.slow
def test_the_printed_command_works_in_a_checkout() -> None:
    command = install_command("postgres")
    assert shlex.split(command) == [sys.executable, "-m", "pip", "install", "-e", f"{ROOT}[postgres]"]
    done = _dry_run(command)
    assert done.returncode == 0, done.stderr
    assert "Would install pellucid" in done.stdout


@pytest.mark.slow
def test_the_printed_command_works_where_a_wheel_was_installed(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-index"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "-w", tmp_path / "wheels", ROOT]
    subprocess.run(build, check=True, timeout=120)
    [wheel] = (tmp_path / "wheels").glob("pellucid-*.whl")
    site = tmp_path / "a site"
    subprocess.run([*pip, "install", *offline, "--target", site, wheel], check=True, timeout=120)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import pellucid.system.extras as e; print(e.__file__); print(e.install_command('postgres'))",
        ],
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    file, command = done.stdout.splitlines()
    assert file.startswith(str(site))
    assert shlex.split(command)[-1] == f"pellucid[postgres] @ {wheel.as_uri()}"
    dry = _dry_run(command)
    assert dry.returncode == 0, dry.stderr
    assert "Would install" in dry.stdout or "already satisfied" in dry.stdout
