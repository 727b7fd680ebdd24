"""The seam to the inference runtime: OpenVINO on the CPU. The only module that imports it."""

from __future__ import annotations

import contextlib
import enum
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from pellucid.errors import DeviceUnavailableError, ModelUnavailableError

FloatArray = npt.NDArray[np.float32]


class Precision(enum.StrEnum):
    """Arithmetic of the model. It changes pixels, so it is part of the recipe."""

    F32 = "f32"
    BF16 = "bf16"
    """Same scores as f32 on 300 photos and about half its time where the CPU computes it; 5 times as fast with AMX."""


_HINTS = {Precision.F32: "f32", Precision.BF16: "bf16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """A device as the runtime describes it."""

    name: str
    full_name: str
    precisions: tuple[Precision, ...]


def describe_device(name: str = "CPU") -> DeviceInfo:
    """What `name` is and computes. Raises DeviceUnavailableError when the runtime does not know it."""
    core = _core()
    try:
        capabilities: list[str] = core.get_property(name, "OPTIMIZATION_CAPABILITIES")
        full_name: str = core.get_property(name, "FULL_DEVICE_NAME")
    except RuntimeError as error:
        known = ", ".join(core.available_devices)
        raise DeviceUnavailableError(f"there is no device called {name!r}; there are: {known}") from error
    precisions = (Precision.F32, Precision.BF16) if "BF16" in capabilities else (Precision.F32,)
    return DeviceInfo(name=name, full_name=full_name, precisions=precisions)


class Session:
    """One model, loaded and compiled for one device. Calls of several threads take turns."""

    def __init__(
        self, weights: Path, *, device: str, precision: Precision, threads: int, cache_dir: Path | None
    ) -> None:
        """Compile `weights` (ONNX). `threads` 0 leaves the number to the runtime. `cache_dir` keeps the compiled model:
        0.1 to 0.2 s for u2net at the second start instead of 1.5 to 2 s.

        Raises ModelUnavailableError when the file is no model, DeviceUnavailableError when the device refuses it.
        """
        self._lock = threading.Lock()
        core = _core()
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _HINTS[precision]}
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        if cache_dir is not None:
            # Where it cannot be written (weights in a read-only image), every start compiles: slower, not wrong.
            with contextlib.suppress(OSError):
                cache_dir.mkdir(parents=True, exist_ok=True)
                if os.access(cache_dir, os.W_OK):
                    config["CACHE_DIR"] = str(cache_dir)
        if not weights.is_file():
            raise ModelUnavailableError(f"{weights} is missing")
        try:
            # The path, not a model in memory: only so does the runtime look into its cache before reading the weights.
            self._request = core.compile_model(str(weights), device, config).create_infer_request()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            if device not in core.available_devices:
                raise DeviceUnavailableError(f"the device {device!r} is not there: {reason}") from error
            raise ModelUnavailableError(
                f"{weights} cannot be loaded ({reason}); `pellucid models verify` tells whether it is damaged"
            ) from error

    def run(self, batch: FloatArray) -> FloatArray:
        """The first output for `batch` (float32, N x 3 x H x W), as a copy."""
        with self._lock:
            self._request.infer({0: batch})
            return np.array(self._request.get_output_tensor(0).data, dtype=np.float32)


def _core() -> Any:  # noqa: ANN401 - the runtime's stubs are partial
    # Its import looks for the telemetry package and, finding none, takes a stub: no call home.
    sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))
    import openvino  # noqa: PLC0415 - 0.3 to 0.6 s, paid by processes that run models only

    return openvino.Core()
