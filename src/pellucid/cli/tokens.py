"""`pellucid tokens new | list`: keys made, and who has which."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from pellucid.cli.options import Config, DataDir, read_settings
from pellucid.customers.customer import hash_key, make_key
from pellucid.errors import SettingsError
from pellucid.spec import DEFAULT_TOKEN, Token

if TYPE_CHECKING:
    from pellucid.settings.model import SettingsTree
    from pellucid.settings.sections.accounts import TokenSettings

tokens_app = typer.Typer(help="Customers: make their keys, list them.", no_args_is_help=True)


@tokens_app.command("new")
def new_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits and -.")],
    *,
    host: Annotated[
        list[str] | None,
        typer.Option(help="A host name of this server whose requests are this customer's; may be repeated."),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            help="A host (with its subdomains) whose pictures anybody may have cut out on its account; may be repeated."
        ),
    ] = None,
    credits_per_month: Annotated[
        int | None, typer.Option(metavar="N", help="Credits that may be spent in a month.", show_default=False)
    ] = None,
    config: Config = None,
) -> None:
    """Make a key for a customer and print it once, with the settings to paste; nothing is written.

    For a token that is configured already, the new key takes the place of the old one; hosts, origins and limit stay
    unless they are given.
    """
    settings = read_settings(config)
    key = make_key()
    known = settings.tokens.get(name)
    entry = {} if known is None else _as_written(known)
    entry |= {"hosts": ",".join(host)} if host else {}
    entry |= {"origins": ",".join(origin)} if origin else {}
    entry |= {"key_hash": hash_key(key)}
    entry |= {} if credits_per_month is None else {"credits_per_month": credits_per_month}
    everybody = {each: _as_written(token) for each, token in settings.tokens.items()} | {name: entry}
    # Read as the server will read it: a bad name, a host that two share and the like are said here.
    checked = read_settings(config, tokens=everybody).tokens[name]

    typer.echo(f"The key of {name}, shown this once (only its hash is kept):\n\n    {key}\n")
    typer.echo(f"For the settings file{', in place of the table that is there' if known else ''}:\n")
    typer.echo(_as_toml(name, checked))
    typer.echo("Or as the variable, with all tokens that are configured now:\n")
    typer.echo(f"    PELLUCID_TOKENS='{json.dumps(everybody | {name: _as_written(checked)})}'")
    if not settings.tokens and name != DEFAULT_TOKEN:
        typer.echo(
            "\nIt is the first: from then on, requests that belong to no token are refused, unless there is one called "
            f"{DEFAULT_TOKEN}."
        )


@tokens_app.command("list")
def list_tokens(*, data_dir: DataDir = None, config: Config = None) -> None:
    """List the tokens with their hosts, their limit and the credits they spent this month."""
    settings = read_settings(config, data_dir=data_dir)
    from pellucid.cli.usage import (  # noqa: PLC0415 - the database's imports
        count,
        make_table,
        read_balances,
        wide_console,
    )
    from pellucid.wiring.accounts import customers_of  # noqa: PLC0415

    customers = customers_of(settings)
    try:
        found = asyncio.run(read_balances(settings, customers))
    except SettingsError:
        found = []  # no server ran yet
    standing = {balance.token: balance for balance in found}
    table = make_table("token", "hosts", "key", numbers=("limit", "spent this month", "held"))
    for token in sorted({*customers.tokens, *standing}):
        hosts, key = _door(settings, token)
        balance = standing.get(token)
        spent, held = (balance.charged, balance.held) if balance is not None else (0, 0)
        table.add_row(token, hosts, key, count(customers.limit(token)), count(spent), count(held))
    wide_console().print(table)


def _door(settings: SettingsTree, token: Token) -> tuple[str, str]:
    """How one gets in as this token: its hosts, and whether it has a key."""
    known = settings.tokens.get(token)
    if known is not None:
        return ", ".join(known.hosts) or "-", "yes" if known.key_hash.get_secret_value() else "-"
    return ("everybody" if not settings.tokens and token == DEFAULT_TOKEN else "(not configured)"), "-"


def _as_written(token: TokenSettings) -> dict[str, Any]:
    """The token as its owner would write it: without what is left at its default. Secrets are in clear: what is
    printed takes the place of what is configured now.
    """
    return {name: _in_clear(value) for name, value in token.model_dump(exclude_defaults=True).items()}


def _in_clear(value: object) -> object:
    if isinstance(value, dict):
        return {name: _in_clear(each) for name, each in cast("dict[str, object]", value).items()}
    reveal = getattr(value, "get_secret_value", None)
    return value if reveal is None else reveal()


def _as_toml(name: str, token: TokenSettings) -> str:
    lines = [f"{setting} = {_toml_of(value)}" for setting, value in _as_written(token).items()]
    return "".join(f"    {line}\n" for line in (f"[tokens.{name}]", *lines))


def _toml_of(value: object) -> str:
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml_of(each)}" for key, each in pairs) + "}"
    return json.dumps(value)  # JSON's strings, whole numbers and lists of strings are TOML's as well
