"""Two devices for the tests of the CUDA layer: a GPU, and a stand-in for it in software.

What holds on a GPU has to hold on both. The stand-in can do what a GPU cannot: name what was
leaked, refuse a call on demand, and catch a copy into freed memory.
"""

from __future__ import annotations

import ctypes
import mmap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pytest

from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.nvidia import cuda
from edgecat_runtime.nvidia.cuda import Gpu, open_gpu
from edgecat_runtime.nvidia.driver import driver

SOURCE = b"""
extern "C" __global__ void sums(const unsigned char* frames, float* logits, int size, int classes) {
    __shared__ unsigned long long total;
    if (threadIdx.x == 0) total = 0;
    __syncthreads();
    unsigned long long mine = 0;
    frames += (size_t)blockIdx.x * size;
    for (int i = threadIdx.x; i < size; i += blockDim.x) mine += frames[i];
    atomicAdd(&total, mine);
    __syncthreads();
    for (int k = threadIdx.x; k < classes; k += blockDim.x)
        logits[blockIdx.x * classes + k] = (float)total * (k + 1);
}
extern "C" __global__ void late(float* value, long long clocks) {
    long long start = clock64();
    while (clock64() - start < clocks) {}
    *value = 1;
}
"""


@dataclass
class Hardware:
    """A GPU and kernels of the tests' own on it, compiled by NVRTC."""

    gpu: Gpu
    kernels: dict[str, Any]
    software = None

    def sums(
        self, stream: int, batch: int, frames: int, logits: int, size: int, classes: int
    ) -> bool:
        """Queue: each frame's sum of bytes, times 1, 2, ... as its logits."""
        pointers = ctypes.c_void_p(frames), ctypes.c_void_p(logits)
        return self.launch("sums", stream, batch, *pointers, *map(ctypes.c_int, (size, classes)))

    def launch(self, name: str, stream: int, blocks: int, *arguments: Any) -> bool:
        """Queue a kernel; the arguments are values of ctypes."""
        cu = import_module("cuda.bindings.driver")
        places = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
        size = (blocks, 1, 1, 256, 1, 1, 0)
        (error,) = cu.cuLaunchKernel(
            self.kernels[name], *size, cu.CUstream(stream), ctypes.addressof(places), 0
        )
        return not int(error)


class Software:
    """The stand-in as a device of the tests."""

    def __init__(self, software: SoftwareCuda) -> None:
        self.software, self.gpu = software, open_gpu()

    def sums(
        self, stream: int, batch: int, frames: int, logits: int, size: int, classes: int
    ) -> bool:
        """As `Hardware.sums`."""

        def kernel() -> None:
            answers = (ctypes.c_float * (batch * classes)).from_address(logits)
            for n in range(batch):
                total = sum(ctypes.string_at(frames + n * size, size))
                answers[n * classes : (n + 1) * classes] = [total * (k + 1) for k in range(classes)]

        self.software.check(logits, 4 * batch * classes)
        self.software.queue(stream, kernel)
        return True


@pytest.fixture(scope="session")
def hardware() -> Hardware:
    """The first GPU; skips without one."""
    if not driver().devices:
        pytest.skip("there is no NVIDIA GPU here")
    with ExitStack() as stack:
        try:
            gpu = open_gpu()
            stack.enter_context(gpu.in_use())
        except EdgecatError as error:
            pytest.skip(str(error))
        cu = import_module("cuda.bindings.driver")
        _ok(cu.cuInit(0))
        _ok(import_module("cuda.bindings.runtime").cudaFree(0))  # makes the context current
        code = ctypes.create_string_buffer(compiled(f"sm_{gpu.capability}"))
        module = _ok(cu.cuModuleLoadData(ctypes.addressof(code)))
        names = ("sums", "late")
        found = {name: _ok(cu.cuModuleGetFunction(module, name.encode())) for name in names}
    return Hardware(gpu, found)


@pytest.fixture(params=["software", "gpu"])
def device(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hardware | Software]:
    """Where the CUDA layer runs; nothing may be left allocated on the stand-in."""
    if request.param == "gpu":
        yield request.getfixturevalue("hardware")
        return
    pytest.importorskip("cuda.bindings.utils", reason="needs cuda-bindings 12.9.1 or later")
    software = SoftwareCuda()
    handles = import_module("cuda.bindings.utils")
    monkeypatch.setattr(cuda, "_bindings", lambda: (software, handles))
    yield Software(software)
    assert software.left == {}
    assert software.wrong == []


