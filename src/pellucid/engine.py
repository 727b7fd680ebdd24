"""The engine: a model in memory, pictures in, mattes and cutouts out. Library, CLI and matte workers use it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from pellucid.cutout.edges import draw
from pellucid.cutout.graphics.recognise import may_be_graphic
from pellucid.cutout.graphs import find_graph
from pellucid.cutout.recipe import Recipe
from pellucid.cutout.refine import reduction
from pellucid.cutout.segment import CoarseMatte, Model, Scaled, segment
from pellucid.cutout.tiers import TIERS, Edges
from pellucid.cutout.without_model import FoundMatte, find_without_model
from pellucid.errors import DamagedImageError, ImageError, ImageLimitError, ModelUnavailableError
from pellucid.formats import ImageFormat
from pellucid.image.decode import Damage, Layers, decode_full, decode_layers
from pellucid.image.encode import encode
from pellucid.image.examine import examine
from pellucid.image.facts import ImageFacts
from pellucid.image.matte_file import pack_matte
from pellucid.image.planes import resampled_levels
from pellucid.image.probe import DEFAULT_MAX_DECODE_BYTES
from pellucid.image.vips import from_array, reduced, resample_in_place, to_array
from pellucid.inference.runtime import FloatArray, Precision, Session, describe_device
from pellucid.models.cards import DEFAULT_MODEL, ModelCard, find_cards
from pellucid.models.folder import default_models_dir
from pellucid.models.weights import require_pulled
from pellucid.render.foreground import WORKING_SIDE
from pellucid.render.steps.matte import apply_matte
from pellucid.spec import WHITE, Tier

DEFAULT_MAX_PIXELS = 100_000_000

_HALVINGS = 3

_SHOWN = 2
"""Where nothing needs more, a picture is decoded at so many times the largest input of its passes; each is reduced from
that. Alpha then differs from that of the whole picture by 0.003 in the mean over 30 photographs of 3 to 12 megapixels
(the worst by 0.033), and 0.15 % of the pixels change sides at one half."""

_OWN_GRAPHS = 2
"""Graphs of a model, each with the weights once more: one for each input size of a tier; where there are more sizes,
one for that of most passes, and one for any size, which takes 1.5 times as long."""

_LEAST_SHOWN = 512
"""Pixels a side: on smaller reductions flat graphics are not told."""


Picture = bytes | str | os.PathLike[str] | npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Cutout:
    """A picture and its matte, both upright at the picture's own size.

    `photo`: uint8, H x W x 3 or 4 (straight alpha), sRGB, the picture as it is. `matte_hw`: uint8, H x W, what the
    model and its refinement say, or the picture without them (`cutout.without_model`). `empty`: nothing was
    recognisable as a foreground. `confidence`: the probability, in [0, 1], that the matte's IoU with the truth is at
    least 0.9. `damaged`: the file is cut short or corrupt, and part of the picture is missing.
    """

    photo: npt.NDArray[np.uint8]
    matte_hw: npt.NDArray[np.uint8]
    confidence: float
    empty: bool
    damaged: bool = False
    _working_side: int = field(default=WORKING_SIDE, repr=False)

    @cached_property
    def matte(self) -> FloatArray:
        """The alpha of the foreground: float32, H x W, [0, 1]; the picture's own alpha is multiplied in."""
        return self._rgba[:, :, 3].astype(np.float32) / np.float32(255)

    @cached_property
    def _rgba(self) -> npt.NDArray[np.uint8]:
        return apply_matte(self.photo, self.matte_hw, working_side=self._working_side)

    def rgba(self) -> npt.NDArray[np.uint8]:
        """The subject without its background: uint8, H x W x 4, sRGB, straight alpha, edge colours estimated."""
        return self._rgba.copy()


