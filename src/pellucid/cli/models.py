"""`pellucid models list | pull | verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from pellucid.cli.options import Config, ModelsDir, read_settings
from pellucid.errors import ModelUnavailableError
from pellucid.models.cards import ModelCard, find_card, load_cards
from pellucid.models.weights import is_pulled, verify
from pellucid.models.weights import pull as pull_weights

if TYPE_CHECKING:
    from pellucid.settings.model import SettingsTree

models_app = typer.Typer(help="Model weights: what there is, fetch them, check them.", no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Models; none: the one in the settings.")]


@models_app.command("list")
def list_models(*, models_dir: ModelsDir = None, config: Config = None) -> None:
    """List the model cards, and which weights are here."""
    settings = read_settings(config, models_dir=models_dir)
    table = Table(box=None, pad_edge=False)
    for column in ("name", "here", "size", "input", "weights' licence", "what it is"):
        table.add_column(column, no_wrap=column not in ("weights' licence", "what it is"))
    for name, card in sorted(load_cards(settings.model.cards).items()):
        here = "yes" if is_pulled(card, settings.models_dir) else "no"
        size = f"{card.size_bytes / 1e6:.0f} MB"
        table.add_row(name, here, size, f"{card.input_width}x{card.input_height}", card.licence, card.title)
    console = Console()
    console.print(table)
    console.print(f"\nweights lie in {settings.models_dir}", soft_wrap=True, highlight=False)


@models_app.command()
def pull(names: Names = None, *, models_dir: ModelsDir = None, config: Config = None) -> None:
    """Fetch weights once, check their sha256, keep them."""
    settings = read_settings(config, models_dir=models_dir)
    console = Console()
    for name in names or [settings.model.name]:
        card = find_card(name, extra=settings.model.cards)
        if not card.commercial_use:
            console.print(
                f"{name}: licence {card.licence}; it is used only where PELLUCID_MODEL_ALLOW_NONCOMMERCIAL=true is set",
                soft_wrap=True,
                markup=False,
                highlight=False,
            )
        path = _pull(card, settings.models_dir, console)
        console.print(f"{name}: {path} is sound (sha256 {card.sha256[:12]}...)", soft_wrap=True, highlight=False)


@models_app.command("verify")
def verify_models(names: Names = None, *, models_dir: ModelsDir = None, config: Config = None) -> None:
    """Read weights whole and compare their sha256 with the card."""
    settings = read_settings(config, models_dir=models_dir)
    console = Console()
    broken = False
    for name in names or [settings.model.name]:
        try:
            path = verify(find_card(name, extra=settings.model.cards), settings.models_dir)
        except ModelUnavailableError as error:
            broken = True
            console.print(str(error), style="red", soft_wrap=True, markup=False, highlight=False)
        else:
            console.print(f"{name}: {path} is sound", soft_wrap=True, highlight=False)
    if broken:
        raise typer.Exit(1)


def pull_missing(settings: SettingsTree) -> None:
    """Fetch the weights that `settings` name unless a file of the right size is there."""
    card = find_card(settings.model.name, extra=settings.model.cards)
    if not is_pulled(card, settings.models_dir):
        _pull(card, settings.models_dir, Console())


def _pull(card: ModelCard, models_dir: Path, console: Console) -> Path:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"weights of {card.name}", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=max(done, total))

        return pull_weights(card, models_dir, progress=show)
