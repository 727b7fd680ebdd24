"""`pellucid models optimize`: a model's int8 ranges found anew on a user's own photographs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pellucid.cli.words import counted
from pellucid.errors import ImageError, ModelUnavailableError, SettingsError
from pellucid.models.calibration import Calibration, load_calibration, save_own_calibration
from pellucid.models.cards import find_card
from pellucid.models.weights import verify
from pellucid.system.extras import install_command

if TYPE_CHECKING:
    from pellucid.cutout.calibrate import Agreement, Pixels
    from pellucid.settings.model import SettingsTree

_MOST_PHOTOS = 400
"""More are thinned out evenly: 300 to calibrate on, as NNCF has it, and 100 held out."""

_LEAST_PHOTOS = 8
_HELD_OUT = 4
"""Every fourth is held out."""

_RANKED_ON = 4
"""Photos on which layers are ranked: each takes a run of the model for every layer."""


def optimise(name: str, folder: Path, *, keep_float: int | None, settings: SettingsTree) -> int:
    """Calibrate the model `name` on the photos in `folder`, compare with f32, install unless it is worse.

    Returns 0 when installed, 1 when refused. `keep_float`: how many layers stay in floating point, those that change
    the matte most; None: those of the present calibration. Raises SettingsError when the extra is not installed or
    `folder` holds too few photos, ModelUnavailableError when the weights are missing or cannot be quantised.
    """
    if find_spec("nncf") is None:
        raise SettingsError(f"`pellucid models optimize` needs its extra: {install_command('optimize')}")
    from pellucid.cutout import calibrate  # noqa: PLC0415 - the runtime's imports
    from pellucid.cutout.quantise import build_int8, remove_other_graphs  # noqa: PLC0415

    card = find_card(name, extra=settings.model.cards)
    models_dir = settings.models_dir
    weights = verify(card, models_dir)
    present = load_calibration(card, models_dir)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    side = calibrate.calibration_side(card)
    photos, skipped = read_photos(folder, side=side, max_pixels=settings.image.max_pixels)
    held_out = photos[_HELD_OUT - 1 :: _HELD_OUT]
    used = [photo for at, photo in enumerate(photos) if at % _HELD_OUT != _HELD_OUT - 1]
    others = counted(len(skipped), "file is no picture", "files are no pictures")
    console.print(f"{len(used)} photos to calibrate on, {len(held_out)} held out, {others}")

    described = f"{len(used)} photos of the user's and their mirror images, at {side} x {side}"
    new = calibrate.calibrate(weights, card, used, described=described)
    if keep_float is None:
        floating = present.floating if present is not None else ()
    else:
        floating = _most_harmful(
            keep_float, lambda tell: calibrate.layer_errors(weights, card, used[:_RANKED_ON], tell)
        )
    new = msgspec.structs.replace(new, floating=floating)
    if floating:
        console.print(f"in floating point: {', '.join(floating)}")

    with tempfile.TemporaryDirectory(prefix=".optimise-", dir=models_dir) as scratch:

        def agreement(calibration: Calibration) -> Agreement:
            return calibrate.compare(weights, build_int8(weights, calibration, Path(scratch)), card, held_out)

        before = agreement(present) if present is not None else None
        after = agreement(new)
    console.print(f"against f32 on the {len(held_out)} held out:  IoU of the masks  mean difference of the alpha")
    if before is not None:
        console.print(f"  before  {before.iou:.4f}  {before.difference:.5f}")
    console.print(f"  after   {after.iou:.4f}  {after.difference:.5f}")
    if (reason := calibrate.objection(after, before)) is not None:
        hint = "more photos, or a larger --keep-float, may help"
        console.print(f"not installed: {reason}; nothing was changed; {hint}", style="red")
        return 1
    graph = build_int8(weights, new, models_dir)
    try:
        path = save_own_calibration(new, card, models_dir)
        remove_other_graphs(card, models_dir, new)
    except OSError as error:
        raise ModelUnavailableError(f"the calibration cannot be kept in {models_dir}: {error.strerror}") from error
    console.print(f"installed: {graph}, from {path}; delete that file to go back to the one that comes with Pellucid")
    return 0


def read_photos(folder: Path, *, side: int, max_pixels: int) -> tuple[list[Pixels], list[Path]]:
    """Photos of `folder` in order of their names, side x side, at most 400; and the files that are no pictures.

    Raises SettingsError when there are fewer than 8 or `folder` cannot be read.
    """
    from pellucid.image.decode import decode_layers  # noqa: PLC0415 - loads libvips
    from pellucid.image.probe import probe  # noqa: PLC0415

    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise SettingsError(f"{folder} cannot be read: {error.strerror}") from error
    photos: list[Pixels] = []
    skipped: list[Path] = []
    for path in _thinned(files):
        try:
            data = path.read_bytes()
            facts = probe(data, max_pixels=max_pixels)
            photos.append(decode_layers(data, facts, width=side, height=side)[0])
        except (ImageError, OSError):
            skipped.append(path)
    if len(photos) < _LEAST_PHOTOS:
        raise SettingsError(
            f"{folder} holds {counted(len(photos), 'picture')}; at least {_LEAST_PHOTOS} are needed, better 40"
        )
    return photos, skipped


def _thinned(files: Sequence[Path]) -> Sequence[Path]:
    if len(files) <= _MOST_PHOTOS:
        return files
    return [files[at * len(files) // _MOST_PHOTOS] for at in range(_MOST_PHOTOS)]


def _most_harmful(count: int, rank: Callable[[Callable[[int, int], None]], dict[str, float]]) -> tuple[str, ...]:
    if count == 0:
        return ()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("layers", total=None)
        errors = rank(lambda done, total: bar.update(task, completed=done, total=total))
    return tuple(list(errors)[:count])
