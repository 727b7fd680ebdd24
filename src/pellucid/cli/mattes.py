"""`pellucid mattes list | prune`: what lies on the disk for good, and what of it may go."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.cli.options import Config, DataDir, read_settings
from pellucid.cli.words import counted

if TYPE_CHECKING:
    from pellucid.mattes.selection import Listed, Order, Selection
    from pellucid.settings.model import SettingsTree

mattes_app = typer.Typer(help="Mattes on the disk: look at them, remove some.", no_args_is_help=True)

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SPANS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}

OlderThan = Annotated[str | None, typer.Option(metavar="SPAN", help="Made longer ago: 12h, 30d, 8w.")]
UnusedFor = Annotated[str | None, typer.Option(metavar="SPAN", help="Not shown for so long; written to the day.")]
LargerThan = Annotated[str | None, typer.Option(metavar="SIZE", help="At least so large: 500k, 2M.")]
RecipeId = Annotated[str | None, typer.Option("--recipe", metavar="ID", help="Of this recipe: u2net-int8-fast-v5.")]
Superseded = Annotated[bool, typer.Option("--superseded", help="In whose place there is one of a newer recipe.")]


@mattes_app.command("list")
def list_mattes(
    *,
    older_than: OlderThan = None,
    unused_for: UnusedFor = None,
    larger_than: LargerThan = None,
    recipe: RecipeId = None,
    superseded: Superseded = False,
    by: Annotated[str, typer.Option("--by", metavar="ORDER", help="age, size or use: what comes first.")] = "use",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="So many at most.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="A line of JSON each.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List mattes, what was shown longest ago first, and say how many there are and how large they are together."""
    settings = _settings(config, data_dir)
    selection = _selection(older_than, unused_for, larger_than, recipe, superseded=superseded)
    asyncio.run(_list(settings, selection, _order(by), limit=limit, as_json=json))


