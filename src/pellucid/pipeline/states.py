"""Where a cutout stands, and what is answered: the values between the pipeline and HTTP. Pure."""

from __future__ import annotations

import enum
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from pellucid.image.box import Box
from pellucid.queue.values import DAMAGED, Failed, Pending, Receipt
from pellucid.source.origin import Origin
from pellucid.store.renditions import Rendition, RenditionSource


class CutoutState(enum.StrEnum):
    """Where a cutout stands; the words of the `Pellucid-Cutout` header."""

    PENDING = "pending"
    BUSY = "busy"
    READY = "ready"
    STALE = "stale"
    """The cutout of an older recipe, or of the origin's former bytes, while a new one is owed."""
    FAILED = "failed"
    NO_SUBJECT = "no-subject"
    NO_CREDITS = "no-credits"
    """The token's limit allows no further removal this month, or none for this picture (`CutoutStatus.reason`)."""
    UNASKED = "unasked"
    """Nobody asked for the picture yet; said by the status only, whose reader owes nothing."""


FINAL = frozenset({CutoutState.READY, CutoutState.FAILED, CutoutState.NO_SUBJECT, CutoutState.NO_CREDITS})
"""States that stay without a further request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a cutout costs its token: `price` if it were made now, `charged` when it was (0: not charged), `remaining`
    credits of the month where there is a limit, which begins anew at `resets_at` (seconds since the epoch).
    """

    price: int
    charged: int = 0
    remaining: int | None = None
    resets_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CutoutStatus:
    """The cutout of one request.

    `job` names the matte that is wished (and owed while it is not there); `matte` the one to apply now, None for the
    interim; `origin` the pixels that it fits. `receipt` is what the queue said; `confidence` belongs to `job`'s matte;
    `bill` is None when the database could not be asked. `reason` says why there are no credits, if it is not the limit,
    or why nothing is owed (`queue.values.DAMAGED`).
    `unregistered` = there was no room for a listener. `unknown` = the database is away: it may be there, and paid.
    """

    state: CutoutState
    job: str
    origin: Origin
    matte: str | None = None
    receipt: Receipt | None = None
    confidence: float | None = None
    subject: Box | None = None
    """The box of what `matte` keeps, in pixels of `origin`; None where that was not measured."""
    reason: str | None = None
    bill: Bill | None = None
    unregistered: bool = False
    unknown: bool = False

    def without_matte(self, origin: Origin) -> CutoutStatus:
        """The same where the matte that was to be shown cannot be read now: the interim, of `origin`. A pending one
        stays pending, one that was there is `busy`; it is neither owed again nor does it count as failed.
        """
        match self.state:
            case CutoutState.STALE if isinstance(self.receipt, Pending):
                state = CutoutState.PENDING
            case CutoutState.STALE | CutoutState.READY:
                state = CutoutState.BUSY
            case state:
                pass
        return replace(self, state=state, origin=origin, matte=None, confidence=None)

    @property
    def is_pending(self) -> bool:
        """Whether waiting can help."""
        return isinstance(self.receipt, Pending)

    @property
    def found_damaged(self) -> bool:
        """Whether a worker refused the origin's bytes because they are damaged."""
        return isinstance(self.receipt, Failed) and self.receipt.reason == DAMAGED


class Stages:
    """How long the stages of one answer took, in ms by name, in the order in which they began."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextmanager
    def measure(self, name: str) -> Generator[None]:
        """Add the time of the body to the stage `name`."""
        began = time.perf_counter()
        self.ms.setdefault(name, 0.0)
        try:
            yield
        finally:
            self.ms[name] += 1000 * (time.perf_counter() - began)


@dataclass(slots=True, kw_only=True)
class Dependence:
    """Which headers of its request an answer depends on, as far as is known by now. Filled in on the way, so that it
    holds for one that ends as an error, too.
    """

    negotiable: bool = False
    """`Accept`: the format could be negotiated."""
    waited: bool = False
    """The answer was held for the cutout's sake, because the URL or the caller asked for it."""
    waited_s: float | None = None
    """`Prefer`: the seconds that the caller would wait, where the answer was held."""

    def hold(self, max_wait_s: float) -> None:
        """The answer is held now; `max_wait_s` is what the caller would wait, 0 for nothing said."""
        self.waited = True
        self.waited_s = max_wait_s or None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """A picture to answer. `cutout` is None for a spec that removes nothing; `negotiable` asks for `Vary: Accept`;
    `waited` says that the answer was held for the cutout's sake.
    """

    rendition: Rendition
    found: RenditionSource
    origin: Origin
    negotiable: bool
    cutout: CutoutStatus | None
    waited: bool = False
    stages: Stages = field(default_factory=Stages, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusResult:
    """No picture: the caller asked for a status while the matte is owed."""

    cutout: CutoutStatus
    negotiable: bool
    waited_s: float | None = None
    """As in `Dependence`."""
