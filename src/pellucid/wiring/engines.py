"""Engines from settings. Imports the inference runtime, which web processes never need."""

from __future__ import annotations

from pellucid.cutout.recipe import Recipe
from pellucid.cutout.runtime import describe_device
from pellucid.engine import Engine, resolve_precision
from pellucid.settings.model import SettingsTree, available_cores
from pellucid.wiring.storage import Paths


def resolve_recipe(settings: SettingsTree) -> Recipe:
    """The recipe of new mattes, with `auto` resolved for this machine. Raises DeviceUnavailableError."""
    model = settings.model
    return Recipe(model=model.name, precision=resolve_precision(model.precision, describe_device(model.device)))


def open_engine(settings: SettingsTree, recipe: Recipe) -> Engine:
    """The engine of a matte worker. Raises ModelUnavailableError or DeviceUnavailableError."""
    model = settings.model
    return Engine(
        models_dir=settings.models_dir,
        model=recipe.model,
        device=model.device,
        precision=recipe.precision,
        threads=model.threads or max(1, available_cores() // max(1, settings.workers)),
        compiled_dir=Paths.below(settings.data_dir).compiled,
        cards=model.cards,
        allow_noncommercial=model.allow_noncommercial,
        max_pixels=settings.image.max_pixels,
    )


def open_library_engine(settings: SettingsTree) -> Engine:
    """The engine of a command without a server: all cores, the compiled model kept beside the weights."""
    model = settings.model
    return Engine(
        models_dir=settings.models_dir,
        model=model.name,
        device=model.device,
        precision=model.precision,
        threads=model.threads,
        compiled_dir=settings.models_dir / "compiled",
        cards=model.cards,
        allow_noncommercial=model.allow_noncommercial,
        max_pixels=settings.image.max_pixels,
    )