class Engine:
    """One model on one device, in every tier. Calls of several threads take turns at the model; weights stay in memory
    with it.
    """

    def __init__(
        self,
        *,
        models_dir: Path | None = None,
        model: str = DEFAULT_MODEL,
        device: str = "CPU",
        precision: str = "auto",
        quality: Tier | str = Tier.STANDARD,
        threads: int = 0,
        streams: int = 1,
        compiled_dir: Path | None = None,
        cards: Path | None = None,
        allow_noncommercial: bool = False,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        max_decode_bytes: int = DEFAULT_MAX_DECODE_BYTES,
    ) -> None:
        """Load `model` from `models_dir` (None: the user's cache folder).

        Pictures of more than `max_pixels`, or whose decoding would take more than `max_decode_bytes` of memory, are
        refused. `quality` (fast, standard, best) is the tier where none is named. `threads` 0 leaves the number to the
        runtime. With two `streams` two pictures are looked at side by side, each by half of the threads: more pictures
        in the same time where several threads call. `compiled_dir` keeps the compiled model between starts. Raises
        ModelUnavailableError when the weights are missing, damaged or not licensed for the use, DeviceUnavailableError
        when `device` is not there, ValueError when there is no such `quality`, or
        for less than one stream.
        """
        tier = Tier(quality)
        cards_used = find_cards(model, extra=cards)
        self.card = cards_used[0]
        for card in cards_used:
            if not (card.commercial_use or allow_noncommercial):
                raise ModelUnavailableError(
                    f"the weights of {card.name} are not cleared for commercial use (licence: {card.licence}); "
                    "PELLUCID_MODEL_ALLOW_NONCOMMERCIAL=true, in Python allow_noncommercial=True, accepts that"
                )
        models_dir = models_dir or default_models_dir()
        require_pulled(cards_used, models_dir)
        self.device = describe_device(device)
        self.max_pixels = max_pixels
        self.max_decode_bytes = max_decode_bytes
        precisions: dict[str, Precision] = {}
        self._models: dict[str, Model] = {}
        for card in cards_used:
            precisions[card.name], graph = find_graph(card, models_dir, requested=precision, device=self.device)
            sizes, others = _graph_sizes(self.card, card, tier, precisions[card.name])
            session = Session(
                graph,
                device=device,
                precision=precisions[card.name],
                threads=threads,
                cache_dir=compiled_dir,
                sizes=sizes,
                others=others,
                streams=streams,
            )
            self._models[card.name] = Model(card=card, session=session)
        self.recipe = Recipe(model=model, precision=precisions[model], tier=tier)

    def segment(self, rgb_hwc: npt.NDArray[np.uint8], *, tier: Tier | None = None) -> CoarseMatte:
        """The coarse matte of pixels of any size (uint8, H x W x 3, sRGB)."""
        return self._segment(_scaler(rgb_hwc), tier)

    def make_matte(self, data: bytes, facts: ImageFacts, *, tier: Tier | None = None) -> bytes:
        """The stored form (`image.matte_file`) of the matte of an encoded picture. Raises ImageError, DamagedImageError
        also for a damaged file of which something could be shown: its matte would be kept and charged.
        """
        found = self._find(data, facts, tier)
        matte = found.matte_hw
        if matte.shape != (facts.height, facts.width):
            levels = matte.astype(np.float32) * np.float32(1 / 255)
            matte = resampled_levels(levels, width=facts.width, height=facts.height)
        return pack_matte(
            matte,
            width=facts.width,
            height=facts.height,
            confidence=found.confidence,
            empty=found.empty,
            recipe_id=self.recipe.by_tier[tier or self.recipe.tier].id,
        )

    def cut(self, image: Picture, *, tier: Tier | None = None) -> Cutout:
        """Cut out the subject of a picture: encoded bytes (JPEG, PNG, WebP, AVIF, HEIC, GIF, TIFF, BMP, SVG ...), the
        path of such a file, or pixels (uint8, H x W x 3 or 4, sRGB, straight alpha).

        Raises ImageError when `image` is no usable picture, OSError when the file cannot be read.
        """
        photo, damaged = self._pixels(image)
        if photo.shape[2] == 3:
            found = self._matte(photo, None, tier)
        else:
            rgb = to_array(from_array(photo).flatten(background=WHITE.rgb))
            found = self._matte(rgb, np.ascontiguousarray(photo[..., 3]), tier)
        return Cutout(
            photo=photo,
            matte_hw=found.matte_hw,
            confidence=found.confidence,
            empty=found.empty,
            damaged=damaged,
            _working_side=TIERS[tier or self.recipe.tier].working_side,
        )

    def cut_png(self, image: Picture, *, tier: Tier | None = None) -> bytes:
        """`cut(image).rgba()` as a PNG file. Raises as `cut` does."""
        cutout = self.cut(image, tier=tier)
        working_side = TIERS[tier or self.recipe.tier].working_side
        rgba = apply_matte(cutout.photo, cutout.matte_hw, working_side=working_side)
        return encode(from_array(rgba), format=ImageFormat.PNG, quality=None)

    def _segment(self, scaled: Scaled, tier: Tier | None) -> CoarseMatte:
        return segment(scaled, models=self._models, card=self.card, tier=tier or self.recipe.tier)

    def _largest_input(self, tier: Tier | None) -> tuple[int, int]:
        """(width, height) of the largest input among the passes of a tier."""
        passes = self.card.passes_of(tier or self.recipe.tier)
        sizes = [self._models[each.model or self.card.name].card.input_size(each.side) for each in passes]
        return max(width for width, _ in sizes), max(height for _, height in sizes)

    def _find(self, data: bytes, facts: ImageFacts, tier: Tier | None) -> FoundMatte:
        """The matte of an encoded picture, at its own size or smaller."""
        if TIERS[tier or self.recipe.tier].edges is Edges.ENLARGED and not facts.has_alpha:
            # Nothing needs the pixels at full size: JPEG and JPEG 2000 shrink while they decode.
            width, height = (max(_SHOWN * side, _LEAST_SHOWN) for side in self._largest_input(tier))
            small, _ = self._decoded(data, facts, min(width, facts.width), min(height, facts.height))
            if not may_be_graphic(small):
                coarse = self._segment(_scaler(small), tier)
                matte = resampled_levels(coarse.alpha_hw, width=facts.width, height=facts.height)
                return FoundMatte(matte, coarse.confidence, coarse.empty)
        return self._matte(*self._largest(data, facts), tier)

    def _matte(self, rgb: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8] | None, tier: Tier | None) -> FoundMatte:
        """The matte at the size of `rgb` (uint8, H x W x 3, over white); `alpha`: the picture's own (uint8, H x W)."""
        return find_without_model(rgb, alpha, lambda pixels: self._matte_by_model(pixels, tier))

    def _matte_by_model(self, rgb: npt.NDArray[np.uint8], tier: Tier | None) -> FoundMatte:
        height, width = rgb.shape[:2]
        factor = reduction(width, height)
        small = reduced(rgb, factor)
        coarse = self._segment(_scaler(small, rgb), tier)
        matte = draw(rgb, small, coarse.alpha_hw, TIERS[tier or self.recipe.tier].edges)
        return FoundMatte(matte, coarse.confidence, coarse.empty)

    def _pixels(self, image: Picture) -> tuple[npt.NDArray[np.uint8], bool]:
        """The picture, and whether its file is damaged."""
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or image.size == 0:
                raise ImageError(f"pixels must be uint8, H x W x 3 or 4, not {image.dtype} {image.shape}")
            if image.shape[0] * image.shape[1] > self.max_pixels:
                raise ImageError(f"the picture has more than {self.max_pixels} pixels")
            return image, False
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
        facts = examine(data, max_pixels=self.max_pixels, max_bytes=self.max_decode_bytes)
        damage = Damage()
        decoded = decode_full(data, facts, max_bytes=self.max_decode_bytes, on_damage=damage.note)
        return to_array(decoded), damage.noted

    def _largest(self, data: bytes, facts: ImageFacts) -> Layers:
        """The picture at its own size; at a half, a quarter, an eighth of it where more would take too much memory.

        Edges are then drawn along coarser contours, which beats none at all.
        """
        for halvings in range(_HALVINGS):
            # What it takes is known before anything is decoded: a refusal costs nothing.
            with suppress(ImageLimitError):
                return self._decoded(data, facts, facts.width >> halvings or 1, facts.height >> halvings or 1)
        return self._decoded(data, facts, facts.width >> _HALVINGS or 1, facts.height >> _HALVINGS or 1)

    def _decoded(self, data: bytes, facts: ImageFacts, width: int, height: int) -> Layers:
        return decode_layers(
            data, facts, width=width, height=height, max_bytes=self.max_decode_bytes, on_damage=_refuse_damaged
        )


