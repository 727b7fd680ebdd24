"""Settings from a TOML file, the environment and flags, in rising order of weight. Unknown names stop the start."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError as SourceError

from pellucid.errors import SettingsError
from pellucid.settings.explain import explain_problems, explain_top
from pellucid.settings.file import read_toml
from pellucid.settings.model import SettingsTree
from pellucid.settings.names import PREFIX, setting_names, variable_name
from pellucid.settings.unknown import explain_variable

CONFIG_VARIABLE = "PELLUCID_CONFIG"

_LISTED = 30
"""Problems that are listed at once."""

# Kubernetes injects these into every pod of a name-space that has a service called `pellucid`, or `pellucid-web`.
_INJECTED = ("tcp://", "udp://", "sctp://")
_KUBERNETES = re.compile(
    r"PELLUCID_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


def load_settings(
    *, flags: Mapping[str, object], environ: Mapping[str, str] | None = None, config: Path | None = None
) -> SettingsTree:
    """The one settings tree. `flags` are dotted paths to values, None meaning 'not given'.

    Raises SettingsError with one line for every problem, each naming the setting and how to mend it.
    """
    variables = _own_variables(os.environ if environ is None else environ)
    named = variables.pop(CONFIG_VARIABLE, None)
    config = config or (Path(named) if named else None)
    known = {variable_name(path) for path in setting_names()}
    problems = [explain_variable(name) for name in sorted(variables.keys() - known)]
    variables = {name: value for name, value in variables.items() if name in known}
    try:
        toml = {} if config is None else read_toml(config)
    except SettingsError as error:
        raise _all_of([*problems, str(error)]) from None
    problems += explain_top(toml, file=str(config))
    toml = {name: value for name, value in toml.items() if name in SettingsTree.model_fields}
    try:
        tree = _Sources.read(flags=_nest(flags), variables=variables, toml=toml)
    except ValidationError as error:
        flagged = {variable_name(tuple(path.split("."))) for path, value in flags.items() if value is not None}
        wrong = explain_problems(error.errors(), given={*variables, *flagged}, toml=toml, file=str(config))
        # From None: a traceback would show the cause, and that may hold what was given for a secret.
        raise _all_of([*problems, *wrong]) from None
    except SourceError as error:
        raise _all_of([*problems, str(error)]) from None
    if problems:
        raise _all_of(problems)
    return tree


def _all_of(problems: list[str]) -> SettingsError:
    lines = list(dict.fromkeys(problems))
    more = [f"and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return SettingsError("\n".join([*lines[:_LISTED], *more]))


class _Sources(SettingsTree, BaseSettings):
    """The tree with its sources attached. pydantic-settings merges them; we hand it what each may see."""

    model_config = SettingsConfigDict(  # pyright: ignore[reportIncompatibleVariableOverride] - the same dict at run time
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        enable_decoding=False,
        case_sensitive=False,
        frozen=True,
        extra="forbid",
    )

    @classmethod
    def read(cls, *, flags: dict[str, Any], variables: dict[str, str], toml: dict[str, Any]) -> SettingsTree:
        class Bound(cls):
            @classmethod
            def settings_customise_sources(
                cls,
                settings_cls: type[BaseSettings],
                init_settings: PydanticBaseSettingsSource,
                env_settings: PydanticBaseSettingsSource,
                dotenv_settings: PydanticBaseSettingsSource,
                file_secret_settings: PydanticBaseSettingsSource,
            ) -> tuple[PydanticBaseSettingsSource, ...]:
                env = EnvSettingsSource(settings_cls)
                env.env_vars = {name.lower(): value for name, value in variables.items()}
                return init_settings, env, InitSettingsSource(settings_cls, init_kwargs=toml)

        bound = Bound(**flags)
        return SettingsTree.model_validate(
            {name: getattr(bound, name) for name in SettingsTree.model_fields}, from_attributes=True
        )


def _own_variables(environ: Mapping[str, str]) -> dict[str, str]:
    # An empty variable is one that a compose file or a chart left out.
    own = {name.upper(): value for name, value in environ.items() if name.upper().startswith(PREFIX) and value}
    return {
        name: value
        for name, value in own.items()
        if not _KUBERNETES.fullmatch(name) and not (name.endswith("_PORT") and value.startswith(_INJECTED))
    }


def _nest(flags: Mapping[str, object]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in flags.items():
        if value is not None:
            *tables, name = path.split(".")
            table = nested
            for step in tables:
                table = table.setdefault(step, {})
            table[name] = value
    return nested


def refuse_open_proxy(tree: SettingsTree) -> None:
    """Raises SettingsError when a server with these settings would fetch anything for anybody. Nobody becomes an open
    proxy by accident.
    """
    if not _is_loopback(tree.host) and not (tree.open or tree.origin.allow_hosts):
        raise SettingsError(
            f"listening on {tree.host} would make this server an open image proxy for everybody who reaches it.\n"
            "Name the hosts it may fetch from (PELLUCID_ORIGIN_ALLOW_HOSTS=example.com,cdn.example.org), "
            "or say PELLUCID_OPEN=true if that is what you want."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
