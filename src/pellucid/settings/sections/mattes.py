"""How mattes are made: the model, and the work owed to it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pellucid.inference.runtime import Precision
from pellucid.models.cards import DEFAULT_MODEL
from pellucid.settings.types import GIB, MIB, Folder, Section
from pellucid.spec import Tier


class ModelSettings(Section):
    """The model and where it runs."""

    name: str = Field(default=DEFAULT_MODEL, description="The model card to use; see `pellucid models list`.")
    cards: Folder | None = Field(default=None, description="A TOML file with model cards of your own.")
    device: str = Field(default="CPU", description="The device of the runtime.")
    precision: Literal["auto"] | Precision = Field(
        default="auto",
        description="`f32`, `bf16`, `int8`, or `auto`: int8 where the model is calibrated for it, else bf16 where the "
        "CPU computes it. Name one if a fleet's machines differ.",
    )
    quality: Tier = Field(
        default=Tier.STANDARD, description="`fast`, `standard` or `best`: the tier of a URL that names no `bg_quality`."
    )
    threads: int = Field(default=0, ge=0, description="Threads per matte worker; 0: its share of the cores.")
    memory_bytes: int = Field(
        default=GIB,
        ge=512 * MIB,
        description="Memory that a matte worker may take for a picture, beside the loaded model; a picture that takes "
        "more is not cut out (`failed;reason=too-large`).",
    )
    allow_noncommercial: bool = Field(
        default=False, description="Use weights whose licence forbids commercial use or does not clearly allow it."
    )


class MatteSettings(Section):
    """What is made, and kept for good."""

    warn_bytes: int = Field(
        default=50 * GIB,
        ge=0,
        description="With more mattes than this on the disk, the log and `pellucid doctor` say so; `pellucid mattes "
        "prune` removes some. 0: never.",
    )


class QueueSettings(Section):
    """Work owed."""

    depth: int = Field(
        default=1000,
        gt=0,
        description="Removals that one customer may be owed; beyond that the answer is `busy`. Where several are owed "
        "some, each has an equal share.",
    )
    max_attempts: int = Field(default=3, gt=0, description="Attempts before a matte counts as failed.")
    job_timeout_s: float = Field(default=120, gt=0, description="A job that takes longer uses up an attempt.")
    wait_s: float = Field(
        default=21_600, gt=0, description="A removal that waits and that nobody asked for in so long is owed no more."
    )
    unserved_s: float = Field(
        default=600,
        gt=0,
        description="The same where no living worker makes such mattes (after a change of model or precision).",
    )
    lease_s: float = Field(default=30, gt=0, description="A silent worker loses its job after this long.")
