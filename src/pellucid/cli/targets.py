"""Which pictures `pellucid cut` cuts, and where each result goes: settled before any work."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from pellucid.errors import SettingsError
from pellucid.formats import WRITABLE, ImageFormat

WRITTEN_AS = {f".{format_.extension}": format_ for format_ in sorted(WRITABLE)} | {".jpeg": ImageFormat.JPEG}
"""The format of a result by its ending."""

_TAKEN = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif", ".gif", ".tif", ".tiff", ".bmp", ".ico", ".jp2"}
)
"""What is taken from a folder; a file that is named is tried whatever it is called."""

_LISTED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One picture and the file that its cutout becomes."""

    source: Path
    target: Path
    format: ImageFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`present` are targets that are there already and stay as they are, `hidden` pictures that folders hide: what
    macOS writes beside each file on a foreign disk (`._mug.jpg`) is no picture.
    """

    jobs: tuple[Job, ...]
    present: tuple[Path, ...]
    hidden: tuple[Path, ...]


def plan_targets(inputs: list[Path], output: str, *, overwrite: bool) -> Plan:
    """What is to be done. `output` is a file for one picture, if it ends like one, and else a folder.

    Raises SettingsError when an input is missing, two would be written to one file, a result would replace an input,
    or `output` is of the wrong kind.
    """
    pictures, hidden = _find_pictures(inputs)
    single = len(pictures) == 1 and not any(path.is_dir() for path in inputs)
    place = _place(output, single=single)
    file_format = WRITTEN_AS.get(place.suffix.lower()) if single and not _is_folder(output) else None
    if file_format is not None:
        jobs = [Job(source=pictures[0], target=place, format=file_format)]
    else:
        jobs = [
            Job(source=each, target=place / f"{each.stem}.png", format=ImageFormat.PNG)
            for each in _of_different_stems(pictures)
        ]
    _refuse_targets(jobs, pictures)
    present = [] if overwrite else [job.target for job in jobs if os.path.lexists(job.target)]
    return Plan(
        jobs=tuple(job for job in jobs if job.target not in present), present=tuple(present), hidden=tuple(hidden)
    )


def name_some(paths: Collection[Path]) -> str:
    """Some of the paths, and how many there are beyond."""
    more = f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else ""
    return ", ".join(str(path) for path in list(paths)[:_LISTED]) + more


def _is_folder(output: str) -> bool:
    return output.endswith(tuple(filter(None, (os.sep, os.altsep)))) or Path(output).is_dir()


def _place(output: str, *, single: bool) -> Path:
    """`output`, unless it is neither a file that can be written nor a folder."""
    place = Path(output)
    if not output:
        raise SettingsError("-o names nothing; name a folder, or for one picture a file such as cutout.png")
    if _is_folder(output):
        if place.exists() and not place.is_dir():
            raise SettingsError(f"{place} is a file, no folder")
        return place
    ending = place.suffix.lower()
    if single and ending in WRITTEN_AS:
        return place
    if single and (ending or place.exists()):
        endings = ", ".join(WRITTEN_AS)
        raise SettingsError(
            f"{place} cannot be written: a result ends in one of {endings}; a folder is named with a slash, {place}/"
        )
    if place.exists():
        raise SettingsError(f"{place} is a file; several pictures are written into a folder")
    if ending in WRITTEN_AS or ending in _TAKEN:
        raise SettingsError(
            f"{place} is the name of one file; several pictures are written into a folder. If it is called so, "
            f"write {place}/"
        )
    return place


def _find_pictures(inputs: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """The files that are named and those in the folders, each once; and what is hidden in the folders."""
    pictures: dict[Path, Path] = {}
    hidden: list[Path] = []
    missing: list[str] = []
    for path in inputs:
        if path.is_dir():
            found, left_out = _look_into(path)
            hidden += left_out
        elif path.is_file():
            found = [path]
        else:
            missing.append(f"{path} is no file" if path.exists() else f"{path} is not there")
            continue
        for each in found:
            pictures.setdefault(each.parent.resolve() / each.name, each)
    if missing:
        raise SettingsError("\n".join(missing))
    if not pictures:
        but = f" (but hidden files: {name_some(hidden)})" if hidden else ""
        raise SettingsError(f"there are no pictures in {', '.join(map(str, inputs))}{but}")
    return list(pictures.values()), hidden


def _look_into(folder: Path) -> tuple[list[Path], list[Path]]:
    """Pictures by their names, and those among them that are hidden."""
    try:
        found = sorted(file for file in folder.iterdir() if file.suffix.lower() in _TAKEN and file.is_file())
    except OSError as error:
        raise SettingsError(f"the folder {folder} cannot be read: {error.strerror}") from error
    hidden = [file for file in found if file.name.startswith(".")]
    return [file for file in found if not file.name.startswith(".")], hidden


def _of_different_stems(pictures: list[Path]) -> list[Path]:
    by_stem: defaultdict[str, list[Path]] = defaultdict(list)
    for picture in pictures:
        by_stem[picture.stem].append(picture)
    twice = [" and ".join(map(str, same)) for same in by_stem.values() if len(same) > 1]
    if twice:
        raise SettingsError(
            "these would be written to one file; rename them or cut them into different folders:\n  "
            + "\n  ".join(twice)
        )
    return pictures


def _refuse_targets(jobs: Iterable[Job], pictures: Iterable[Path]) -> None:
    """Refuse what would replace an input, by whichever name or link, or something that is no file."""
    sources = {(status.st_dev, status.st_ino) for status in (path.stat() for path in pictures)}
    for job in jobs:
        if not job.target.exists():
            continue
        status = job.target.stat()
        if (status.st_dev, status.st_ino) in sources:
            raise SettingsError(
                f"{job.target} is a picture that is to be cut, and is never replaced; name another place with -o"
            )
        if not job.target.is_file():
            raise SettingsError(f"{job.target} is there and is no file; name another place with -o")
