"""How many cores there are to share out."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> int:
    """The cores this process may run on: its affinity, and in a container no more than the quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min(cores, _quota_cores(_CPU_MAX) or cores))


def half_the_cores() -> int:
    """What a pool of processes has unless it is told otherwise; at least 1."""
    return max(1, available_cores() // 2)


def _quota_cores(cpu_max: Path) -> int | None:
    """The whole cores of a cgroup v2 quota (`docker --cpus`, Kubernetes limits), rounded up; None without one."""
    try:
        quota, period = cpu_max.read_text().split()
        return None if quota == "max" else math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None
