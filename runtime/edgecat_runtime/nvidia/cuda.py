"""The part of CUDA that an engine needs: one GPU, one stream, memory, copies and graphs.

It uses only the runtime API of `cuda-bindings`: the same calls in 12 (JetPack 6) and 13 (JetPack
7), with wheels for x86-64 and aarch64 and without a compiler or torch. The bindings are imported on
first use.
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
        ordinal: CUDA device ordinal.
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
        """Select this GPU for the calling thread, then restore the previous one.

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
            free, _ = _check("querying free memory", _runtime().cudaMemGetInfo())
        return int(free)


def open_gpu(ordinal: int = 0) -> Gpu:
    """Open a GPU.

    Args:
        ordinal: CUDA device ordinal.

    Raises:
        BackendMissing: cuda-bindings is not installed.
        DeviceError: no driver, a driver too old for these bindings, or no such GPU.
    """
    runtime = _runtime()
    try:
        error, count = runtime.cudaGetDeviceCount()
    except RuntimeError as failure:  # cuda-pathfinder: no libcuda
        raise _no_driver(0) from failure
    if error.name == "cudaErrorInsufficientDriver":
        raise _no_driver(int(runtime.cudaDriverGetVersion()[1]))
    if error.name == "cudaErrorNoDevice" or not count:
        raise DeviceError("the NVIDIA driver found no GPU", fix="Use a .onnx file on the CPU")
    _check("looking for a GPU", (error,))
    if not 0 <= ordinal < count:
        raise DeviceError(f"GPU {ordinal} does not exist; expected a number from 0 to {count - 1}")
    found = _check("querying the GPU's name", runtime.cudaGetDeviceProperties(ordinal))
    name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
    return Gpu(ordinal, name.rstrip("\0"), found.major * 10 + found.minor)


class Stream:
    """A CUDA stream.

    Attributes:
        handle: the stream's address, as TensorRT expects it.
    """

    def __init__(self) -> None:
        runtime = _runtime()
        flags = runtime.cudaStreamNonBlocking
        self._stream = _check("creating a stream", runtime.cudaStreamCreateWithFlags(flags))
        self.handle = int(_handles().get_cuda_native_handle(self._stream))

    def upload(self, target: DeviceMemory, source: PinnedMemory, count: int) -> None:
        """Enqueue a copy of `count` bytes to the GPU."""
        self._copy(target.pointer, source.pointer, count, "cudaMemcpyHostToDevice")

    def download(self, target: PinnedMemory, source: DeviceMemory, count: int) -> None:
        """Enqueue a copy of `count` bytes from the GPU."""
        self._copy(target.pointer, source.pointer, count, "cudaMemcpyDeviceToHost")

    def _copy(self, target: int, source: int, count: int, kind: str) -> None:
        runtime = _runtime()
        direction = getattr(runtime.cudaMemcpyKind, kind)
        result = runtime.cudaMemcpyAsync(target, source, count, direction, self._stream)
        _check("copying", result)

    def record(self, event: Event) -> None:
        """Enqueue the recording of an event."""
        _check("recording an event", _runtime().cudaEventRecord(event.handle, self._stream))

    def launch(self, graph: Graph) -> None:
        """Enqueue a captured graph."""
        _check("launching a graph", _runtime().cudaGraphLaunch(graph.handle, self._stream))

    def wait(self) -> None:
        """Wait for all enqueued work.

        Raises:
            DeviceError: some of the work failed.
        """
        _check("running the engine", _runtime().cudaStreamSynchronize(self._stream))

    def capture(self, queue: Callable[[], None]) -> Graph | None:
        """Capture what `queue` enqueues on this stream, without running it.

        Returns:
            The graph, or None if it cannot be captured. Either way the stream is usable
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
        """Release it."""
        _runtime().cudaStreamDestroy(self._stream)


@dataclass(frozen=True)
class Graph:
    """Captured work that is launched as a whole.

    Attributes:
        handle: CUDA's executable graph.
    """

    handle: Any

    def close(self) -> None:
        """Release it."""
        _runtime().cudaGraphExecDestroy(self.handle)


class Event:
    """A timestamped point in a stream."""

    def __init__(self) -> None:
        self.handle = _check("creating an event", _runtime().cudaEventCreate())

    def milliseconds_since(self, earlier: Event) -> float:
        """GPU time between two recorded events, after waiting for both."""
        result = _runtime().cudaEventElapsedTime(earlier.handle, self.handle)
        return float(_check("reading an event", result))

    def close(self) -> None:
        """Release it."""
        _runtime().cudaEventDestroy(self.handle)


class DeviceMemory:
    """An allocation of GPU memory.

    Attributes:
        pointer: its device address.
    """

    def __init__(self, size: int) -> None:
        self.pointer = int(_check(f"allocating {_mega(size)}", _runtime().cudaMalloc(size)))

    def close(self) -> None:
        """Release it."""
        _runtime().cudaFree(self.pointer)


class PinnedMemory:
    """Page-locked host memory, so that copies run asynchronously.

    Attributes:
        pointer: its address.
        array: uint8 (size,) view of it; do not use it after `close`.
    """

    def __init__(self, size: int) -> None:
        runtime = _runtime()
        result = runtime.cudaHostAlloc(size, runtime.cudaHostAllocDefault)
        self.pointer = int(_check(f"allocating {_mega(size)} of pinned memory", result))
        memory = (ctypes.c_uint8 * size).from_address(self.pointer)
        self.array: NDArray[np.uint8] = np.frombuffer(memoryview(memory), np.uint8)

    def close(self) -> None:
        """Release it."""
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
            f"cuda-bindings {_OLDEST} or later is not installed",
            fix="pip install 'edgecat-runtime[tensorrt]'",
        ) from error


def _not_captured() -> Graph | None:
    """Clear the error of a rejected capture, so that the next call does not report it."""
    _runtime().cudaGetLastError()
    return None


def _check(doing: str, result: tuple[Any, ...]) -> Any:
    """Return the values after CUDA's error code; raise DeviceError on an error."""
    error, *values = result
    if int(error):
        fix = (
            "Close other programs that use the GPU, or build the engine for smaller batches"
            if error.name == _MEMORY
            else "Run edgecat doctor"
        )
        raise DeviceError(f"the GPU failed while {doing}: {error.name}", fix=fix)
    return values[0] if len(values) == 1 else values


def _no_driver(version: int) -> DeviceError:
    if not version:
        advice = "Use a .onnx file on the CPU, or install the driver"
        return DeviceError("no NVIDIA driver was found", fix=advice)
    bindings = import_module("cuda.bindings")
    major, minor = version // 1000, version % 1000 // 10
    fix = {12: f"pip install 'cuda-bindings>={_OLDEST},<13'", 13: "pip install 'cuda-bindings<14'"}
    return DeviceError(
        f"the NVIDIA driver supports CUDA {major}.{minor}; cuda-bindings "
        f"{bindings.__version__} needs a newer one",
        fix=fix.get(major, "Update the driver"),
    )


def _mega(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
