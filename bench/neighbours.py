"""A well-behaved client beside hostile ones, all against one server for ten minutes.

    .venv/bin/python bench/neighbours.py [--minutes 10] [--without-strangers] [--docs]

Starts `pellucid serve` as it comes (uvloop, one web process), an origin and its name server, all on loopback. Strangers
(bench/neighbourhood/strangers.py) do at fixed rates what once stopped the server: names that hang, huge renditions,
crowds of event streams and half-open connections, a thousand origin hosts, origins of 45 MB, loops, decompression
bombs. Beside them one client asks for cached pictures, for new widths of a ready cutout, and for a new cutout every two
seconds. Memory and descriptors of every process of the server are looked at each second; at the end the queue must be
empty. `--docs` writes the report into docs/limits.md. Exit status 1 if a target was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from neighbourhood.origin import Origin, origin
from neighbourhood.report import Promise, experience_table, peaks_table, put_into, strangers_table
from neighbourhood.strangers import run_strangers
from neighbourhood.watcher import watching
from neighbourhood.wellbehaved import run_well_behaved

from pellucid.settings.load import load_settings
from pellucid.wiring.storage import open_database, open_queue

_MIB = 1 << 20
_LIMITS_PAGE = Path(__file__).parent.parent / "docs" / "limits.md"
_DRAIN_S = 90.0

PROMISES = (
    Promise("pellucid: serve", 200 * _MIB, 64),
    Promise("pellucid: web", 1600 * _MIB, 4864),
    Promise("pellucid: render", 1024 * _MIB, 64),
    Promise("pellucid: matte worker", 2048 * _MIB, 64),
)


@contextmanager
def server(data_dir: Path, where: Origin) -> Iterator[tuple[str, int, dict[str, str]]]:
    """A running server: address, process id, and its settings as variables."""
    own = {
        "PELLUCID_DATA_DIR": str(data_dir),
        "PELLUCID_PORT": "0",
        "PELLUCID_ORIGIN_ALLOW_NETWORKS": "127.0.0.0/8",
        "PELLUCID_ORIGIN_ALLOW_PORTS": "*",
        "PELLUCID_ORIGIN_NAMESERVERS": where.nameserver,
        "PELLUCID_CACHE_MAX_BYTES": str(2 << 30),
        "PELLUCID_LOG_LEVEL": "error",
    }
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PELLUCID_")} | own
    # The soft limit on descriptors that most systems give.
    command = ["sh", "-c", 'ulimit -Sn 1024; exec "$0" serve', str(Path(sys.executable).parent / "pellucid")]
    log = (data_dir.parent / "log").open("w")
    with log, subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        assert process.stdout is not None
        banner = ""
        for line in process.stdout:
            banner += line
            if "Ctrl-C" in line:
                break
        address = re.search(r"on http://(\S+)", banner)
        if address is None:
            sys.exit("the server did not start")
        try:
            yield address[1], process.pid, own
        finally:
            process.terminate()


async def left_in_queue(variables: dict[str, str]) -> int:
    """Jobs that wait or run."""
    settings = load_settings(flags={}, environ=variables)
    async with open_database(settings) as database, open_queue(settings, database) as queue:
        stats = await queue.stats()
        return stats.waiting + stats.running


def drained(variables: dict[str, str]) -> tuple[bool, float]:
    """Whether the queue became empty, and after how many seconds."""
    started = time.monotonic()
    while time.monotonic() < started + _DRAIN_S:
        if asyncio.run(left_in_queue(variables)) == 0:
            return True, time.monotonic() - started
        time.sleep(1)
    return False, _DRAIN_S


def is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=30) as answer:
            return json.load(answer)["status"] == "ready"
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description="A well-behaved client beside hostile ones.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--without-strangers", action="store_true", help="the same client alone, to compare with")
    parser.add_argument("--docs", action="store_true", help="write the report into docs/limits.md, too")
    options = parser.parse_args()
    seconds = 60 * options.minutes
    pool = ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    with (
        pool,
        tempfile.TemporaryDirectory() as folder,
        origin() as where,
        server(Path(folder) / "data", where) as (address, pid, variables),
        watching(pid) as watcher,
    ):
        client = pool.submit(run_well_behaved, address, where.host, seconds)
        hostile = None if options.without_strangers else pool.submit(run_strangers, address, where.host, seconds)
        experience = client.result()
        answers: dict[str, Counter[str]] = hostile.result() if hostile is not None else {}
        empty, after_s = drained(variables)
        ready = is_ready(address)
        time.sleep(2)
        last = watcher.last
    rows, met = experience_table(experience)
    peaks, kept = peaks_table(watcher.peaks, PROMISES)
    beside = "beside the strangers" if answers else "alone"
    now = ", ".join(
        f"{title} {max(memory for memory, _ in found) // _MIB} MiB" for title, found in sorted(last.items())
    )
    text = "\n".join(
        [
            f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {options.minutes:g} minutes {beside}.",
            "",
            *rows,
            "",
            *peaks,
            "",
            *([*strangers_table(answers), ""] if answers else []),
            f"Afterwards: the queue was {'empty' if empty else '**not empty**'} within {after_s:.0f} s, the server "
            f"{'ready' if ready else '**not ready**'}; {now}.",
        ]
    )
    print(text)
    if options.docs:
        put_into(_LIMITS_PAGE, text)
    sys.exit(0 if met and kept and empty and ready else 1)


if __name__ == "__main__":
    main()
