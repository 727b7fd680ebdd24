"""Aliases from settings: those that everybody sees, and those of single customers."""

from __future__ import annotations

from collections.abc import Mapping

from pellucid.demo.samples import SAMPLES_ALIAS, SAMPLES_FOLDER
from pellucid.errors import SettingsError
from pellucid.settings.model import SettingsTree
from pellucid.source.aliases import check_alias_names
from pellucid.source.location import check_aliases
from pellucid.uploads.store import UPLOADS_ALIAS
from pellucid.wiring.paths import Paths

_BUILT_IN = {SAMPLES_ALIAS: "the sample photographs", UPLOADS_ALIAS: "uploads"}


def shared_aliases_of(settings: SettingsTree) -> dict[str, str]:
    """The aliases that are set for everybody, and ours. Raises SettingsError for one that is in the way, or leads
    nowhere.
    """
    if UPLOADS_ALIAS in settings.aliases:
        raise SettingsError(f"PELLUCID_ALIASES names {UPLOADS_ALIAS}, which is where uploads are; choose another name")
    check_aliases(settings.aliases)
    built_in = {SAMPLES_ALIAS: SAMPLES_FOLDER.resolve().as_uri()}
    if settings.uploads.enabled:
        built_in[UPLOADS_ALIAS] = Paths.below(settings.data_dir).uploads.resolve().as_uri()
    return built_in | settings.aliases


def customer_aliases_of(settings: SettingsTree, name: str, shared: Mapping[str, str]) -> dict[str, str]:
    """What the customer called `name` sees: its own aliases, and the `shared` ones whose names it did not take. Raises
    SettingsError where one of its own is in the way of another.
    """
    own = settings.tokens[name].aliases
    setting = f"tokens.{name}.aliases"
    for alias, what in _BUILT_IN.items():
        if alias in own:
            raise SettingsError(f"{setting} names {alias}, which is where {what} are; choose another name")
    try:
        check_alias_names(own, others=shared)
    except SettingsError as error:
        raise SettingsError(f"{setting}: {error}") from error
    return {**shared, **own}
