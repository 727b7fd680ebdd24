"""What was measured, as Markdown."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from neighbourhood.strangers import ATTACKS
from neighbourhood.watcher import Peak
from neighbourhood.wellbehaved import CACHED, CUTOUTS, WIDTHS, Experience

_MIB = 1 << 20

_BEGIN, _END = "<!-- bench/neighbours.py: begin -->", "<!-- end -->"


@dataclass(frozen=True)
class Target:
    """`share` of the requests of `kind` are answered within `ms`."""

    kind: str
    share: float
    ms: float
    errors_allowed: bool


TARGETS = (
    Target(CACHED, 0.99, 50, errors_allowed=False),
    Target(WIDTHS, 0.99, 1000, errors_allowed=False),
    Target(CUTOUTS, 0.95, 10_000, errors_allowed=False),
)


@dataclass(frozen=True)
class Promise:
    """What no process of a title exceeds, as docs/limits.md says."""

    title: str
    memory_bytes: int
    descriptors: int


def within(values: list[float], share: float, failed: int) -> float:
    """The time within which `share` of all were answered well; infinite if more than the rest failed."""
    ordered = sorted(values) + [math.inf] * failed
    return ordered[math.ceil(round(share * len(ordered), 6)) - 1] if ordered else math.inf


def experience_table(experience: Experience) -> tuple[list[str], bool]:
    """Rows, and whether all targets were met."""
    rows = ["| asked for | requests | errors | median, ms | p99, ms | target | |", "|---|---|---|---|---|---|---|"]
    met = True
    for target in TARGETS:
        ms, errors = experience.ms[target.kind], experience.errors[target.kind]
        failed = errors.total()
        reached = within(ms, target.share, failed)
        fine = reached <= target.ms and (target.errors_allowed or not failed)
        met = met and fine
        wanted = f"{target.share:.0%} in {target.ms:g} ms, no error: {reached:.0f} ms"
        said = f"{failed}" + (f" ({', '.join(f'{count} {name}' for name, count in errors.items())})" if failed else "")
        rows.append(
            f"| {target.kind} | {len(ms) + failed} | {said} | {within(ms, 0.5, failed):.1f} | "
            f"{within(ms, 0.99, failed):.1f} | {wanted} | {'met' if fine else '**missed**'} |"
        )
    return rows, met


def peaks_table(peaks: dict[str, Peak], promises: tuple[Promise, ...]) -> tuple[list[str], bool]:
    rows = [
        "| process | at a time | resident, MiB | promised | descriptors | promised | |",
        "|---|---|---|---|---|---|---|",
    ]
    met = True
    for promise in promises:
        peak = peaks.get(promise.title, Peak())
        fine = peak.memory_bytes <= promise.memory_bytes and peak.descriptors <= promise.descriptors
        met = met and fine
        rows.append(
            f"| {promise.title} | {peak.processes} | {peak.memory_bytes // _MIB} | {promise.memory_bytes // _MIB} | "
            f"{peak.descriptors} | {promise.descriptors} | {'kept' if fine else '**broken**'} |"
        )
    return rows, met


def strangers_table(answers: dict[str, Counter[str]]) -> list[str]:
    rows = ["| stranger | item | a second | what came back |", "|---|---|---|---|"]
    for attack in ATTACKS:
        said = ", ".join(
            f"{count} {what}" for what, count in sorted(answers.get(attack.name, Counter()).items()) if count
        )
        rows.append(f"| {attack.name} | {attack.item} | {attack.per_s:g} | {said} |")
    return rows


def put_into(page: Path, text: str) -> None:
    """Replace what stands between the marks of `page`."""
    old = page.read_text(encoding="utf-8")
    if _BEGIN not in old:
        raise ValueError(f"{page} has no place for the report")
    new = re.sub(
        f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", lambda _: f"{_BEGIN}\n{text}\n{_END}", old, flags=re.DOTALL
    )
    page.write_text(new, encoding="utf-8")
