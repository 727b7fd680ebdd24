"""The machine, and the environment that both programs are started with."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from comparison.results import Machine
from pellucid.settings.cores import available_cores

_FEATURES = (
    "avx2",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimddp",
    "i8mm",
    "bf16",
)
"""Flags of /proc/cpuinfo: x86, then Arm."""

_WATCH_S = 2

_DROPPED = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VIPS_CONCURRENCY",
    "U2NET_HOME",
    "REMBG_HOME",
    "MODEL_CHECKSUM_DISABLED",
    "PYTHONPATH",
)
"""What changes threads, arithmetic or models from a program's own defaults."""


def describe_machine() -> Machine:
    """From /proc/cpuinfo; an unnamed CPU (Arm) is called by its architecture."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    fields = {name.strip(): value.strip() for name, _, value in reversed(lines)}
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    return Machine(
        cpu=fields.get("model name") or platform.machine(),
        cores=available_cores(),
        memory_gb=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        virtual="hypervisor" in flags,
        features=[name for name in _FEATURES if name in flags],
        system=platform.system(),
        python=platform.python_version(),
        busy_elsewhere=busy_share(),
    )


def busy_share() -> float:
    """The share of all cores' time that is not idle, watched for two seconds in which this process sleeps: [0, 1]."""
    busy, total = _cpu_ticks()
    time.sleep(_WATCH_S)
    busy_after, total_after = _cpu_ticks()
    return (busy_after - busy) / max(1, total_after - total)


def _cpu_ticks() -> tuple[int, int]:
    """Not idle, and all, from the first line of /proc/stat (proc_stat(5)); time stolen by other guests is not idle."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def plain_environ() -> dict[str, str]:
    """This process's environment without thread settings and without Pellucid's, so that defaults are measured."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _DROPPED and (not name.startswith("PELLUCID_") or name == "PELLUCID_MODELS_DIR")
    }
