"""The table of mattes against true masks, set by set."""

from __future__ import annotations

from comparison.markdown import number, table
from comparison.numbers import gain, harmed, mean_quality, over_sets, share_of_rembgs
from comparison.results import REMBG, Results
from comparison.targets import MEAN

_CHOSEN_ON = """The tiers were chosen on the 228 pictures of these seven sets; what the choice gains on pictures that it
has not seen is in docs/adr/0017."""
"""What a reader must know of the numbers: they are no forecast where the choice has seen the pictures."""

_NOTES = """Mattes against true masks, means over pictures, with the difference to rembg, of errors the ratio to it.
"Veil" is the share of pixels that are faint (alpha 3 to 100 of 255) further than 1 % of the diagonal from the true
edge; "harmed" the share of pictures whose IoU is more than 0.05 below rembg's. The mean over sets counts each set the
same, and its ratios are means of the sets'; sums as gradient errors are have no mean over pictures of other sizes."""


def quality_table(results: Results) -> str:
    """Each set with its number of pictures, then the mean over sets where there are several; nothing where no set was
    measured.
    """
    sides = list(next(iter(results.quality.values())).scores) if results.quality else []
    rows = [
        _row(results, f"{name} ({len(found.pictures)})", side, [name])
        for name, found in results.quality.items()
        for side in sides
    ]
    if len(results.quality) > 1:
        label = f"**{MEAN}** ({sum(len(found.pictures) for found in results.quality.values())})"
        rows += [_row(results, label, side, list(results.quality)) for side in sides]
    if not rows:
        return ""
    head = ["set (pictures)", "", "IoU", "boundary IoU", "MAE", "gradient error", "veil", "harmed"]
    return f"{_NOTES}\n{_CHOSEN_ON}\n\n" + table(head, rows, words=2)


def _row(results: Results, label: str, side: str, names: list[str]) -> list[str]:
    """A side's numbers: of one set, or of the mean over several."""

    def mean(measure: str) -> float | None:
        return over_sets(names, lambda name: getattr(mean_quality(results, name, side), measure))

    def difference(measure: str) -> str:
        value = over_sets(names, lambda name: gain(results, name, side, measure))
        return "" if side == REMBG else number(value, " ({:+.4f})")

    def times(measure: str) -> str:
        value = over_sets(names, lambda name: share_of_rembgs(results, name, side, measure))
        return "" if side == REMBG else number(value, " (x {:.2f})")

    gradient = number(mean("gradient"), "{:.4f}") if len(names) == 1 else ""
    return [
        label,
        side,
        number(mean("iou"), "{:.4f}") + difference("iou"),
        number(mean("boundary_iou"), "{:.4f}") + difference("boundary_iou"),
        number(mean("mae"), "{:.4f}") + times("mae"),
        (gradient + times("gradient")).strip(),
        number(mean("veil"), "{:.2%}"),
        "" if side == REMBG else number(over_sets(names, lambda name: harmed(results, name, side)), "{:.1%}"),
    ]
