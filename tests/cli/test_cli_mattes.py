"""`pellucid mattes`, on a data directory with files and rows of several ages, sizes and recipes."""

from __future__ import annotations

import asyncio
import json
import os
import time
from functools import partial
from pathlib import Path

import pytest

from command_line import run_in_process
from pellucid.database.tables import mattes
from pellucid.mattes import facts
from pellucid.mattes.facts import MatteFacts
from pellucid.mattes.files import MatteFiles
from pellucid.settings.load import load_settings
from pellucid.spec import Tier
from pellucid.wiring.paths import Paths
from pellucid.wiring.storage import open_blobs, open_database, store_name

pytestmark = pytest.mark.slow

DAY_S = 86_400
OLD, NEW = "u2net-int8-fast-v3", "u2net-int8-fast-v4"


def _environ(data_dir: Path, **more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PELLUCID_")}
    return own | {"PELLUCID_DATA_DIR": str(data_dir), "COLUMNS": "200"} | more


async def _fill(data_dir: Path) -> None:
    """Ten pictures: number n made n x 10 days ago, shown n x 5 days ago, n MB large; number 0 has a superseded one."""
    settings = load_settings(flags={}, environ={"PELLUCID_DATA_DIR": str(data_dir)})
    files, store = MatteFiles(open_blobs(settings)), store_name(Paths.below(data_dir))
    now = time.time()
    async with open_database(settings) as database:
        for number, recipe in [(0, OLD), *((number, NEW) for number in range(10))]:
            name = f"{number:032x}.0.{recipe}"
            await files.write(name, b"a matte")
            made = MatteFacts(
                name=name,
                origin_digest=f"{number:032x}",
                page=0,
                tier=Tier.FAST,
                recipe_id=recipe,
                confidence=0.5,
                empty=False,
                width=10,
                height=10,
                size_bytes=number << 20,
            )
            write = partial(facts.write, facts=made, store=store, now=now - number * 10 * DAY_S)
            await database.run(write)
            used = mattes.update().where(mattes.c.name == name).values(used_at=now - number * 5 * DAY_S)
            await database.run(lambda db, used=used: db.execute(used))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    asyncio.run(_fill(tmp_path))
    return tmp_path


def _listed(data_dir: Path, *options: str) -> list[int]:
    done = run_in_process("mattes", "list", "--json", *options, environ=_environ(data_dir))
    assert (done.returncode, done.stderr) == (0, "")
    return [int(json.loads(line)["name"].partition(".")[0], 16) for line in done.stdout.splitlines()]


def _files(data_dir: Path) -> list[int]:
    return sorted(int(path.name.partition(".")[0], 16) for path in (data_dir / "store" / "mattes").iterdir())


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--limit", "3"], [9, 8, 7]),
        (["--by", "age", "--limit", "2"], [9, 8]),
        (["--by", "size", "--limit", "2"], [9, 8]),
        (["--older-than", "75d"], [9, 8]),
        (["--unused-for", "5w"], [9, 8, 7]),
        (["--larger-than", "8M"], [9, 8]),
        (["--recipe", OLD], [0]),
        (["--superseded"], [0]),
        (["--superseded", "--recipe", NEW], []),
    ],
)
def test_what_is_listed(data_dir: Path, options: list[str], numbers: list[int]) -> None:
    assert _listed(data_dir, *options) == numbers


def test_people_are_told_how_many_and_how_large(data_dir: Path) -> None:
    done = run_in_process("mattes", "list", "--limit", "2", environ=_environ(data_dir))
    assert done.returncode == 0
    assert "11 mattes, 45.0 MiB, 9 more not listed" in done.stdout
    assert f"{9:032x}.0.{NEW}" in done.stdout


def test_what_was_shown_longest_ago_goes_first_until_enough_is_gone(data_dir: Path) -> None:
    trial = run_in_process("mattes", "prune", "--down-to", "20M", "--dry-run", environ=_environ(data_dir))
    assert "of 45.0 MiB would go" in trial.stdout
    assert len(_files(data_dir)) == 11
    done = run_in_process("mattes", "prune", "--down-to", "20M", environ=_environ(data_dir))
    assert done.stdout == "4 mattes removed, 30.0 MiB; 15.0 MiB left\n"
    assert _files(data_dir) == [0, 0, 1, 2, 3, 4, 5]
    assert sorted(_listed(data_dir)) == [0, 0, 1, 2, 3, 4, 5]
    again = run_in_process("mattes", "prune", "--down-to", "20M", environ=_environ(data_dir))
    assert again.stdout == "0 mattes removed, 0 B; 15.0 MiB left\n"


def test_all_that_fit_go(data_dir: Path) -> None:
    done = run_in_process("mattes", "prune", "--unused-for", "30d", environ=_environ(data_dir))
    assert done.stdout.startswith("4 mattes removed")
    assert _files(data_dir) == [0, 0, 1, 2, 3, 4, 5]
    done = run_in_process("mattes", "prune", "--superseded", environ=_environ(data_dir))
    assert done.stdout.startswith("1 matte removed")
    assert _listed(data_dir, "--recipe", NEW, "--by", "age")[-1] == 0


@pytest.mark.parametrize(
    ("options", "hint"),
    [([], "--unused-for 90d"), (["--unused-for", "soon"], "12h, 30d, 8w"), (["--down-to", "much"], "500k, 20G")],
)
def test_what_cannot_be_meant_is_refused(data_dir: Path, options: list[str], hint: str) -> None:
    done = run_in_process("mattes", "prune", *options, environ=_environ(data_dir))
    assert done.returncode == 2
    assert hint in " ".join(done.stderr.split())
    assert len(_files(data_dir)) == 11


def test_doctor_warns_of_many(data_dir: Path) -> None:
    done = run_in_process("doctor", environ=_environ(data_dir, PELLUCID_MATTES_WARN_BYTES=str(1 << 20)))
    assert done.returncode == 1
    assert "WRONG mattes" in done.stdout
    assert "pellucid mattes prune" in done.stdout
