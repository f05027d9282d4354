"""CUDA, as far as an engine needs it: one GPU, one stream, memory, copies and graphs.

Over the runtime API of `cuda-bindings` alone: the same calls in 12 (JetPack 6) and 13 (JetPack 7),
wheels for x86-64 and aarch64, no compiler, no torch. Importing this module imports nothing of it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.errors import BackendMissing, DeviceError

_MEMORY = "cudaErrorMemoryAllocation"


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

    def use(self) -> None:
        """Make it the calling thread's GPU."""
        _check("selecting the GPU", _runtime().cudaSetDevice(self.ordinal))

    def free_memory(self) -> int:
        """Bytes that can be allocated now; a Jetson shares them with the processor."""
        self.use()
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
        self.handle = int(self._stream)

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
            The graph, or None where something in it cannot be recorded; the stream is usable after
            either.
        """
        runtime = _runtime()
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _check("starting a graph", runtime.cudaStreamBeginCapture(self._stream, mode))
        try:
            queue()
            recorded = True
        except DeviceError:
            recorded = False
        finally:
            error, graph = runtime.cudaStreamEndCapture(self._stream)
        if int(error) or not recorded:
            runtime.cudaGetLastError()  # a refused capture is no failure: do not let it linger
            return None
        try:
            error, ready = runtime.cudaGraphInstantiate(graph, 0)
        finally:
            runtime.cudaGraphDestroy(graph)
        if int(error):
            runtime.cudaGetLastError()
            return None
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


@cache
def _runtime() -> Any:
    try:
        return import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise BackendMissing(
            "cuda-bindings is not installed: pip install 'edgecat-runtime[tensorrt]'"
        ) from error


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
    return (
        f"the NVIDIA driver here serves CUDA {major}.{minor}; cuda-bindings "
        f"{bindings.__version__} wants a newer one. pip install 'cuda-bindings=={major}.*'"
    )


def _mega(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
