"""`pellucid db check | upgrade`: which database is used, and how it stands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from pellucid.cli.options import Config, DataDir, read_settings

if TYPE_CHECKING:
    from pellucid.database.old_files import OldFiles
    from pellucid.settings.model import SettingsTree

db_app = typer.Typer(help="The database: check it, bring it up to date.", no_args_is_help=True)


@db_app.command()
def check(*, data_dir: DataDir = None, config: Config = None) -> None:
    """Say which database is used, its schema, its rows, and what is to be done: status 1 if anything is."""
    settings = read_settings(config, data_dir=data_dir)
    raise typer.Exit(asyncio.run(_check(settings)))


@db_app.command()
def upgrade(*, data_dir: DataDir = None, config: Config = None) -> None:
    """Bring the schema up to date, and take over what an older version left in the data directory.

    A server does both when it starts; an older one that still runs has to be stopped first.
    """
    settings = read_settings(config, data_dir=data_dir)
    asyncio.run(_upgrade(settings))


@db_app.command()
def restored(*, data_dir: DataDir = None, config: Config = None) -> None:
    """To be said after a backup was put in place: all origins are asked again, since numbers are given again."""
    settings = read_settings(config, data_dir=data_dir)
    asyncio.run(_restored(settings))
    typer.echo("done: what is known of origins is asked about again")


async def _restored(settings: SettingsTree) -> None:
    from pellucid.invalidation.log import renew_identity  # noqa: PLC0415 - the database's imports
    from pellucid.wiring.storage import open_database  # noqa: PLC0415

    async with open_database(settings) as database:
        await database.run(renew_identity)


async def _check(settings: SettingsTree) -> int:
    from pellucid.cli.usage import count, make_table, wide_console  # noqa: PLC0415 - the database's imports
    from pellucid.database.status import read_status  # noqa: PLC0415
    from pellucid.database.upgrade import MIGRATIONS  # noqa: PLC0415
    from pellucid.wiring.storage import open_database  # noqa: PLC0415

    async with open_database(settings) as database:
        typer.echo(f"database  {database.place}")
        with _old_files(settings) as old:
            found = await read_status(database, old)
    typer.echo(f"schema    {found.revision or 'none'}, ours is {MIGRATIONS[-1]}")
    typer.echo(f"to do     {found.to_do or 'nothing'}")
    if found.rows:
        typer.echo()
        table = make_table("table", numbers=("rows",))
        for name, rows in sorted(found.rows.items()):
            table.add_row(name, count(rows))
        wide_console().print(table)
    return 0 if found.to_do is None else 1


async def _upgrade(settings: SettingsTree) -> None:
    from pellucid.database.status import upgrade_database  # noqa: PLC0415 - the database's imports
    from pellucid.wiring.paths import Paths  # noqa: PLC0415
    from pellucid.wiring.storage import open_database, store_name  # noqa: PLC0415

    store = await asyncio.to_thread(store_name, Paths.below(settings.data_dir))
    async with open_database(settings) as database:
        with _old_files(settings) as old:
            done = await upgrade_database(database, old, store=store)
    for each in done or ["there was nothing to do"]:
        typer.echo(each)


def _old_files(settings: SettingsTree) -> OldFiles:
    from pellucid.database.old_files import OldFiles  # noqa: PLC0415 - the database's imports
    from pellucid.wiring.paths import Paths  # noqa: PLC0415

    paths = Paths.below(settings.data_dir)
    return OldFiles(queue=paths.old_queue, invalidations=paths.old_invalidations)