@mattes_app.command()
def prune(
    *,
    older_than: OlderThan = None,
    unused_for: UnusedFor = None,
    larger_than: LargerThan = None,
    recipe: RecipeId = None,
    superseded: Superseded = False,
    down_to: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Remove, of those, what was shown longest ago until all are this large: 20G."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and leave it.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Remove mattes, also while a server runs. Who asks for one again waits for it, and is not charged once more."""
    settings = _settings(config, data_dir)
    selection = _selection(older_than, unused_for, larger_than, recipe, superseded=superseded)
    target = None if down_to is None else _size(down_to, "--down-to")
    if selection.is_everything and target is None:
        raise typer.BadParameter("say which: --unused-for 90d, --older-than, --superseded, --down-to ...")
    asyncio.run(_prune(settings, selection, target, dry_run=dry_run))


def _settings(config: Path | None, data_dir: Path | None) -> SettingsTree:
    from pellucid.serve.log import set_up_logging  # noqa: PLC0415

    settings = read_settings(config, data_dir=data_dir)
    set_up_logging(
        level="warning", style=settings.log.format
    )  # on standard error: what is listed may be read by programs
    return settings


async def _list(settings: SettingsTree, selection: Selection, order: Order, *, limit: int, as_json: bool) -> None:
    import msgspec  # noqa: PLC0415 - after the arguments were read

    from pellucid.cli.usage import make_table, wide_console  # noqa: PLC0415
    from pellucid.mattes.selection import count, select  # noqa: PLC0415
    from pellucid.wiring.storage import open_catalogue  # noqa: PLC0415

    async with open_catalogue(settings) as catalogue:
        await catalogue.adopt_all()
        found = await catalogue.read(partial(select, selection=selection, order=order, limit=limit))
        number, size_bytes = await catalogue.read(partial(count, selection=selection))
    if as_json:
        for each in found:
            sys.stdout.write(msgspec.json.encode(each).decode() + "\n")
        return
    table = make_table("matte", "made", "last shown", "what", numbers=("size", "sure"))
    for each in found:
        confidence = f"{each.confidence:.2f}"
        table.add_row(
            each.name, _day(each.made_at), _day(each.used_at), _what(each), _readable(each.size_bytes), confidence
        )
    console = wide_console()
    if not number:
        console.print("no mattes yet" if selection.is_everything else "no mattes fit")
        return
    console.print(table)
    more = f", {number - len(found):,} more not listed" if number > len(found) else ""
    console.print(f"\n{counted(number, 'matte')}, {_readable(size_bytes)}{more}")


async def _prune(settings: SettingsTree, selection: Selection, target: int | None, *, dry_run: bool) -> None:
    from pellucid.mattes.selection import Order, Selection, count, select  # noqa: PLC0415
    from pellucid.wiring.storage import open_catalogue  # noqa: PLC0415

    removed, removed_bytes = 0, 0
    async with open_catalogue(settings) as catalogue:
        await catalogue.adopt_all()
        number, size_bytes = await catalogue.read(partial(count, selection=selection))
        _, total = await catalogue.read(partial(count, selection=Selection()))
        excess = size_bytes if target is None else min(size_bytes, max(0, total - target))
        if dry_run:
            verb = "would go" if target is None else f"of {_readable(size_bytes)} would go"
            fit = counted(number, "matte fits", "mattes fit")
            typer.echo(f"{fit}, {_readable(excess)} {verb}; {_readable(total)} in all")
            return
        while target is None or removed_bytes < excess:
            batch = await catalogue.read(partial(select, selection=selection, order=Order.USE, limit=_BATCH))
            doomed = batch if target is None else _until(batch, excess - removed_bytes)
            if not doomed:
                break
            await catalogue.remove([each.name for each in doomed])
            removed += len(doomed)
            removed_bytes += sum(each.size_bytes for each in doomed)
    left = _readable(total - removed_bytes)
    typer.echo(f"{counted(removed, 'matte')} removed, {_readable(removed_bytes)}; {left} left")


_BATCH = 500
"""Removed in one transaction."""


def _until(batch: list[Listed], size_bytes: int) -> list[Listed]:
    """The first of `batch`, until they are so large together."""
    doomed: list[Listed] = []
    for each in batch:
        if size_bytes <= 0:
            break
        doomed.append(each)
        size_bytes -= each.size_bytes
    return doomed


def _selection(
    older_than: str | None, unused_for: str | None, larger_than: str | None, recipe: str | None, *, superseded: bool
) -> Selection:
    from pellucid.mattes.selection import Selection  # noqa: PLC0415

    now = time.time()
    return Selection(
        made_before=None if older_than is None else now - _span(older_than, "--older-than"),
        unused_since=None if unused_for is None else now - _span(unused_for, "--unused-for"),
        min_bytes=None if larger_than is None else _size(larger_than, "--larger-than"),
        recipe_id=recipe,
        superseded=superseded,
    )


def _order(text: str) -> Order:
    from pellucid.mattes.selection import Order  # noqa: PLC0415

    if text not in list(Order):
        raise typer.BadParameter("age, size or use", param_hint="--by")
    return Order(text)


def _span(text: str, option: str) -> float:
    match = re.fullmatch(r"([0-9]+)([hdw])", text.lower())
    if match is None:
        raise typer.BadParameter("a number and h, d or w: 12h, 30d, 8w", param_hint=option)
    return int(match[1]) * _SPANS[match[2]]


def _size(text: str, option: str) -> int:
    match = re.fullmatch(r"([0-9]+)([kmgt]?)(?:i?b)?", text.lower())
    if match is None:
        raise typer.BadParameter("bytes, or with k, M, G, T: 500k, 20G", param_hint=option)
    return int(match[1]) * _UNITS[match[2]]


def _what(each: Listed) -> str:
    words = [each.recipe_id, "no subject" if each.empty else "", "" if each.newest else "superseded"]
    return ", ".join(filter(None, words))


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")


def _readable(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
