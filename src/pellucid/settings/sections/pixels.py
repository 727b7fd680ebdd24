"""Limits on pictures, and the processes that decode and render them."""

from __future__ import annotations

from pydantic import Field

from pellucid.settings.cores import half_the_cores
from pellucid.settings.types import GIB, MIB, NegotiatedFormats, Section


class ImageSettings(Section):
    """Limits on pictures, checked on headers before anything is decoded."""

    max_pixels: int = Field(default=100_000_000, gt=0, description="Largest origin, in pixels.")
    max_output_pixels: int = Field(default=50_000_000, gt=0, description="Largest rendition, in pixels.")
    max_enlarged_pixels: int = Field(
        default=16_000_000,
        gt=0,
        description="Largest rendition that has more pixels than its origin.",
    )
    max_decode_bytes: int = Field(
        default=768 * MIB,
        ge=32 * MIB,
        description="Memory that decoding an origin may take, estimated from its header; beyond that: 422.",
    )
    negotiate: NegotiatedFormats = Field(
        default=("webp", "avif"),
        description="Formats that opaque pictures are sent in, instead of their origins', to those who name them in "
        "`Accept` ([when](formats.md#what-is-sent-to-whom)); empty: none, so that these URLs have no `Vary`.",
    )


class RenderSettings(Section):
    """The pool of processes that decode and render."""

    processes: int = Field(
        default_factory=half_the_cores,
        gt=0,
        description="Render processes per web process; large renditions have one more, started when one is asked for.",
    )
    max_waiting: int = Field(
        default=256,
        gt=0,
        description="Renditions that may wait, and as many large ones; beyond that the answer is 503.",
    )
    wait_s: float = Field(default=30, gt=0, description="Seconds that a rendition may wait; then the answer is 503.")
    timeout_s: float = Field(
        default=20,
        gt=0,
        description="A rendition that is worked on for longer is given up, its process replaced.",
    )
    memory_bytes: int = Field(
        default=GIB,
        ge=256 * MIB,
        description="Resident memory of a render process; one that has more is ended, its picture answered with 422.",
    )
