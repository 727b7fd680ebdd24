"""The table of verbs."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.db import db_app
from pellucid.cli.mattes import mattes_app
from pellucid.cli.models import models_app, pull_missing
from pellucid.cli.options import Config, DataDir, Device, Model, ModelsDir, Precision, Quality, read_settings
from pellucid.cli.tokens import tokens_app

app = typer.Typer(
    name="pellucid",
    help="Pictures without their background: an image server, a library, a command.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(models_app, name="models")
app.add_typer(mattes_app, name="mattes")
app.add_typer(tokens_app, name="tokens")
app.add_typer(db_app, name="db")


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pellucid {version('pellucid')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", help="Say the version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Pictures without their background: an image server, a library, a command."""


@app.command()
def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(help="Matte workers to start.", show_default=False)] = None,
    open_: Annotated[
        bool | None, typer.Option("--open", help="Serve any origin to anybody.", show_default=False)
    ] = None,
    pull: Annotated[bool, typer.Option("--pull", help="Fetch the model's weights first if they are missing.")] = False,
    data_dir: DataDir = None,
    models_dir: ModelsDir = None,
    model: Model = None,
    device: Device = None,
    precision: Precision = None,
    quality: Quality = None,
    config: Config = None,
) -> None:
    """Start the image server with its render processes and matte workers."""
    settings = read_settings(
        config,
        host=host,
        port=port,
        workers=workers,
        open=open_,
        data_dir=data_dir,
        models_dir=models_dir,
        model__name=model,
        model__device=device,
        model__precision=precision,
        model__quality=quality,
    )
    if pull:
        pull_missing(settings)
    from pellucid.serve.run import serve as run  # noqa: PLC0415 - the server's imports

    raise typer.Exit(run(settings))


@app.command()
def work(
    *,
    data_dir: DataDir = None,
    models_dir: ModelsDir = None,
    model: Model = None,
    device: Device = None,
    precision: Precision = None,
    quality: Quality = None,
    config: Config = None,
) -> None:
    """Start one more matte worker on the queue of a server's data directory."""
    settings = read_settings(
        config,
        data_dir=data_dir,
        models_dir=models_dir,
        model__name=model,
        model__device=device,
        model__precision=precision,
        model__quality=quality,
    )
    from pellucid.serve.children import run_worker  # noqa: PLC0415 - the runtime's imports
    from pellucid.wiring.engines import resolve_recipe  # noqa: PLC0415

    run_worker(settings, resolve_recipe(settings), None)


@app.command()
def cut(
    inputs: Annotated[list[Path], typer.Argument(metavar="IN...", help="Pictures, or folders of pictures.")],
    *,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Folder for <name>.png; for one picture also a file: .png, .webp, .avif, .gif, .jpg.",
        ),
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there already.")] = False,
    models_dir: ModelsDir = None,
    model: Model = None,
    device: Device = None,
    precision: Precision = None,
    quality: Quality = None,
    config: Config = None,
) -> None:
    """Cut out the subjects of pictures, without a server: OUT/<name>.png, RGBA, at the picture's own size.

    Ctrl-C stops at once and says what is written; the same command then cuts the rest.
    """
    settings = read_settings(
        config,
        models_dir=models_dir,
        model__name=model,
        model__device=device,
        model__precision=precision,
        model__quality=quality,
    )
    from pellucid.cli.cut import cut_files  # noqa: PLC0415 - the runtime's imports

    raise typer.Exit(cut_files(inputs, output, settings, overwrite=overwrite))


@app.command("eval")
def evaluate(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders with images/, masks/ and perhaps ignore/.")
    ],
    *,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write an HTML page with the worst twenty.", show_default=False),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all numbers as JSON.", show_default=False)
    ] = None,
    models_dir: ModelsDir = None,
    model: Model = None,
    device: Device = None,
    precision: Precision = None,
    quality: Quality = None,
    config: Config = None,
) -> None:
    """Measure mattes against true masks: IoU, boundary IoU, MAE, MSE, SAD, gradient error, veil, S-measure, max-F."""
    settings = read_settings(
        config,
        models_dir=models_dir,
        model__name=model,
        model__device=device,
        model__precision=precision,
        model__quality=quality,
    )
    from pellucid.cli.evaluate import evaluate_folders  # noqa: PLC0415 - the runtime's imports

    raise typer.Exit(evaluate_folders(folders, settings, sheet_file=sheet, json_file=json))


@app.command()
def usage(
    *,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="DAY", help="First day (UTC), YYYY-MM-DD; else the first of its month."),
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="Last day; else today.", show_default=False)
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Of day, token, operation, tier, host; comma-separated; else day."),
    ] = None,
    token: Annotated[str | None, typer.Option(metavar="NAME", help="Only this token.", show_default=False)] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, as `/-/usage` answers.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Look up the credits that were charged, and where the tokens stand this month."""
    if csv and json:
        raise typer.BadParameter("say --csv or --json, not both", param_hint="--csv")
    settings = read_settings(config, data_dir=data_dir)
    from pellucid.cli.usage import show_usage  # noqa: PLC0415 - the database's imports

    raise typer.Exit(show_usage(settings, first=first, last=last, by=by, token=token, as_csv=csv, as_json=json))


@app.command()
def doctor(
    *,
    show_settings: Annotated[bool, typer.Option("--settings", help="List every setting with its value.")] = False,
    data_dir: DataDir = None,
    models_dir: ModelsDir = None,
    config: Config = None,
) -> None:
    """Check model, device, store, queue, port and versions: what is wrong and how to mend it."""
    from pellucid.cli.doctor import examine, list_settings  # noqa: PLC0415

    settings = read_settings(config, data_dir=data_dir, models_dir=models_dir)
    raise typer.Exit(list_settings(settings) if show_settings else examine(settings))