def compiled(arch: str) -> bytes:
    """The kernels' machine code; NVRTC needs no GPU to make it."""
    nvrtc = import_module("cuda.bindings.nvrtc")
    program = _ok(nvrtc.nvrtcCreateProgram(SOURCE, b"kernels.cu", 0, [], []))
    options = [f"--gpu-architecture={arch}".encode()]
    error = nvrtc.nvrtcCompileProgram(program, len(options), options)[0]
    if int(error):
        log = b" " * _ok(nvrtc.nvrtcGetProgramLogSize(program))
        _ok(nvrtc.nvrtcGetProgramLog(program, log))
        raise AssertionError(log.decode())
    code = b" " * _ok(nvrtc.nvrtcGetCUBINSize(program))
    _ok(nvrtc.nvrtcGetCUBIN(program, code))
    return code


def _ok(result: tuple[Any, ...]) -> Any:
    error, *values = result
    assert not int(error), error
    return values[0] if len(values) == 1 else values


@dataclass
class _Queue:
    work: list[Callable[[], None]] = field(default_factory=list)
    captured: list[Callable[[], None]] | None = None
    invalid: bool = False


class SoftwareCuda:
    """CUDA's runtime API as `nvidia.cuda` calls it, on two GPUs that are memory here.

    Handles, errors, flags and enumerations are those of cuda-bindings. What is queued runs when
    the stream is waited for, and lets other threads run in between, as a GPU does. It shows
    whether resources, threads and failures are handled correctly; it shows nothing about CUDA.

    Attributes:
        left: what is allocated, by its kind.
        wrong: what no program may do: free twice, touch memory that is freed.
        refuse: calls to fail once, by name, with the name of the error.
        device: the calling thread's, as `cudaSetDevice` left it.
    """

    def __init__(self) -> None:
        self._real = import_module("cuda.bindings.runtime")
        self._handle_of = import_module("cuda.bindings.utils").get_cuda_native_handle
        self._live: dict[tuple[str, int], Any] = {}
        self._last = 0
        self._lock = threading.Lock()
        self._thread = threading.local()
        self.wrong: list[str] = []
        self.refuse: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        if name in ("cudaStreamCaptureMode", "cudaMemcpyKind") or not name.startswith("cuda"):
            return getattr(self._real, name)
        if isinstance(value := getattr(self._real, name), int):  # a flag
            return value
        raise AttributeError(f"the stand-in has no {name}")

    @property
    def left(self) -> dict[str, int]:
        kinds = [kind for kind, _ in self._live]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}

    @property
    def device(self) -> int:
        return getattr(self._thread, "device", 0)

    def queue(self, stream: int, work: Callable[[], None]) -> None:
        queue = self._live["stream", stream]
        (queue.work if queue.captured is None else queue.captured).append(work)

    def check(self, pointer: int, count: int) -> None:
        """Note a span of bytes that no allocation holds."""
        blocks = [value for (kind, _), value in self._live.items() if kind in ("host", "device")]
        if not any(a <= pointer and pointer + count <= a + len(b) for a, b, _ in blocks):
            self.wrong.append(f"{count} bytes at {pointer:#x} are not allocated")

    # --- devices ---

    def cudaGetDeviceCount(self) -> Any:
        return self._result("cudaGetDeviceCount", 2)

    def cudaGetDevice(self) -> Any:
        return self._result("cudaGetDevice", self.device)

    def cudaSetDevice(self, ordinal: int) -> Any:
        result = self._result("cudaSetDevice")
        if not int(result[0]):
            self._thread.device = ordinal
        return result

    def cudaGetDeviceProperties(self, ordinal: int) -> Any:
        found = self._real.cudaDeviceProp()
        found.name = f"Software {ordinal}".encode().ljust(256, b"\0")
        found.major, found.minor = 8, 6
        return self._result("cudaGetDeviceProperties", found)

    def cudaMemGetInfo(self) -> Any:
        taken = sum(
            len(value[1])
            for (kind, _), value in list(self._live.items())
            if kind == "device" and value[2] == self.device
        )
        return self._result("cudaMemGetInfo", (1 << 34) - taken, 1 << 34)

    # --- memory ---

    def cudaMalloc(self, size: int) -> Any:
        return self._allocate("cudaMalloc", "device", size)

    def cudaHostAlloc(self, size: int, flags: int) -> Any:
        return self._allocate("cudaHostAlloc", "host", size)

    def cudaFree(self, pointer: int) -> Any:
        return self._free("device", pointer)

    def cudaFreeHost(self, pointer: int) -> Any:
        return self._free("host", pointer)

    def cudaMemcpyAsync(self, target: int, source: int, count: int, kind: Any, stream: Any) -> Any:
        self.check(target, count)
        self.check(source, count)
        self.queue(self._handle_of(stream), lambda: ctypes.memmove(target, source, count))
        return self._result("cudaMemcpyAsync")

    # --- streams and events ---

    def cudaStreamCreateWithFlags(self, flags: int) -> Any:
        return self._make("cudaStreamCreateWithFlags", "stream", "cudaStream_t", _Queue())

    def cudaStreamDestroy(self, stream: Any) -> Any:
        return self._free("stream", self._handle_of(stream))

    def cudaStreamSynchronize(self, stream: Any) -> Any:
        queue = self._live["stream", self._handle_of(stream)]
        if queue.captured is not None:
            queue.invalid = True
            return self._failed("cudaErrorStreamCaptureUnsupported")
        while queue.work:
            time.sleep(0)
            queue.work.pop(0)()
        return self._result("cudaStreamSynchronize")

    def cudaEventCreate(self) -> Any:
        return self._make("cudaEventCreate", "event", "cudaEvent_t", [0.0])

    def cudaEventDestroy(self, event: Any) -> Any:
        return self._free("event", self._handle_of(event))

    def cudaEventRecord(self, event: Any, stream: Any) -> Any:
        place = self._live["event", self._handle_of(event)]

        def note() -> None:
            place[0] = time.perf_counter()

        self.queue(self._handle_of(stream), note)
        return self._result("cudaEventRecord")

    def cudaEventElapsedTime(self, earlier: Any, later: Any) -> Any:
        one, two = (self._live["event", self._handle_of(event)][0] for event in (earlier, later))
        return self._result("cudaEventElapsedTime", 1e3 * (two - one))

    # --- graphs ---

    def cudaStreamBeginCapture(self, stream: Any, mode: Any) -> Any:
        result = self._result("cudaStreamBeginCapture")
        if not int(result[0]):
            queue = self._live["stream", self._handle_of(stream)]
            queue.captured, queue.invalid = [], False
        return result

    def cudaStreamEndCapture(self, stream: Any) -> Any:
        queue = self._live["stream", self._handle_of(stream)]
        work, queue.captured = queue.captured, None
        if queue.invalid:
            return *self._failed("cudaErrorStreamCaptureInvalidated"), None
        return self._make("cudaStreamEndCapture", "graph", "cudaGraph_t", work)

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> Any:
        work = self._live["graph", self._handle_of(graph)]
        return self._make("cudaGraphInstantiate", "executable", "cudaGraphExec_t", list(work))

    def cudaGraphLaunch(self, graph: Any, stream: Any) -> Any:
        result = self._result("cudaGraphLaunch")
        for work in self._live["executable", self._handle_of(graph)] if not int(result[0]) else ():
            self.queue(self._handle_of(stream), work)
        return result

    def cudaGraphDestroy(self, graph: Any) -> Any:
        return self._free("graph", self._handle_of(graph))

    def cudaGraphExecDestroy(self, graph: Any) -> Any:
        return self._free("executable", self._handle_of(graph))

    # --- errors ---

    def cudaGetLastError(self) -> Any:
        error, self._thread.lingering = (
            getattr(self._thread, "lingering", "cudaSuccess"),
            "cudaSuccess",
        )
        return (getattr(self._real.cudaError_t, error),)

    @property
    def lingering(self) -> str:
        """The error that the calling thread's next call might find."""
        return getattr(self._thread, "lingering", "cudaSuccess")

    def _failed(self, error: str) -> tuple[Any]:
        self._thread.lingering = error
        return (getattr(self._real.cudaError_t, error),)

    def _result(self, call: str, *values: Any) -> tuple[Any, ...]:
        if error := self.refuse.pop(call, ""):
            return *self._failed(error), *(None for _ in values)
        return self._real.cudaError_t.cudaSuccess, *values

    def _make(self, call: str, kind: str, type_: str, value: Any) -> tuple[Any, ...]:
        result = self._result(call, None)
        if int(result[0]):
            return result
        with self._lock:
            self._last += 1
            self._live[kind, self._last] = value
            return result[0], getattr(self._real, type_)(self._last)

    def _allocate(self, call: str, kind: str, size: int) -> tuple[Any, ...]:
        if size > 1 << 34:
            return *self._failed("cudaErrorMemoryAllocation"), None
        block = mmap.mmap(-1, size)  # taken from the system only where it is written to
        pointer = ctypes.addressof(ctypes.c_char.from_buffer(block))
        result = self._result(call, pointer)
        if not int(result[0]):
            self._live[kind, pointer] = (pointer, block, self.device)
        return result

    def _free(self, kind: str, key: int) -> tuple[Any]:
        if self._live.pop((kind, key), None) is None:
            self.wrong.append(f"{kind} {key:#x} is freed, but not allocated")
        return (self._real.cudaError_t.cudaSuccess,)
