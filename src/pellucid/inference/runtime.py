"""The seam to the inference runtime: OpenVINO on the CPU. The only module that imports it."""

from __future__ import annotations

import contextlib
import enum
import os
import sys
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from pellucid.errors import DeviceUnavailableError, ModelUnavailableError
from pellucid.inference.one_thread import OneThread

FloatArray = npt.NDArray[np.float32]


class Precision(enum.StrEnum):
    """Arithmetic of the model. It changes pixels, so it is part of the recipe."""

    F32 = "f32"
    BF16 = "bf16"
    """Same scores as f32 on 300 photos and about half its time where the CPU computes it; 5 times as fast with AMX."""

    INT8 = "int8"
    """Scores within 0.001 IoU of f32 and about half of bf16's time; needs a calibration (`models.calibration`). What
    stays in floating point is computed as in f32."""


_HINTS = {Precision.F32: "f32", Precision.BF16: "bf16", Precision.INT8: "f32"}


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
    named = {"FP32": Precision.F32, "BF16": Precision.BF16, "INT8": Precision.INT8}
    precisions = tuple(precision for capability, precision in named.items() if capability in capabilities)
    return DeviceInfo(name=name, full_name=full_name, precisions=precisions)


Size = tuple[int, int]
"""(width, height) of a model's input."""

_ANY_SIZE: Size = (-1, -1)


_THREAD = OneThread("inference")
"""Loads models, runs them and gives them up. The runtime keeps state in every thread that ran a model; where such a
thread ends while its model is given up in another, the heap is damaged: called over and over in one process,
`pellucid cut` crashed about once in 3,000 times.
"""


class Session:
    """One model on one device: a graph for each input size it is often run at, and one for any other.

    With one stream calls of several threads, to all sessions of a process, take turns, each on all threads of the
    runtime. With two, two calls run side by side, each on half of them: no thread waits for another to finish its part
    of a layer. Over many pictures of 1 megapixel on two cores that takes a tenth less; one picture alone takes longer.

    The graph for any size takes 1.5 times as long in int8 (40 for 27 ms at 224 x 224, 75 for 51 at 320 x 320); one for
    a single size costs 0.9 s once, 0.3 s from the cache, and 100 to 160 MB. In bf16 and f32 any size takes 1.2 times as
    long, but each size would hold the weights once more, 350 MB for u2net: there it serves best alone.
    """

    def __init__(
        self,
        weights: Path,
        *,
        device: str,
        precision: Precision,
        threads: int,
        cache_dir: Path | None,
        sizes: Sequence[Size],
        others: bool = False,
        streams: int = 1,
    ) -> None:
        """Load `weights` (ONNX or OpenVINO IR) and compile a graph for each of `sizes`. The one for other sizes is
        compiled now with `others`, else when it is first run. `threads` of all `streams` together; 0 leaves the number
        to the runtime. `cache_dir` keeps the compiled models.

        Raises ModelUnavailableError when the file is no model, DeviceUnavailableError when the device refuses it,
        ValueError for less than one stream.
        """
        if streams < 1:
            raise ValueError(f"streams = {streams}; one is the least")
        self._graphs: dict[Size, SimpleQueue[Any]] = {}
        self._streams = streams
        self._weights = weights
        self._device = device
        self._config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "NUM_STREAMS": streams,
        }
        if threads:
            self._config["INFERENCE_NUM_THREADS"] = threads
        if cache_dir is not None:
            # Where it cannot be written (weights in a read-only image), every start compiles: slower, not wrong.
            with contextlib.suppress(OSError):
                cache_dir.mkdir(parents=True, exist_ok=True)
                if os.access(cache_dir, os.W_OK):
                    self._config["CACHE_DIR"] = str(cache_dir)
        if not weights.is_file():
            raise ModelUnavailableError(f"{weights} is missing")
        weakref.finalize(self, _THREAD.submit, self._graphs.clear).atexit = False
        _THREAD.call(self._load, (*sizes, _ANY_SIZE) if others else sizes)

    def run(self, batch: FloatArray) -> FloatArray:
        """The first output for `batch` (float32, N x 3 x H x W), as a copy."""
        return self.run_all(batch, outputs=1)[0]

    def run_all(self, batch: FloatArray, *, outputs: int | None = None) -> list[FloatArray]:
        """The first `outputs` of the model (None: all) for `batch`, as copies."""
        free = self._requests_for((batch.shape[3], batch.shape[2]))
        request = free.get()
        try:
            if self._streams == 1:
                _THREAD.call(request.infer, {0: batch})
            else:
                # Runs in a thread of the runtime's own.
                _THREAD.call(request.start_async, {0: batch})
                request.wait()
            count = len(request.model_outputs) if outputs is None else outputs
            return [np.array(request.get_output_tensor(index).data, dtype=np.float32) for index in range(count)]
        finally:
            free.put(request)

    def _load(self, sizes: Sequence[Size]) -> None:
        for size in sizes:
            if size not in self._graphs:
                self._graphs[size] = self._compile(size)

    def _requests_for(self, size: Size) -> SimpleQueue[Any]:
        """The requests of the graph for `size` that nobody uses, one for each stream at most."""
        free = self._graphs.get(size, self._graphs.get(_ANY_SIZE))
        if free is None:
            _THREAD.call(self._load, [_ANY_SIZE])
            free = self._graphs[_ANY_SIZE]
        return free

    def _compile(self, size: Size) -> SimpleQueue[Any]:
        core = _core()
        width, height = size
        try:
            model = core.read_model(str(self._weights))
            # A size it already has is left alone: reshaping can fail in graphs with fixed sizes inside.
            if str(model.inputs[0].partial_shape) != f"[1,3,{height},{width}]":
                model.reshape({model.inputs[0]: [1, 3, height, width]})
            graph = core.compile_model(model, self._device, self._config)
            free: SimpleQueue[Any] = SimpleQueue()
            for _ in range(self._streams):
                free.put(graph.create_infer_request())
            return free
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            if self._device not in core.available_devices:
                raise DeviceUnavailableError(f"the device {self._device!r} is not there: {reason}") from error
            raise ModelUnavailableError(
                f"{self._weights} cannot be loaded ({reason}); `pellucid models verify` tells whether it is damaged"
            ) from error


def openvino_module() -> Any:  # noqa: ANN401 - the runtime's stubs are partial
    """The runtime's module, its telemetry switched off: its import looks for the telemetry package and, finding none,
    takes a stub. NNCF does the same, so call this before it is imported.
    """
    sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))
    import openvino  # noqa: PLC0415 - 0.3 to 0.6 s, paid by processes that run models only

    return openvino


def _core() -> Any:  # noqa: ANN401 - the runtime's stubs are partial
    return openvino_module().Core()
