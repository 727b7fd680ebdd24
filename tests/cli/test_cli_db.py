"""`pellucid db`, as a person runs it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from command_line import run_in_process
from old_data import charge, hold, job, write_queue

pytestmark = pytest.mark.slow


def _pellucid(*arguments: str, data_dir: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PELLUCID_")}
    return run_in_process("db", *arguments, environ=own | {"PELLUCID_DATA_DIR": str(data_dir)} | environ)


def test_a_fresh_one(tmp_path: Path) -> None:
    checked = _pellucid("check", data_dir=tmp_path)
    assert checked.returncode == 1
    assert "tables are to be made" in checked.stdout
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"
    done = _pellucid("upgrade", data_dir=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    checked = _pellucid("check", data_dir=tmp_path)
    assert checked.returncode == 0
    assert "to do     nothing" in checked.stdout
    assert str(tmp_path / "pellucid.sqlite") in checked.stdout
    assert "nothing to do" in _pellucid("upgrade", data_dir=tmp_path).stdout


def test_an_older_directory(tmp_path: Path) -> None:
    old = tmp_path / "queue" / "jobs.sqlite"
    write_queue(old, {"jobs": [job(1)], "charges": [charge(1), charge(2)], "holds": [hold(1, job(1)["key"])]})
    checked = _pellucid("check", data_dir=tmp_path)
    assert checked.returncode == 1
    assert f"the data of an older version in {old} is to be taken over" in checked.stdout
    with closing(sqlite3.connect(old)) as lives:
        lives.execute("SELECT * FROM jobs").fetchall()
        refused = _pellucid("upgrade", data_dir=tmp_path)
    assert refused.returncode == 1
    assert "older Pellucid" in refused.stderr
    assert "Traceback" not in refused.stderr
    done = _pellucid("upgrade", data_dir=tmp_path)
    assert done.returncode == 0
    assert "1 removals" in done.stdout
    assert "2 charges" in done.stdout
    checked = _pellucid("check", data_dir=tmp_path)
    assert checked.returncode == 0
    assert ["charges", "2"] in [line.split() for line in checked.stdout.splitlines()]


def test_one_that_is_away_or_newer(tmp_path: Path) -> None:
    url = "postgresql://u:topsecret@127.0.0.1:1/x"
    checked = _pellucid("check", data_dir=tmp_path, PELLUCID_DATABASE_URL=url)
    assert checked.returncode == 1
    assert "127.0.0.1:1/x" in checked.stdout
    assert "cannot be used" in checked.stderr
    assert "topsecret" not in checked.stdout + checked.stderr
    _pellucid("upgrade", data_dir=tmp_path)
    with closing(sqlite3.connect(tmp_path / "pellucid.sqlite")) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    checked = _pellucid("check", data_dir=tmp_path)
    assert checked.returncode == 1
    assert "schema 9999" in checked.stderr


def test_a_restored_copy_gets_another_name(tmp_path: Path) -> None:
    """Numbers of invalidations are given again, and records on the disk have them."""
    assert _pellucid("upgrade", data_dir=tmp_path).returncode == 0

    def name() -> str:
        with closing(sqlite3.connect(tmp_path / "pellucid.sqlite")) as db:
            return db.execute("SELECT name FROM identity").fetchone()[0]

    before = name()
    assert _pellucid("restored", data_dir=tmp_path).returncode == 0
    assert name() != before


@pytest.mark.parametrize("verb", ["mattes list", "mattes prune --unused-for 90d", "usage", "tokens list"])
def test_who_looks_at_an_older_directory_changes_nothing(tmp_path: Path, verb: str) -> None:
    old = tmp_path / "queue" / "jobs.sqlite"
    write_queue(old, {"jobs": [job(1)], "charges": [charge(1)]})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    own = {name: value for name, value in os.environ.items() if not name.startswith("PELLUCID_")}
    looked = run_in_process(*verb.split(), environ=own | {"PELLUCID_DATA_DIR": str(tmp_path)})
    assert looked.returncode == 1
    assert "pellucid db upgrade" in looked.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("verb", ["mattes list", "usage", "tokens list", "doctor"])
def test_who_looks_where_nothing_ran_makes_nothing(tmp_path: Path, verb: str) -> None:
    folder = tmp_path / "nothing"
    own = {name: value for name, value in os.environ.items() if not name.startswith("PELLUCID_")}
    looked = run_in_process(*verb.split(), environ=own | {"PELLUCID_DATA_DIR": str(folder)})
    assert "Traceback" not in looked.stderr
    assert not (folder / "pellucid.sqlite").exists()
    if verb in ("mattes list", "usage"):
        assert (looked.returncode, "no server ran" in looked.stderr) == (1, True)
