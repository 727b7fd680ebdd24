"""The targets and what was measured of them."""

from __future__ import annotations

from itertools import groupby

from comparison.markdown import number, table
from comparison.results import Results
from comparison.targets import MEAN, Verdict, judge_cost, judge_quality


def quality_verdicts(results: Results) -> str:
    """A row for each target and tier, a column for each set; nothing where no set was measured."""
    rows: list[list[str]] = []
    for (what, tier), group in groupby(judge_quality(results), key=lambda verdict: (verdict.what, verdict.tier)):
        found = {verdict.where: verdict for verdict in group}
        mean = found.pop(MEAN, None)
        if found:
            wanted = _bound(next(iter(found.values())))
            cells = [_cell(found[name]) if name in found else "" for name in results.quality]
            rows.append([what, tier, wanted, *cells, *([_bound(mean), _cell(mean)] if mean else ["", ""])])
    if not rows:
        return ""
    head = ["target", "tier", "each set", *results.quality, "mean", "measured"]
    return "Targets of quality; differences and ratios are to rembg, what was missed is bold:\n\n" + table(
        head, rows, words=3
    )


def cost_verdicts(results: Results) -> str:
    """A row for each target and tier; nothing where none of them was measured."""
    verdicts = list(judge_cost(results))
    if all(verdict.measured is None for verdict in verdicts):
        return ""
    rows = [[verdict.tier, verdict.what, _bound(verdict), _measured(verdict), _word(verdict)] for verdict in verdicts]
    return "Targets of time and memory:\n\n" + table(["tier", "target", "wanted", "measured", ""], rows, words=2)


def _cell(verdict: Verdict) -> str:
    return f"**{_measured(verdict)}**" if verdict.reached is False else _measured(verdict)


def _bound(verdict: Verdict) -> str:
    return ("at least " if verdict.at_least else "at most ") + _quantity(verdict, verdict.bound)


def _measured(verdict: Verdict) -> str:
    return "" if verdict.measured is None else _quantity(verdict, verdict.measured)


def _quantity(verdict: Verdict, value: float) -> str:
    forms = {"": "{:+.4f}", "%": "{:.1%}", " MB": "{:.0f} MB"}
    return number(value, forms.get(verdict.unit, "{:.2f}" + verdict.unit))


def _word(verdict: Verdict) -> str:
    return {True: "reached", False: "missed", None: "not measured"}[verdict.reached]
