"""`pellucid models list | pull | verify | optimize`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from pellucid.cli.options import Config, ModelsDir, read_settings
from pellucid.errors import ModelUnavailableError
from pellucid.models.calibration import load_calibration
from pellucid.models.cards import ModelCard, Task, find_card, find_cards, find_insight_cards, load_cards
from pellucid.models.weights import is_pulled, verify
from pellucid.models.weights import pull as pull_weights

if TYPE_CHECKING:
    from pellucid.settings.model import SettingsTree

models_app = typer.Typer(help="Model weights: what there is, fetch them, check them.", no_args_is_help=True)

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Models; none: all that the settings need.")
]


@models_app.command("list")
def list_models(*, models_dir: ModelsDir = None, config: Config = None) -> None:
    """List the model cards, which weights are here, and which int8 graphs are built."""
    settings = read_settings(config, models_dir=models_dir)
    table = Table(box=None, pad_edge=False)
    for column in ("name", "here", "int8", "size", "input", "weights' licence", "what it is"):
        table.add_column(column, no_wrap=column not in ("weights' licence", "what it is"))
    for name, card in sorted(load_cards(settings.model.cards).items()):
        here = "yes" if is_pulled(card, settings.models_dir) else "no"
        size = f"{card.size_bytes / 1e6:.0f} MB"
        int8 = _int8_state(card, settings.models_dir)
        table.add_row(name, here, int8, size, f"{card.input_width}x{card.input_height}", card.licence, card.title)
    console = Console()
    console.print(table)
    console.print(f"\nweights lie in {settings.models_dir}", soft_wrap=True, highlight=False)


@models_app.command()
def pull(names: Names = None, *, models_dir: ModelsDir = None, config: Config = None) -> None:
    """Fetch weights once, check their sha256, keep them; build the int8 graph where there is a calibration."""
    settings = read_settings(config, models_dir=models_dir)
    console = Console()
    for card in _cards_of(names, settings):
        name = card.name
        if not card.commercial_use:
            console.print(
                f"{name}: licence {card.licence}; it is used only where PELLUCID_MODEL_ALLOW_NONCOMMERCIAL=true is set",
                soft_wrap=True,
                markup=False,
                highlight=False,
            )
        path = _pull(card, settings.models_dir, console)
        console.print(f"{name}: {path} is sound (sha256 {card.sha256[:12]}...)", soft_wrap=True, highlight=False)
        _build_int8(card, settings.models_dir, console)


@models_app.command("verify")
def verify_models(names: Names = None, *, models_dir: ModelsDir = None, config: Config = None) -> None:
    """Read weights and int8 graphs whole and compare their sha256 with the card and the record."""
    settings = read_settings(config, models_dir=models_dir)
    console = Console()
    broken = False
    for card in _cards_of(names, settings):
        name = card.name
        try:
            path = verify(card, settings.models_dir)
            console.print(f"{name}: {path} is sound", soft_wrap=True, highlight=False)
            if (graph := _verify_int8(card, settings.models_dir)) is not None:
                console.print(f"{name}: {graph}", soft_wrap=True, markup=False, highlight=False)
        except ModelUnavailableError as error:
            broken = True
            console.print(str(error), style="red", soft_wrap=True, markup=False, highlight=False)
    if broken:
        raise typer.Exit(1)


@models_app.command("optimize")
def optimize(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model.")],
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS_DIR", help="A folder of photos like those to be cut.")],
    *,
    keep_float: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Leave the N layers that change the matte most in floating point (finding them takes minutes); "
            "not given: those that are now.",
            show_default=False,
        ),
    ] = None,
    models_dir: ModelsDir = None,
    config: Config = None,
) -> None:
    """Find the int8 ranges of a model anew on photos; taken only when the mattes agree with f32 as well as before."""
    settings = read_settings(config, models_dir=models_dir)
    from pellucid.cli.optimise import optimise  # noqa: PLC0415 - the runtime's imports

    raise typer.Exit(optimise(name, photos, keep_float=keep_float, settings=settings))


def pull_missing(settings: SettingsTree) -> None:
    """Fetch the weights that `settings` name unless a file of the right size is there, and build their int8 graph."""
    console = Console()
    for card in _cards_of(None, settings):
        if not is_pulled(card, settings.models_dir):
            _pull(card, settings.models_dir, console)
        if _int8_state(card, settings.models_dir) == "no":
            try:
                _build_int8(card, settings.models_dir, console)
            except ModelUnavailableError as error:
                # A folder that cannot be written to, such as a read-only image: the engine does without.
                console.print(f"no int8 graph: {error}", soft_wrap=True, markup=False, highlight=False)


def _cards_of(names: list[str] | None, settings: SettingsTree) -> list[ModelCard]:
    """The cards of `names` and of the models that these take along, each once; without names, of the model in the
    settings and of those that look for insights. Raises ModelUnavailableError.
    """
    extra = settings.model.cards
    if not names:
        cards = [*find_cards(settings.model.name, extra=extra), *find_insight_cards()]
    else:
        named = [find_card(name, extra=extra) for name in names]
        cards = [each for card in named for each in _with_others(card, extra)]
    return list({card.name: card for card in cards}.values())


def _with_others(card: ModelCard, extra: Path | None) -> tuple[ModelCard, ...]:
    return find_cards(card.name, extra=extra) if card.task is Task.MATTE else (card,)


def _int8_state(card: ModelCard, models_dir: Path) -> str:
    """`yes`: built; `no`: not yet; `-`: there is no calibration for these weights."""
    calibration = load_calibration(card, models_dir)
    if calibration is None:
        return "-"
    from pellucid.cutout.quantise import is_built  # noqa: PLC0415 - numpy takes 0.1 s

    return "yes" if is_built(card, models_dir, calibration) else "no"


def _build_int8(card: ModelCard, models_dir: Path, console: Console) -> None:
    """Build the int8 graph of weights that are here unless it is there and sound, and say so."""
    calibration = load_calibration(card, models_dir)
    if calibration is None:
        return
    from pellucid.cutout.quantise import build_int8, remove_other_graphs, verify_int8  # noqa: PLC0415

    try:
        path = verify_int8(card, models_dir, calibration)
        said = f"{path} is sound"
    except ModelUnavailableError:
        started = time.perf_counter()
        path = build_int8(card.path_in(models_dir), calibration, models_dir)
        said = f"int8 graph built in {time.perf_counter() - started:.1f} s: {path}"
    try:
        remove_other_graphs(card, models_dir, calibration)
    except OSError as error:
        said += f" (older ones cannot be deleted: {error.strerror})"
    console.print(f"{card.name}: {said}", soft_wrap=True, markup=False, highlight=False)


def _verify_int8(card: ModelCard, models_dir: Path) -> str | None:
    """What there is to say of the int8 graph; None without a calibration. Raises ModelUnavailableError if damaged."""
    calibration = load_calibration(card, models_dir)
    if calibration is None:
        return None
    from pellucid.cutout.quantise import int8_path, verify_int8  # noqa: PLC0415

    if not int8_path(card, models_dir, calibration).with_suffix(".json").exists():
        return f"no int8 graph is built yet; `pellucid models pull {card.name}` does"
    return f"{verify_int8(card, models_dir, calibration)} is sound"


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
