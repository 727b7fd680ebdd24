"""A folder of pictures by each program's command, start-up included, the programs taking turns."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from comparison.commands import folder_command, run_watched
from comparison.pictures import Pictures
from comparison.progress import say
from comparison.results import REMBG, Folder
from comparison.sides import Programs


def measure_folder(tiers: list[str], programs: Programs, pictures: Pictures, *, count: int, rounds: int) -> Folder:
    """`rounds` runs of each side over `count` pictures of 1 megapixel. Raises RuntimeError when a command fails or
    leaves a picture out.
    """
    found = Folder(pictures=count, runs={side: [] for side in [REMBG, *tiers]})
    with TemporaryDirectory(prefix="folder-") as name:
        source = Path(name, "in")
        source.mkdir()
        for number, picture in enumerate(pictures.jpegs(count, 1)):
            (source / f"{number:03}.jpg").write_bytes(picture)
        for turn in range(rounds):
            for side, runs in found.runs.items():
                say(f"folder: {side}, round {turn + 1} of {rounds}")
                with TemporaryDirectory(prefix="folder-out-") as out:
                    runs.append(run_watched(folder_command(side, programs, source, Path(out)), programs))
                    written = len(list(Path(out).glob("*.png")))
                if written != count:
                    raise RuntimeError(f"{side} wrote {written} of {count} pictures")
    return found
