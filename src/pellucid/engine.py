"""The engine: a model in memory, pictures in, mattes and cutouts out. Library, CLI and matte workers use it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pellucid.cutout.recipe import Recipe
from pellucid.cutout.runtime import DeviceInfo, FloatArray, Precision, Session, describe_device
from pellucid.cutout.segment import CoarseMatte, segment
from pellucid.errors import ImageError, ModelUnavailableError
from pellucid.folders import default_models_dir
from pellucid.formats import ImageFormat
from pellucid.image.decode import decode_full, decode_rgb_array
from pellucid.image.encode import encode
from pellucid.image.facts import ImageFacts
from pellucid.image.matte_file import matte_at, pack_matte, unpack_header
from pellucid.image.probe import probe
from pellucid.image.vips import from_array, to_array
from pellucid.models.cards import DEFAULT_MODEL, find_card
from pellucid.models.weights import is_pulled
from pellucid.render.cutting import cut_out

DEFAULT_MAX_PIXELS = 100_000_000


Picture = bytes | str | os.PathLike[str] | npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Cutout:
    """A picture and its matte, both upright at the picture's own size.

    `photo`: uint8, H x W x 3 or 4 (straight alpha), sRGB, the picture as it is. `matte_hw`: uint8, H x W, what the
    model and its refinement say. `empty`: nothing was recognisable as a foreground. `confidence`: [0, 1], uncalibrated.
    """

    photo: npt.NDArray[np.uint8]
    matte_hw: npt.NDArray[np.uint8]
    confidence: float
    empty: bool

    @cached_property
    def matte(self) -> FloatArray:
        """The alpha of the foreground: float32, H x W, [0, 1]; the picture's own alpha is multiplied in."""
        return self._rgba[:, :, 3].astype(np.float32) / np.float32(255)

    @cached_property
    def _rgba(self) -> npt.NDArray[np.uint8]:
        return cut_out(self.photo, self.matte_hw)

    def rgba(self) -> npt.NDArray[np.uint8]:
        """The subject without its background: uint8, H x W x 4, sRGB, straight alpha, edge colours estimated."""
        return self._rgba.copy()


def resolve_precision(precision: str, device: DeviceInfo) -> Precision:
    """`auto` as what `device` computes fastest at equal scores; anything else as it is named."""
    if precision == "auto":
        return Precision.BF16 if Precision.BF16 in device.precisions else Precision.F32
    return Precision(precision)


class Engine:
    """One model on one device. Calls of several threads take turns at the model; weights stay in memory with it."""

    def __init__(
        self,
        *,
        models_dir: Path | None = None,
        model: str = DEFAULT_MODEL,
        device: str = "CPU",
        precision: str = "auto",
        threads: int = 0,
        compiled_dir: Path | None = None,
        cards: Path | None = None,
        allow_noncommercial: bool = False,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        """Load `model` from `models_dir` (None: the user's cache folder).

        `threads` 0 leaves the number to the runtime; `compiled_dir` keeps the compiled model between starts. Raises
        ModelUnavailableError when the weights are missing, damaged or not licensed for the use, DeviceUnavailableError
        when `device` is not there.
        """
        self.card = find_card(model, extra=cards)
        if not (self.card.commercial_use or allow_noncommercial):
            raise ModelUnavailableError(
                f"the weights of {model} are licensed as {self.card.licence}, not for commercial use; "
                "PELLUCID_MODEL_ALLOW_NONCOMMERCIAL=true accepts that"
            )
        models_dir = models_dir or default_models_dir()
        if not is_pulled(self.card, models_dir):
            raise ModelUnavailableError(
                f"the weights of {model} are not in {models_dir}; run `pellucid models pull {model}`"
            )
        self.device = describe_device(device)
        self.recipe = Recipe(model=model, precision=resolve_precision(precision, self.device))
        self.max_pixels = max_pixels
        self._session = Session(
            self.card.path_in(models_dir),
            device=device,
            precision=self.recipe.precision,
            threads=threads,
            cache_dir=compiled_dir,
        )

    def segment(self, rgb_hwc: npt.NDArray[np.uint8]) -> CoarseMatte:
        """The coarse matte of pixels at the model's input size (uint8, H x W x 3, sRGB)."""
        return segment(rgb_hwc, session=self._session, card=self.card)

    def make_matte(self, data: bytes, facts: ImageFacts) -> bytes:
        """The stored form (`image.matte_file`) of the matte of an encoded picture. Raises ImageError."""
        rgb = decode_rgb_array(data, facts, width=self.card.input_width, height=self.card.input_height)
        coarse = self.segment(rgb)
        return pack_matte(
            coarse.alpha_hw,
            width=facts.width,
            height=facts.height,
            confidence=coarse.confidence,
            empty=coarse.empty,
            recipe_id=self.recipe.id,
        )

    def cut(self, image: Picture) -> Cutout:
        """Cut out the subject of a picture: encoded bytes (JPEG, PNG, WebP, AVIF, HEIC, GIF, TIFF, BMP, SVG ...), the
        path of such a file, or pixels (uint8, H x W x 3 or 4, sRGB, straight alpha).

        Raises ImageError when `image` is no usable picture, OSError when the file cannot be read.
        """
        data = _encoded(image)
        facts = probe(data, max_pixels=self.max_pixels)
        blob = self.make_matte(data, facts)
        header = unpack_header(blob)
        return Cutout(
            photo=to_array(decode_full(data, facts)),
            matte_hw=to_array(matte_at(blob, width=facts.width, height=facts.height))[:, :, 0],
            confidence=header.confidence,
            empty=header.empty,
        )


def _encoded(image: Picture) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or image.size == 0:
            raise ImageError(f"pixels must be uint8, H x W x 3 or 4, not {image.dtype} {image.shape}")
        return encode(from_array(image), format=ImageFormat.PNG, quality=None)
    return Path(image).read_bytes()
