"""Results as Markdown tables: on the terminal, and as a section of docs/benchmarks.md."""

from __future__ import annotations

from comparison.cost_tables import cost_tables
from comparison.quality_tables import quality_table
from comparison.results import Results
from comparison.verdict_tables import cost_verdicts, quality_verdicts

START = "<!-- bench/compare.py writes from here -->"
END = "<!-- to here -->"

_INTRODUCTION = """`.venv/bin/python bench/compare.py --data DIR... --docs`: both programs with the same U2-Net weights,
in one run on one machine, each with its own defaults, taking turns picture by picture. "x" is how many times as fast as
rembg's default."""

_BUSY = 0.05
"""Above it the tables say so; an idle machine is at 0.00 to 0.02."""


def tables(results: Results) -> str:
    """Everything that was measured, with the targets and whether they were reached."""
    parts = (*cost_tables(results), quality_table(results), quality_verdicts(results), cost_verdicts(results))
    return "\n\n".join(text for text in parts if text)


def heading(results: Results) -> str:
    """Machine, versions, recipes, date and counts, as a paragraph."""
    machine = results.machine
    place = f"{machine.cores} cores of {machine.cpu}{', a virtual machine' if machine.virtual else ''}"
    versions = ", ".join(f"{name} {number}" for name, number in results.versions.items())
    note = " A quick run: a try, not a measurement." if results.quick else ""
    if machine.busy_elsewhere > _BUSY:
        note += f" Other work took {machine.busy_elsewhere:.0%} of the cores: run it again on an idle machine."
    return (
        f"{results.date}: {place}, {machine.memory_gb:g} GB; {' '.join(machine.features) or 'no flags of note'}; "
        f"Python {machine.python}, {versions}; recipes {', '.join(results.recipes.values())}.{note}"
    )


def section(results: Results, plots: dict[str, str]) -> str:
    """The section between its markers. `plots`: path from the page, by what is said in place of the picture."""
    pictures = "\n\n".join(f"![{words}]({path})" for words, path in plots.items())
    parts = ("## Beside rembg", _INTRODUCTION, heading(results), tables(results), pictures)
    return "\n".join([START, "\n\n".join(parts), END])


def put_section(page: str, text: str) -> str:
    """`page` with `text` in place of what is between the markers, or at its end where there are none.

    Raises ValueError when one marker is there without the other.
    """
    if START not in page and END not in page:
        return f"{page.rstrip()}\n\n{text}\n"
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError("the page has one marker of the section without the other")
    return before + text + after
