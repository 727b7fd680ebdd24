"""Many at once, and processes killed in the middle of work: nothing lost, nothing done twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from e2e_server import (
    DEADLINE_S,
    Answer,
    PellucidServer,
    PhotoOrigin,
    StartServer,
    endless_svg,
    queue_of,
    running_server,
    wait_until,
    wait_until_dead,
)


async def _jobs(server: PellucidServer) -> int:
    async with queue_of(server.data_dir) as queue:
        stats = await queue.stats()
        return stats.waiting + stats.running


async def _wait_for_worker(server: PellucidServer, *, precision: str) -> None:
    """Until a worker of that precision has loaded the model and said so."""
    deadline = time.monotonic() + DEADLINE_S
    async with queue_of(server.data_dir) as queue:
        while precision not in {worker.precision for worker in await queue.alive()}:
            assert time.monotonic() < deadline, f"no worker of {precision}"
            await asyncio.sleep(0.05)


async def test_200_first_requests_make_one_fetch_and_one_job(
    start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    server = start_server(PELLUCID_WORKERS="0")  # nobody takes the job away while it is counted
    path = origin.put("/two-hundred.jpg", otter_jpg)
    start = threading.Barrier(200)

    def ask(_: int) -> Answer:
        start.wait()
        return server.ask(f"{path}?w=400&bg_remove=1")

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(ask, range(200)))
    assert Counter(answer.status for answer in answers) == {200: 200}
    assert {answer.state for answer in answers} == {"pending"}
    assert len({answer.body for answer in answers}) == 1
    assert origin.hits["/two-hundred.jpg"] == 1
    assert await _jobs(server) == 1


class Visitor:
    """Asks for one cached picture over and over, as the page of somebody else would."""

    def __init__(self, server: PellucidServer, path: str) -> None:
        self._server, self._path = server, path
        self.answers: list[int] = []
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Visitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.answers.append(self._server.ask(self._path).status)
            except OSError as error:
                self.errors.append(repr(error))
            time.sleep(0.005)


def _mattes(data_dir: Path) -> dict[str, int]:
    """Stored mattes with their times of change: a matte computed again would be written again."""
    return {path.name: path.stat().st_mtime_ns for path in (data_dir / "store" / "mattes").glob("*") if path.is_file()}


@pytest.fixture(scope="module")
def suffering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PellucidServer]:
    """The server whose parts are killed: each test leaves it whole and its queue empty."""
    with running_server(tmp_path_factory.mktemp("suffering")) as server:
        yield server


def test_a_killed_matte_worker_loses_nothing(
    suffering: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes, bowl_jpg: bytes
) -> None:
    server = suffering
    cached = origin.put("/kw-cached.jpg", otter_jpg) + "?w=120&bg_remove=1"
    server.wait_for(cached, "ready")
    before = _mattes(server.data_dir)
    workers = server.pids("pellucid: matte worker")
    for number in range(6):  # enough to be in the middle of one, whatever the speed
        server.ask(origin.put(f"/kw-{number}.jpg", bowl_jpg) + "?w=120&bg_remove=1")
    with Visitor(server, cached) as visitor:
        time.sleep(0.1)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        for number in range(6):
            server.wait_for(f"/{origin.host}/kw-{number}.jpg?w=120&bg_remove=1", "ready")
    assert visitor.errors == []
    assert set(visitor.answers) == {200}
    after = _mattes(server.data_dir)
    assert len(after) == len(before) + 6
    assert before.items() <= after.items(), "nothing that was stored is computed again"
    assert set(server.pids("pellucid: matte worker")).isdisjoint(workers)


def test_a_killed_render_process_costs_nobody_a_picture(
    suffering: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    server = suffering
    path = origin.put("/kr.jpg", otter_jpg)
    cached = f"{path}?w=120&bg_remove=1"
    server.wait_for(cached, "ready")
    stop = threading.Event()

    def kill_again_and_again() -> None:
        while not stop.is_set():
            for pid in server.pids("pellucid: render"):
                os.kill(pid, signal.SIGKILL)
            stop.wait(2.5)

    killer = threading.Thread(target=kill_again_and_again)
    with Visitor(server, cached) as visitor, ThreadPoolExecutor(4) as pool:
        killer.start()
        try:
            answers = list(pool.map(lambda width: server.ask(f"{path}?w={width}&bg_remove=1"), range(200, 260)))
        finally:
            stop.set()
            killer.join()
    assert Counter(answer.status for answer in answers) == {200: 60}
    assert {answer.state for answer in answers} == {"ready"}
    assert visitor.errors == []
    assert set(visitor.answers) == {200}


def test_a_killed_web_process_comes_back_on_the_same_port(
    suffering: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    server = suffering
    url = origin.put("/kweb.jpg", otter_jpg) + "?w=130&bg_remove=1"
    server.ask(url)
    web = server.pids("pellucid: web")
    os.kill(web[0], signal.SIGKILL)
    assert server.ask("/-/health").status == 200  # waits in the backlog: the supervisor holds the socket
    assert server.pids("pellucid: web") != web
    server.wait_for(url, "ready")


def test_a_killed_server_goes_on_where_it_was(
    tmp_path: Path, origin: PhotoOrigin, otter_jpg: bytes, bowl_jpg: bytes
) -> None:
    data_dir = tmp_path / "data"
    urls = [origin.put(f"/ks-{number}.jpg", bowl_jpg) + "?w=110&bg_remove=1" for number in range(5)]
    with running_server(data_dir) as server:
        port = int(server.address.rpartition(":")[2])
        cached = origin.put("/ks-cached.jpg", otter_jpg) + "?w=110&bg_remove=1"
        etag = server.wait_for(cached, "ready").headers["etag"]
        for url in urls:
            server.ask(url)
        children = [pid for title in ("pellucid: web", "pellucid: matte") for pid in server.pids(title)]
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
    before = _mattes(data_dir)
    hits = origin.hits.copy()
    with running_server(data_dir, port=port) as server:  # at once, on the same port
        wait_until_dead(children)
        answer = server.ask(cached)
        assert (answer.status, answer.state, answer.headers["etag"]) == (200, "ready", etag)
        for url in urls:
            server.wait_for(url, "ready")
        after = _mattes(data_dir)
    assert len(after) == 6
    assert before.items() <= after.items()
    assert origin.hits == hits, "no origin was fetched again"


async def test_a_picture_that_kills_its_workers_is_given_up(
    suffering: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes, bowl_jpg: bytes
) -> None:
    """Whoever claims the job is killed: three attempts, then `failed`, and the next picture is cut."""
    server = suffering
    bad = origin.put("/killer.jpg", bowl_jpg) + "?w=90&bg_remove=1"
    async with queue_of(server.data_dir) as queue:
        deadline = time.monotonic() + DEADLINE_S
        await asyncio.to_thread(server.ask, bad)
        killed: set[int] = set()
        while len(killed) < 3 and time.monotonic() < deadline:
            stats = await queue.stats()
            for worker in stats.workers if stats.running else ():
                if worker.pid not in killed:
                    os.kill(worker.pid, signal.SIGKILL)
                    killed.add(worker.pid)
            await asyncio.sleep(0.002)
    assert len(killed) == 3
    answer = server.wait_for(bad, "failed")
    assert answer.headers["pellucid-cutout"] == "failed;reason=attempts-used-up"
    assert answer.headers["cache-control"] == "public, max-age=300, s-maxage=300"
    assert (answer.image.format, answer.image.size) == ("JPEG", (90, 60)), "the interim is served all the same"
    good = origin.put("/after-killer.jpg", otter_jpg) + "?w=90&bg_remove=1"
    server.wait_for(good, "ready")


def test_sigterm_ends_everything(tmp_path: Path, origin: PhotoOrigin, otter_jpg: bytes) -> None:
    with running_server(tmp_path / "data") as server:
        server.ask(origin.put("/term.jpg", otter_jpg) + "?w=90&bg_remove=1")
        pids = [pid for title in ("pellucid: web", "pellucid: matte", "pellucid: render") for pid in server.pids(title)]
        assert len(pids) >= 3
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        wait_until_dead(pids)


def test_a_worker_of_its_own_joins_the_queue(start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes) -> None:
    server = start_server(PELLUCID_WORKERS="0")
    url = origin.put("/work.jpg", otter_jpg) + "?w=90&bg_remove=1"
    assert server.ask(url).state == "pending"
    environ = os.environ | {"PELLUCID_DATA_DIR": str(server.data_dir)}
    with subprocess.Popen([sys.executable, "-m", "pellucid", "work"], env=environ) as worker:
        server.wait_for(url, "ready")
        assert server.ask("/-/ready").status == 200
        worker.send_signal(signal.SIGINT)
        assert worker.wait(20) == 0
    assert server.ask("/-/ready").status == 503


def test_a_job_over_its_time_is_given_up_and_the_next_one_runs(
    start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    server = start_server(
        PELLUCID_QUEUE_JOB_TIMEOUT_S="5", PELLUCID_QUEUE_MAX_ATTEMPTS="2", PELLUCID_RENDER_TIMEOUT_S="30"
    )
    origin.files["/endless.svg"] = endless_svg()
    stuck = f"/{origin.host}/endless.svg?w=2&bg_remove=1"
    assert server.ask(stuck).state == "pending"
    time.sleep(1)
    server.wait_for(origin.put("/behind.jpg", otter_jpg) + "?w=90&bg_remove=1", "ready")
    answer = server.wait_for(stuck, "failed")
    assert answer.headers["pellucid-cutout"] == "failed;reason=attempts-used-up"


def test_a_worker_of_another_recipe_leaves_the_jobs_alone(
    start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    server = start_server(PELLUCID_WORKERS="0", PELLUCID_MODEL_PRECISION="f32")
    url = origin.put("/recipes.jpg", otter_jpg) + "?w=90&bg_remove=1"
    assert server.ask(url).state == "pending"
    environ = os.environ | {"PELLUCID_DATA_DIR": str(server.data_dir)}
    command = [sys.executable, "-m", "pellucid", "work", "--precision"]
    with subprocess.Popen([*command, "bf16"], env=environ) as other:
        asyncio.run(_wait_for_worker(server, precision="bf16"))
        time.sleep(0.5)  # it would have seen the job: an idle worker looks several times a second
        assert server.ask(url).state == "pending"
        assert server.ask("/-/ready").status == 503, "nobody here makes what is asked for"
        with subprocess.Popen([*command, "f32"], env=environ) as right:
            server.wait_for(url, "ready")
            assert server.ask("/-/ready").status == 200
            right.send_signal(signal.SIGTERM)
        other.send_signal(signal.SIGTERM)


def test_a_change_of_precision_leaves_nothing_behind(
    start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    """What the old recipe was owed filled the queue for ever, and kept its credits."""
    settings = {"PELLUCID_QUEUE_DEPTH": "2", "PELLUCID_CREDITS_PER_MONTH": "400", "PELLUCID_OPEN": "true"}
    before = start_server(PELLUCID_WORKERS="0", PELLUCID_MODEL_PRECISION="f32", **settings)
    old = [origin.put(f"/before-{number}.jpg", otter_jpg) + "?w=90&bg_remove=1" for number in range(2)]
    new = origin.put("/after.jpg", otter_jpg) + "?w=90&bg_remove=1"
    assert [before.ask(url).state for url in (*old, new)] == ["pending", "pending", "no-credits"]
    before.process.send_signal(signal.SIGTERM)
    assert before.process.wait(30) == 0

    server = start_server(PELLUCID_QUEUE_UNSERVED_S="5", **settings)
    ready = json.loads(server.ask("/-/ready").body)
    [(recipe, count)] = ready["unserved"].items()
    assert ("-f32-" in recipe, count) == (True, 2)
    assert server.ask(new).state == "no-credits", "they are held for a while"
    server.wait_for(old[0], "ready")  # who asks again has it made by the new recipe, for what was held
    server.wait_for(new, "ready")
    wait_until(lambda: "unserved" not in json.loads(server.ask("/-/ready").body))
    with closing(sqlite3.connect(server.database)) as db:
        assert db.execute("SELECT sum(credits) FROM charges").fetchone() == (400,)
        assert db.execute("SELECT (SELECT count(*) FROM holds), (SELECT count(*) FROM removals)").fetchone() == (0, 0)