def _graph_sizes(
    card: ModelCard, shown: ModelCard, tier: Tier, precision: Precision
) -> tuple[list[tuple[int, int]], bool]:
    """The input sizes of `shown` that get a graph of their own, and whether one for any other is made at the start: in
    an engine for `card` that is mostly asked for `tier`.
    """
    used = [shown.input_size(each.side) for each in card.passes_of(tier) if (each.model or card.name) == shown.name]
    if precision is not Precision.INT8 and shown.resizable:
        return [], True
    sizes = sorted(dict.fromkeys(used), key=used.count, reverse=True)
    if len(sizes) <= _OWN_GRAPHS:
        return sizes, False
    return sizes[: _OWN_GRAPHS - 1], shown.resizable


def _refuse_damaged() -> NoReturn:
    raise DamagedImageError("the file is damaged or cut short")


def _scaler(*pictures: npt.NDArray[np.uint8]) -> Scaled:
    """Resamples from the first of `pictures` (one picture, smallest first) that need not be enlarged, else the last."""

    def scaled(width: int, height: int) -> npt.NDArray[np.uint8]:
        source = next((each for each in pictures if each.shape[0] >= height and each.shape[1] >= width), pictures[-1])
        return to_array(resample_in_place(from_array(source), width=width, height=height, kernel="lanczos3"))

    return scaled
