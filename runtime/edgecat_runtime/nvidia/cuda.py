"""CUDA, as far as an engine needs it: one GPU, one stream, memory, copies and graphs.

Over the runtime API of `cuda-bindings` alone: the same calls in 12 (JetPack 6) and 13 (JetPack 7),
wheels for x86-64 and aarch64, no compiler, no torch. Importing this module imports nothing of it.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.errors import BackendMissing, DeviceError

log = logging.getLogger("edgecat_runtime")

_MEMORY = "cudaErrorMemoryAllocation"
# Since this version every call of the bindings releases the interpreter's lock. Before, launching
# and instantiating a graph held it: a camera's thread stood still meanwhile.
_OLDEST = "12.9.1"


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU.

    Attributes:
        ordinal: as CUDA counts.
        name: for example `Orin`.
        capability: compute capability without the dot, for example 87.
    """

    ordinal: int
    name: str
    capability: int

    def __str__(self) -> str:
        return f"{self.name} (sm_{self.capability})"

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Select this GPU for the calling thread, then put back the one it had before.

        Raises:
            DeviceError: the GPU cannot be selected.
        """
        runtime = _runtime()
        before = int(_check("asking for the thread's GPU", runtime.cudaGetDevice()))
        _check("selecting the GPU", runtime.cudaSetDevice(self.ordinal))
        try:
            yield
        finally:
            if before != self.ordinal:
                runtime.cudaSetDevice(before)

    def free_memory(self) -> int:
        """Bytes that can be allocated now; a Jetson shares them with the processor."""
        with self.in_use():
            free, _ = _check("asking for free memory", _runtime().cudaMemGetInfo())
        return int(free)


def open_gpu(ordinal: int = 0) -> Gpu:
    """Find a GPU.

    Args:
        ordinal: which, as CUDA counts.

    Raises:
        BackendMissing: cuda-bindings is not installed.
        DeviceError: no driver, one too old for these bindings, or no such GPU.
    """
    runtime = _runtime()
    try:
        error, count = runtime.cudaGetDeviceCount()
    except RuntimeError as failure:  # cuda-pathfinder: no libcuda
        raise DeviceError(_no_driver(0)) from failure
    if error.name == "cudaErrorInsufficientDriver":
        raise DeviceError(_no_driver(int(runtime.cudaDriverGetVersion()[1])))
    if error.name == "cudaErrorNoDevice" or not count:
        raise DeviceError("no NVIDIA GPU was found by its driver. Use a .onnx file on the CPU")
    _check("looking for a GPU", (error,))
    if not 0 <= ordinal < count:
        raise DeviceError(f"GPU {ordinal} does not exist; expected a number from 0 to {count - 1}")
    found = _check("asking the GPU's name", runtime.cudaGetDeviceProperties(ordinal))
    name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
    return Gpu(ordinal, name.rstrip("\0"), found.major * 10 + found.minor)


class Stream:
    """A queue of work on the GPU.

    Attributes:
        handle: the address that TensorRT takes.
    """

    def __init__(self) -> None:
        runtime = _runtime()
        flags = runtime.cudaStreamNonBlocking
        self._stream = _check("making a stream", runtime.cudaStreamCreateWithFlags(flags))
        self.handle = int(_handles().get_cuda_native_handle(self._stream))

    def upload(self, target: DeviceMemory, source: PinnedMemory, count: int) -> None:
        """Queue a copy of `count` bytes to the GPU."""
        self._copy(target.pointer, source.pointer, count, "cudaMemcpyHostToDevice")

    def download(self, target: PinnedMemory, source: DeviceMemory, count: int) -> None:
        """Queue a copy of `count` bytes from the GPU."""
        self._copy(target.pointer, source.pointer, count, "cudaMemcpyDeviceToHost")

    def _copy(self, target: int, source: int, count: int, kind: str) -> None:
        runtime = _runtime()
        direction = getattr(runtime.cudaMemcpyKind, kind)
        result = runtime.cudaMemcpyAsync(target, source, count, direction, self._stream)
        _check("copying", result)

    def record(self, event: Event) -> None:
        """Queue the taking of a time."""
        _check("recording an event", _runtime().cudaEventRecord(event.handle, self._stream))

    def launch(self, graph: Graph) -> None:
        """Queue a recorded graph."""
        _check("launching a graph", _runtime().cudaGraphLaunch(graph.handle, self._stream))

    def wait(self) -> None:
        """Wait until the queue is empty.

        Raises:
            DeviceError: something queued failed.
        """
        _check("running the engine", _runtime().cudaStreamSynchronize(self._stream))

    def capture(self, queue: Callable[[], None]) -> Graph | None:
        """Record what `queue` queues on this stream, without running it.

        Returns:
            The graph, or None where it cannot be recorded. Either way the stream is usable
            afterwards, and nothing else is left allocated.
        """
        runtime = _runtime()
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        (error,) = runtime.cudaStreamBeginCapture(self._stream, mode)
        if int(error):
            return _not_captured()
        recorded = False
        try:
            queue()
            recorded = True
        except DeviceError:
            log.debug("a CUDA graph was not captured", exc_info=True)
        finally:  # also where `queue` raises something else: the stream must not stay in capture
            error, graph = runtime.cudaStreamEndCapture(self._stream)
            if not recorded and not int(error):
                runtime.cudaGraphDestroy(graph)
        if int(error) or not recorded:
            return _not_captured()
        error, ready = runtime.cudaGraphInstantiate(graph, 0)
        runtime.cudaGraphDestroy(graph)
        if int(error):
            return _not_captured()
        return Graph(ready)

    def close(self) -> None:
        """Give it back."""
        _runtime().cudaStreamDestroy(self._stream)


@dataclass(frozen=True)
class Graph:
    """Work that was recorded once and is launched whole.

    Attributes:
        handle: CUDA's executable graph.
    """

    handle: Any

    def close(self) -> None:
        """Give it back."""
        _runtime().cudaGraphExecDestroy(self.handle)


class Event:
    """A point in a stream whose time is taken."""

    def __init__(self) -> None:
        self.handle = _check("making an event", _runtime().cudaEventCreate())

    def milliseconds_since(self, earlier: Event) -> float:
        """Time on the GPU between two recorded events that were waited for."""
        result = _runtime().cudaEventElapsedTime(earlier.handle, self.handle)
        return float(_check("reading an event", result))

    def close(self) -> None:
        """Give it back."""
        _runtime().cudaEventDestroy(self.handle)


class DeviceMemory:
    """Memory of the GPU.

    Attributes:
        pointer: its address there.
    """

    def __init__(self, size: int) -> None:
        self.pointer = int(_check(f"allocating {_mega(size)}", _runtime().cudaMalloc(size)))

    def close(self) -> None:
        """Give it back."""
        _runtime().cudaFree(self.pointer)


class PinnedMemory:
    """Host memory that stays where it is, so that copies run beside the processor.

    Attributes:
        pointer: its address.
        array: uint8 (size,) over it; do not use it once closed.
    """

    def __init__(self, size: int) -> None:
        runtime = _runtime()
        result = runtime.cudaHostAlloc(size, runtime.cudaHostAllocDefault)
        self.pointer = int(_check(f"allocating {_mega(size)} of pinned memory", result))
        memory = (ctypes.c_uint8 * size).from_address(self.pointer)
        self.array: NDArray[np.uint8] = np.frombuffer(memoryview(memory), np.uint8)

    def close(self) -> None:
        """Give it back."""
        _runtime().cudaFreeHost(self.pointer)


def _runtime() -> Any:
    return _bindings()[0]


def _handles() -> Any:
    return _bindings()[1]


@cache
def _bindings() -> tuple[Any, Any]:
    """CUDA's runtime API, and what tells the address behind its objects."""
    try:
        utils = import_module("cuda.bindings.utils")  # missing before 12.9.1
        return import_module("cuda.bindings.runtime"), utils
    except ImportError as error:
        raise BackendMissing(
            f"cuda-bindings {_OLDEST} or later is not installed: "
            "pip install 'edgecat-runtime[tensorrt]'"
        ) from error


def _not_captured() -> Graph | None:
    """A refused capture is no failure: do not let its error linger for the next call to find."""
    _runtime().cudaGetLastError()
    return None


def _check(doing: str, result: tuple[Any, ...]) -> Any:
    """The values behind CUDA's error code, or the error."""
    error, *values = result
    if int(error):
        fix = (
            "Close what else uses the GPU, or build the engine for smaller batches"
            if error.name == _MEMORY
            else "Run edgecat doctor"
        )
        raise DeviceError(f"the GPU failed while {doing}: {error.name}. {fix}")
    return values[0] if len(values) == 1 else values


def _no_driver(version: int) -> str:
    if not version:
        return "no NVIDIA driver was found here. Use a .onnx file on the CPU, or install the driver"
    bindings = import_module("cuda.bindings")
    major, minor = version // 1000, version % 1000 // 10
    fix = {12: f"pip install 'cuda-bindings>={_OLDEST},<13'", 13: "pip install 'cuda-bindings<14'"}
    return (
        f"the NVIDIA driver here serves CUDA {major}.{minor}; cuda-bindings "
        f"{bindings.__version__} needs a newer one. {fix.get(major, 'Update the driver')}"
    )


def _mega(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
