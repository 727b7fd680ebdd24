"""`pellucid cut`: files in, RGBA PNGs out."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pellucid.engine import Engine
from pellucid.errors import ImageError, SettingsError
from pellucid.formats import ImageFormat
from pellucid.image.encode import encode
from pellucid.image.vips import from_array
from pellucid.settings.cores import available_cores
from pellucid.settings.model import SettingsTree
from pellucid.wiring.engines import open_library_engine

_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif", ".gif", ".tif", ".tiff", ".bmp", ".ico", ".jp2"}
)
"""What is taken from a folder; a file that is named is tried whatever it is called."""


def cut_files(inputs: list[Path], output: Path, settings: SettingsTree) -> int:
    """Cut out every input into `output`/<stem>.png; returns 0, or 1 when some could not be cut.

    Raises SettingsError before any work when two inputs have one stem, when an input is missing, or when an output
    would replace an input.
    """
    targets = plan_targets(inputs, output)
    engine = open_library_engine(settings)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot make {output}: {error.strerror}") from error
    failed: list[str] = []
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar, ThreadPoolExecutor(available_cores()) as pool:
        task = bar.add_task("cutting", total=len(targets))
        # While the model works on one picture, the next is decoded and the one before written.
        owed = {pool.submit(_cut_one, engine, source, target): source for source, target in targets.items()}
        for done in as_completed(owed):
            source = owed[done]
            bar.update(task, description=source.name)
            try:
                if done.result():
                    console.print(f"{source}: nothing recognisable as a foreground", markup=False, soft_wrap=True)
            except (ImageError, OSError) as error:
                failed.append(f"{source}: {error}")
            bar.advance(task)
        bar.update(task, description="done")
    for line in failed:
        console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    return 1 if failed else 0


def _cut_one(engine: Engine, source: Path, target: Path) -> bool:
    """Write the cutout of `source` whole or not at all; True when nothing in it is recognisable as a foreground."""
    cutout = engine.cut(source.read_bytes())
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(encode(from_array(cutout.rgba()), format=ImageFormat.PNG, quality=None))
    part.replace(target)
    return cutout.empty


def plan_targets(inputs: list[Path], output: Path) -> dict[Path, Path]:
    """Input to output for every picture. Raises SettingsError on a missing input, one stem twice, or an output that
    would replace an input.
    """
    pictures = [picture for path in inputs for picture in _expand(path)]
    if not pictures:
        raise SettingsError("there are no pictures in " + ", ".join(str(path) for path in inputs))
    by_stem: defaultdict[str, list[Path]] = defaultdict(list)
    for picture in dict.fromkeys(pictures):
        by_stem[picture.stem].append(picture)
    twice = [" and ".join(str(path) for path in same) for same in by_stem.values() if len(same) > 1]
    if twice:
        raise SettingsError(
            "these would be written to one file; rename them or cut them into different folders:\n  "
            + "\n  ".join(twice)
        )
    targets = {same[0]: output / f"{stem}.png" for stem, same in by_stem.items()}
    for picture, target in targets.items():
        if target.exists() and target.samefile(picture):
            raise SettingsError(f"{target} would replace its own original; choose another folder with -o")
    return targets


def _expand(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file())
    if not path.is_file():
        raise SettingsError(f"{path} is not there")
    return [path]
