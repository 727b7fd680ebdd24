"""The models that look for insights, loaded when they are first needed, one thread each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pellucid.inference.runtime import Precision, Session
from pellucid.insights import faces, salience
from pellucid.insights.values import Area, Salience
from pellucid.models.cards import FACES_MODEL, SALIENCE_MODEL, ModelCard, find_card

if TYPE_CHECKING:
    from numpy.typing import NDArray

Scaled = Callable[[int, int], "NDArray[np.uint8]"]
"""The image at (width, height): (height, width, 3) uint8 sRGB."""


class Detectors:
    """Finds faces and the salient object. A model whose weights are not in `models_dir` (None: any) finds nothing."""

    def __init__(self, models_dir: Path | None) -> None:
        self._models_dir = models_dir

    def find_faces(self, scaled: Scaled, *, width: int, height: int) -> tuple[Area, ...] | None:
        """The faces of an image of `width` x `height`, largest first; None without the model."""
        session = self._faces
        if session is None:
            return None

        def look(side: int) -> list[Area]:
            size = fitted(width, height, side)
            return faces.decode(session.run_all(faces.detector_input(scaled(*size), side)), size)

        return faces.together(look(faces.COARSE), look(faces.FINE), (width, height))

    @property
    def sees_objects(self) -> bool:
        """Whether the model of `find_salience` is there."""
        return self._salience is not None

    def find_salience(self, scaled: Scaled) -> Salience | None:
        """Where the most prominent object is; None where there is none, or no model."""
        if self._salience is None:
            return None
        card, session = self._salience
        pixels = scaled(salience.SIDE, salience.SIDE).astype(np.float32) / np.float32(255)
        normalised = (pixels - np.array(card.mean, np.float32)) / np.array(card.std, np.float32)
        batch = np.ascontiguousarray(normalised.transpose(2, 0, 1)[np.newaxis])
        return salience.salience_of(session.run(batch)[0, 0])

    @cached_property
    def _faces(self) -> Session | None:
        sides = ((faces.COARSE, faces.COARSE), (faces.FINE, faces.FINE))
        return self._session(find_card(FACES_MODEL), sides)

    @cached_property
    def _salience(self) -> tuple[ModelCard, Session] | None:
        card = find_card(SALIENCE_MODEL)
        session = self._session(card, ((salience.SIDE, salience.SIDE),))
        return None if session is None else (card, session)

    def _session(self, card: ModelCard, sizes: tuple[tuple[int, int], ...]) -> Session | None:
        if self._models_dir is None or not (weights := card.path_in(self._models_dir)).is_file():
            return None
        return Session(
            weights,
            device="CPU",
            precision=Precision.F32,
            threads=1,
            cache_dir=self._models_dir / "compiled",
            sizes=sizes,
        )


def fitted(width: int, height: int, side: int) -> tuple[int, int]:
    """`width` and `height` scaled so that the longer one is `side`; at least one pixel each."""
    longer = max(width, height)
    return max(1, round(width * side / longer)), max(1, round(height * side / longer))
