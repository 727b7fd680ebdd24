"""Settings from a TOML file, the environment and flags, in rising order of weight. Unknown names stop the start."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError as SourceError

from pellucid.errors import SettingsError
from pellucid.settings.model import SettingsTree

PREFIX = "PELLUCID_"
CONFIG_VARIABLE = "PELLUCID_CONFIG"

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
    config = config or (Path(variables.pop(CONFIG_VARIABLE)) if CONFIG_VARIABLE in variables else None)
    variables.pop(CONFIG_VARIABLE, None)
    _refuse_unknown(variables)
    try:
        tree = _Sources.read(flags=_nest(flags), variables=variables, toml=_read_toml(config))
    except ValidationError as error:
        # From None: a traceback would show the cause, and that may hold what was given for a secret.
        raise SettingsError("\n".join(_explain(problem) for problem in error.errors())) from None
    except SourceError as error:
        raise SettingsError(str(error)) from None
    return tree


def setting_names(tree: type[BaseModel] = SettingsTree, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every setting, in the order of the tree."""
    for name, field in tree.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from setting_names(kind, (*path, name))
        else:
            yield (*path, name)


def variable_name(path: tuple[str, ...]) -> str:
    """`("origin", "max_bytes")` as `PELLUCID_ORIGIN_MAX_BYTES`."""
    return PREFIX + "_".join(path).upper()


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


_RENAMED = {"PELLUCID_CREDITS_URL": "PELLUCID_DATABASE_URL"}
"""Settings of older versions."""


def _refuse_unknown(variables: Mapping[str, str]) -> None:
    known = [variable_name(path) for path in setting_names()]
    problems: list[str] = []
    for name in sorted(variables.keys() - set(known)):
        if name in _RENAMED:
            problems.append(f"{name} is called {_RENAMED[name]} now")
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "`pellucid doctor --settings` lists all"
        problems.append(f"{name} is no setting of Pellucid; {hint}")
    if problems:
        raise SettingsError("\n".join(problems))


def _read_toml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the settings file {path} cannot be read: {error}") from error


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


def _explain(problem: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    loc = tuple(str(step) for step in problem["loc"])
    path = loc if loc[0] == "tokens" else tuple(step for step in loc if step in _FIELD_NAMES)
    variable = variable_name(path[:1] if path[0] == "tokens" else path)
    if problem["type"] == "extra_forbidden":
        renamed = _RENAMED.get(variable_name(loc))
        hint = "" if renamed is None else f"; {renamed} is its name now"
        return f"{'.'.join(loc)} is no setting of Pellucid{hint}"
    value = "" if holds_secret(loc) else f" = {problem['input']!r}"
    return f"{'.'.join(path)} ({variable}){value}: {problem['msg'].lower()}"


_FIELD_NAMES = frozenset(step for path in setting_names() for step in path)


def holds_secret(path: Iterable[str], tree: type[BaseModel] = SettingsTree) -> bool:
    """Whether the value at `path` is a secret, or a table, list or text that may have one in it: the types of the tree
    say so. Where the tree ends before the path does, what it knows last counts.
    """
    kind: object = tree
    for step in path:
        below = _kind_below(kind, step)
        if below is None:
            break
        kind = below
    return _has_secret(kind)


def _kind_below(kind: object, step: str) -> object | None:
    """The type of what is called `step` in a value of the type `kind`: a field, or the value of a dict."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(step)
        return None if field is None else field.annotation
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    return next((below for part in get_args(kind) if (below := _kind_below(part, step)) is not None), None)


def _has_secret(kind: object) -> bool:
    """Whether SecretStr stands anywhere in the type."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return any(_has_secret(field.annotation) for field in kind.model_fields.values())
    return kind is SecretStr or any(map(_has_secret, get_args(kind)))


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
