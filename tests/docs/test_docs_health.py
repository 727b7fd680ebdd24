"""The page on health and readiness says what the server answers, and its examples name what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pellucid.http.service import describe_ready, health_document
from pellucid.liveness.port import WorkerInfo
from pellucid.wiring.readiness import Report

PAGE = (Path(__file__).parents[2] / "docs" / "health.md").read_text()
EXAMPLES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
HEALTH, READY, DEGRADED = EXAMPLES

WORKER = WorkerInfo(
    worker_id="a",
    pid=1,
    model="u2net",
    device="CPU (AMD EPYC)",
    precision="int8",
    recipe_ids=("u2net-int8-standard-v5",),
)
ALL_OK = {"store": "ok", "database": "ok", "model": "ok", "render": "ok"}


def test_the_example_of_health() -> None:
    document = health_document()
    assert list(HEALTH) == list(document)
    assert document | {"version": ""} == HEALTH | {"version": ""}


def test_the_examples_of_readiness() -> None:
    assert describe_ready(Report(checks=ALL_OK, workers=(WORKER,))) == READY
    away = Report(checks=DEGRADED["checks"], workers=(), works=tuple(DEGRADED["works"]), waits=tuple(DEGRADED["waits"]))
    assert json.loads(json.dumps(describe_ready(away))) == DEGRADED


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({}, "ready"),
        ({"database"}, "degraded"),
        ({"database", "model"}, "degraded"),
        ({"store"}, "not ready"),
        ({"model"}, "not ready"),
        ({"render"}, "not ready"),
        ({"database", "render"}, "not ready"),
        ({"database", "store"}, "not ready"),
    ],
)
def test_what_makes_which_status(wrong: set[str], status: str) -> None:
    report = Report(checks=ALL_OK | dict.fromkeys(wrong, "broken"), workers=())
    assert report.status == status
    assert f"| `{status}` |" in PAGE


def test_every_member_is_explained() -> None:
    full = Report(checks=ALL_OK, workers=(WORKER,), unserved={"r": 1}, works=("a",), waits=("b",))
    document = describe_ready(full)
    names = {*(document.keys() - {"checks"}), *(f"checks.{name}" for name in ALL_OK)}
    table = PAGE.partition("| member |")[2].partition("\n\n")[0]
    assert {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    } == names


def test_probes_ask_for_routes_that_there_are() -> None:
    asked = re.findall(r"/-/[a-z]+", "".join(re.findall(r"```.*?```", PAGE, re.DOTALL)))
    assert set(asked) == {"/-/health", "/-/ready"}
