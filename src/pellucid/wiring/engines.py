"""Engines from settings. Imports the inference runtime, which web processes never need."""

from __future__ import annotations

from pathlib import Path

from pellucid.cutout.graphs import find_graph
from pellucid.cutout.recipe import Recipe
from pellucid.engine import Engine
from pellucid.inference.runtime import describe_device
from pellucid.models.cards import find_card
from pellucid.settings.cores import available_cores
from pellucid.settings.model import SettingsTree
from pellucid.wiring.paths import Paths

_INFERENCE_BYTES = 448 << 20
"""What a worker takes beside the picture, from its start on: one for `standard` that is asked for `best` and `fast` as
well 350 MiB for both models at sizes that have no graph yet, kept from the first pictures on, and up to 180 while the
matting equations are solved, in part of what is free again. With all of it and 50 megapixels it has 760 MiB more than
at its start."""


def resolve_recipe(settings: SettingsTree) -> Recipe:
    """The recipe of new mattes, with `auto` resolved for this machine; builds the int8 graph if that is missing.

    Raises DeviceUnavailableError, ModelUnavailableError.
    """
    model = settings.model
    card = find_card(model.name, extra=model.cards)
    precision, _ = find_graph(
        card, settings.models_dir, requested=model.precision, device=describe_device(model.device)
    )
    return Recipe(model=model.name, precision=precision, tier=model.quality)


def open_engine(settings: SettingsTree, recipe: Recipe) -> Engine:
    """The engine of a matte worker: its share of the cores. Raises ModelUnavailableError, DeviceUnavailableError."""
    share = max(1, available_cores() // max(1, settings.workers))
    return _open(
        settings,
        precision=recipe.precision,
        threads=settings.model.threads or share,
        compiled_dir=Paths.below(settings.data_dir).compiled,
        max_decode_bytes=min(settings.image.max_decode_bytes, settings.model.memory_bytes - _INFERENCE_BYTES),
    )


def open_library_engine(settings: SettingsTree, *, streams: int = 1) -> Engine:
    """The engine of a command without a server: all cores, for `streams` pictures side by side; the compiled model kept
    beside the weights.
    """
    return _open(
        settings,
        precision=settings.model.precision,
        threads=settings.model.threads,
        compiled_dir=settings.models_dir / "compiled",
        max_decode_bytes=settings.image.max_decode_bytes,
        streams=streams,
    )


def _open(
    settings: SettingsTree,
    *,
    precision: str,
    threads: int,
    compiled_dir: Path,
    max_decode_bytes: int,
    streams: int = 1,
) -> Engine:
    model = settings.model
    return Engine(
        models_dir=settings.models_dir,
        model=model.name,
        device=model.device,
        precision=precision,
        quality=model.quality,
        threads=threads,
        streams=streams,
        compiled_dir=compiled_dir,
        cards=model.cards,
        allow_noncommercial=model.allow_noncommercial,
        max_pixels=settings.image.max_pixels,
        max_decode_bytes=max_decode_bytes,
    )
