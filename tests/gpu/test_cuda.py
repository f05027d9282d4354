"""The CUDA layer and the TensorRT backend, on a GPU and on the stand-in of conftest.py.

The backend runs an engine of this file's own: it has the shape of TensorRT's `ICudaEngine`, but its
`execute_async_v3` queues a kernel of a few lines on the stream that it is given. On a GPU, copies,
streams, events, graphs, the splitting and padding of batches, failures and closing are therefore
real. What it cannot show is TensorRT itself.
"""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgecat_runtime.doctor import probes
from edgecat_runtime.errors import DeviceError, EdgecatError, UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.nvidia.cuda import DeviceMemory, Event, Gpu, PinnedMemory, Stream, open_gpu
from edgecat_runtime.nvidia.driver import driver
from edgecat_runtime.nvidia.tensorrt import KINDS, TensorRT

InThreads = Callable[[int, Callable[[int], None]], None]

SIDE, CLASSES = 16, 2


@pytest.fixture
def gpu(device: Any) -> Iterator[Gpu]:
    with device.gpu.in_use():
        yield device.gpu


def close(*resources: Any) -> None:
    for each in resources:
        each.close()


# --- cuda.py ------------------------------------------------------------------------------------


def round_trip(size: int = 3_000_001) -> None:
    up, down, there, stream = PinnedMemory(size), PinnedMemory(size), DeviceMemory(size), Stream()
    began, ended = Event(), Event()
    up.array[:] = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    down.array[:] = 0
    stream.record(began)
    stream.upload(there, up, size)
    stream.download(down, there, size)
    stream.record(ended)
    stream.wait()
    np.testing.assert_array_equal(down.array, up.array)
    assert ended.milliseconds_since(began) > 0
    close(began, ended, up, down, there, stream)


@pytest.mark.usefixtures("gpu")
def test_what_is_uploaded_is_downloaded() -> None:
    round_trip()


def test_memory_is_given_back(gpu: Gpu) -> None:
    before = gpu.free_memory()
    taken = [DeviceMemory(256 << 20) for _ in range(4)]
    assert before - gpu.free_memory() >= 1 << 30
    close(*taken)
    assert abs(before - gpu.free_memory()) < 64 << 20


@pytest.mark.usefixtures("gpu")
def test_too_much_memory_is_one_sentence_and_does_no_lasting_harm() -> None:
    with pytest.raises(DeviceError, match=r"allocating .* MB: cudaErrorMemoryAllocation. Close"):
        DeviceMemory(1 << 50)
    round_trip()


@pytest.mark.usefixtures("device")
def test_a_gpu_that_does_not_exist() -> None:
    with pytest.raises(DeviceError, match="GPU 99 does not exist; expected a number from 0"):
        open_gpu(99)


def test_the_gpu_is_the_one_that_the_driver_lists(hardware: Any) -> None:
    assert hardware.gpu.name in str(driver().devices[0])
    assert hardware.gpu.capability == driver().devices[0].capability


def test_the_threads_gpu_is_put_back(device: Any) -> None:
    from edgecat_runtime.nvidia import cuda

    runtime = cuda._runtime()
    count = int(runtime.cudaGetDeviceCount()[1])
    if count < 2:
        pytest.skip("there is one GPU here; this needs two")
    first, second = open_gpu(0), open_gpu(1)
    with first.in_use():
        with second.in_use():
            assert int(runtime.cudaGetDevice()[1]) == 1
            first.free_memory()
            assert int(runtime.cudaGetDevice()[1]) == 1
        assert int(runtime.cudaGetDevice()[1]) == 0
        with pytest.raises(ZeroDivisionError), second.in_use():
            raise ZeroDivisionError
        assert int(runtime.cudaGetDevice()[1]) == 0


@pytest.mark.usefixtures("gpu")
def test_a_graph_is_replayed_with_what_is_in_memory_then() -> None:
    up, down, there, stream = PinnedMemory(64), PinnedMemory(64), DeviceMemory(64), Stream()

    def queue() -> None:
        stream.upload(there, up, 64)
        stream.download(down, there, 64)

    down.array[:] = 7
    graph = stream.capture(queue)
    stream.wait()
    assert graph is not None
    assert (down.array == 7).all(), "recording must not run"
    for value in (1, 2, 3):
        up.array[:] = value
        stream.launch(graph)
        stream.wait()
        assert (down.array == value).all()
    close(graph, up, down, there, stream)


@pytest.mark.parametrize("forbidden", ["wait", "raise", "interrupt"])
def test_a_failed_capture_leaks_nothing_and_leaves_the_stream_usable(
    device: Any, gpu: Gpu, forbidden: str
) -> None:
    up, there, stream = PinnedMemory(64), DeviceMemory(64), Stream()

    def queue() -> None:
        stream.upload(there, up, 64)
        if forbidden == "wait":
            stream.wait()  # not permitted while capturing
        raise KeyboardInterrupt if forbidden == "interrupt" else DeviceError("the engine refuses")

    for _ in range(3):
        if forbidden == "interrupt":
            with pytest.raises(KeyboardInterrupt):
                stream.capture(queue)
        else:
            assert stream.capture(queue) is None
            assert device.software is None or device.software.lingering == "cudaSuccess"
    stream.upload(there, up, 64)
    stream.wait()
    close(up, there, stream)


@pytest.mark.parametrize(
    "call", ["cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate"]
)
def test_a_capture_that_cuda_refuses_is_no_failure(device: Any, call: str) -> None:
    if device.software is None:
        pytest.skip("a GPU refuses nothing on demand")
    up, there, stream = PinnedMemory(64), DeviceMemory(64), Stream()
    device.software.refuse[call] = "cudaErrorNotSupported"
    assert stream.capture(lambda: stream.upload(there, up, 64)) is None
    assert device.software.refuse == {}
    assert device.software.lingering == "cudaSuccess"
    stream.upload(there, up, 64)
    stream.wait()
    close(up, there, stream)


def test_every_thread_may_use_the_gpu(in_threads: InThreads, gpu: Gpu) -> None:
    def work(number: int) -> None:
        with gpu.in_use():
            round_trip(1000 + number)

    in_threads(4, work)


def test_python_runs_on_while_the_gpu_works(hardware: Any) -> None:
    """A camera is read while the engine answers: waiting must release the interpreter."""
    with hardware.gpu.in_use():
        stream, there = Stream(), DeviceMemory(4)
        value, clocks = ctypes.c_void_p(there.pointer), ctypes.c_longlong(10**9)
        assert hardware.launch("late", stream.handle, 1, value, clocks)
        counted, done = [0], threading.Event()

        def count() -> None:
            while not done.is_set():
                counted[0] += 1

        counter = threading.Thread(target=count)
        counter.start()
        before, start = counted[0], time.perf_counter()
        stream.wait()
        waited, after = time.perf_counter() - start, counted[0]
        done.set()
        counter.join()
        close(there, stream)
    assert after - before > 1000, f"{after - before} turns of a loop in {waited:.2f} s of waiting"


def test_without_a_gpu_the_bindings_types_fit() -> None:
    """The real bindings answer with an error, not with a complaint about an argument."""
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="needs cuda-bindings")
    if driver().devices:
        pytest.skip("there is a GPU here: the other tests show it")
    stream, event = object.__new__(Stream), object.__new__(Event)
    stream._stream, event.handle = runtime.cudaStream_t(0), runtime.cudaEvent_t(0)
    pinned, memory = object.__new__(PinnedMemory), object.__new__(DeviceMemory)
    pinned.pointer = memory.pointer = 0
    ran: list[bool] = []
    assert stream.capture(lambda: ran.append(True)) is None  # refused before anything is queued
    assert ran == []
    for call in (
        Stream,
        Event,
        lambda: DeviceMemory(1),
        lambda: PinnedMemory(1),
        lambda: stream.upload(memory, pinned, 1),
        lambda: stream.download(pinned, memory, 1),
        lambda: stream.record(event),
        stream.wait,
        lambda: event.milliseconds_since(event),
        Gpu(0, "none", 0).free_memory,
    ):
        with pytest.raises(DeviceError, match="the GPU failed while .*: cudaError"):
            call()
    close(stream, event, pinned, memory)


def test_the_doctor_copies_a_tensor(device: Any) -> None:
    probes.run_tensor(device.gpu.ordinal)
    if device.software is not None:
        probes.run_tensor(1)
        device.software.refuse["cudaStreamSynchronize"] = "cudaErrorIllegalAddress"
        with pytest.raises(DeviceError, match="cudaErrorIllegalAddress"):
            probes.run_tensor(0)


# --- the backend, over an engine of our own -----------------------------------------------------


class Context:
    """Shaped as TensorRT's `IExecutionContext`."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.addresses, self.batch = engine, {}, 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, high = self.engine.owner.batches
        if not low <= shape[0] <= high:
            return False
        self.batch = shape[0]
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def is_stream_capturable(self, stream: int) -> bool:
        return self.engine.owner.capturable

    def execute_async_v3(self, stream: int) -> bool:
        owner = self.engine.owner
        owner.runs += 1
        if owner.runs in owner.refusals:
            return False
        addresses = self.addresses["frames"], self.addresses["logits"]
        return owner.device.sums(stream, self.batch, *addresses, SIDE * SIDE * 3, CLASSES)


class Engine:
    """Shaped as TensorRT's `ICudaEngine`."""

    num_io_tensors = 2
    device_memory_size_v2 = 0

    def __init__(self, owner: Engines) -> None:
        self.owner = owner

    def get_tensor_name(self, index: int) -> str:
        return ("frames", "logits")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name == "frames" else "output"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, SIDE, SIDE, 3) if name == "frames" else (-1, CLASSES)

    def get_tensor_dtype(self, name: str) -> str:
        return "uint8" if name == "frames" else "float"

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        low, high = self.owner.batches
        return [(n, SIDE, SIDE, 3) for n in (low, low, high)]

    def create_execution_context(self) -> Context:
        return Context(self)


class Engines(ModuleType):
    """Shaped as the module `tensorrt`, as far as the backend takes anything of it."""

    __version__ = "0"

    class ILogger:
        Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2)

    TensorIOMode = SimpleNamespace(INPUT="input", OUTPUT="output")
    DataType = SimpleNamespace(UINT8="uint8", FLOAT="float")

    def __init__(self, device: Any) -> None:
        super().__init__("engines")
        self.device, self.batches, self.capturable = device, (1, 4), True
        self.runs, self.refusals = 0, set[int]()

    def Runtime(self, logger: object) -> Any:
        return SimpleNamespace(deserialize_cuda_engine=lambda plan: Engine(self))


@pytest.fixture
def engines(device: Any) -> Engines:
    return Engines(device)


@pytest.fixture
def opened(
    engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """`opened(gpu=0)`: the backend over the engine of this file."""
    from edgecat_runtime.backends import tensorrt as module

    card = ModelCard("tiny", ("cat", "dog"), SIDE, SIDE)
    path = tmp_path / "tiny.trt"
    path.write_bytes(b"plan" + card.to_json().encode())
    monkeypatch.setattr(module, "tensorrt", lambda flavour: TensorRT(KINDS["tensorrt"], engines))
    made: list[Any] = []

    def make(gpu: int = 0) -> Any:
        made.append(module.TensorRTBackend(path, card, flavour="tensorrt", device=gpu))
        return made[-1]

    yield make
    close(*made)


def frames(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def right(batch: np.ndarray) -> np.ndarray:
    total = batch.reshape(len(batch), SIDE * SIDE * 3).astype(np.int64).sum(1)
    return np.stack([total, 2 * total], 1).astype(np.float32)


def check(run: Any, count: int = 1, seed: int = 0) -> None:
    batch = frames(count, seed)
    np.testing.assert_array_equal(run.infer(batch), right(batch))


@pytest.mark.parametrize("capturable", [True, False])
@pytest.mark.parametrize("batches", [(1, 4), (2, 4)])
def test_every_batch_is_answered(
    opened: Callable[[], Any], engines: Engines, batches: tuple[int, int], capturable: bool
) -> None:
    engines.batches, engines.capturable = batches, capturable
    run = opened()
    for count in (1, 1, 1, 1, 1, 4, 3, 5, 11, 0, 2, 2, 2, 2, 1, 13):
        for seed in range(4):
            check(run, count, seed)
    for seed in range(5):
        run.infer(frames(1, seed))
    assert (run._graph is not None) == capturable
    assert run.gpu_ms > 0


def test_an_engine_that_refuses_to_be_recorded_is_queued(
    opened: Callable[[], Any], engines: Engines
) -> None:
    engines.refusals = {3}
    run = opened()
    for seed in range(6):
        check(run, seed=seed)
    assert run._graph is None
    assert engines.runs == 7, "it is recorded once, not before every batch"


def test_a_failed_run_is_a_device_error_and_the_next_one_answers(
    opened: Callable[[], Any], engines: Engines
) -> None:
    engines.refusals = {1}
    run = opened()
    with pytest.raises(DeviceError, match="cannot run the engine"):
        run.infer(frames(1))
    check(run)


def test_a_graph_that_does_not_launch_is_given_up(opened: Callable[[], Any], device: Any) -> None:
    if device.software is None:
        pytest.skip("a GPU refuses nothing on demand")
    run = opened()
    for _ in range(4):
        check(run)
    assert run._graph is not None
    device.software.refuse["cudaGraphLaunch"] = "cudaErrorNotSupported"
    with pytest.raises(DeviceError, match="launching a graph"):
        run.infer(frames(1))
    for _ in range(6):
        check(run)
    assert run._graph is None


def test_an_error_that_was_survived_does_not_explain_a_later_one(
    opened: Callable[[], Any], engines: Engines
) -> None:
    engines.refusals = {2}
    run = opened()
    run._api.log.errors.append("an old story")
    check(run)
    with pytest.raises(DeviceError) as caught:
        run.infer(frames(1))
    assert "an old story" not in str(caught.value)


def test_frames_that_are_not_contiguous(opened: Callable[[], Any]) -> None:
    batch = frames(4)[::-1, :, ::-1]
    np.testing.assert_array_equal(opened().infer(batch), right(batch))


def test_threads_with_a_backend_each(in_threads: InThreads, opened: Callable[[], Any]) -> None:
    def work(seed: int) -> None:
        run = opened()
        for k in range(100):
            check(run, 1 + k % 4, seed * 1000 + k)

    in_threads(4, work)


def test_one_backend_in_two_threads(in_threads: InThreads, opened: Callable[[], Any]) -> None:
    """A service may do that: a prediction must never be another thread's."""
    run = opened()

    def work(seed: int) -> None:
        for k in range(300):
            check(run, 1, seed * 1000 + k)

    in_threads(2, work)


def test_after_closing_it_refuses_to_infer(opened: Callable[[], Any]) -> None:
    run = opened()
    check(run)
    run.close()
    with pytest.raises(UserError, match="was closed"):
        run.infer(frames(1))
    run.close()


def test_closing_waits_for_the_batch_that_runs(
    in_threads: InThreads, opened: Callable[[], Any]
) -> None:
    run, refused = opened(), list[str]()

    def work(number: int) -> None:
        if number == 0:
            time.sleep(0.02)
            run.close()
            return
        try:
            for k in range(2000):
                check(run, 4, k)
        except UserError as error:
            refused.append(str(error))

    in_threads(3, work)
    assert len(refused) in (0, 2)


def test_the_callers_gpu_is_put_back(opened: Callable[..., Any], device: Any) -> None:
    if device.software is None:
        pytest.skip("the stand-in has two GPUs; a machine may have one")
    run = opened(gpu=1)
    assert device.software.device == 0
    check(run)
    assert device.software.device == 0
    (memory,) = {value[2] for (kind, _), value in device.software._live.items() if kind == "device"}
    assert memory == 1
    run.close()
    assert device.software.device == 0


@pytest.mark.parametrize("call", ["cudaMalloc", "cudaHostAlloc", "cudaEventCreate"])
def test_an_opening_that_fails_leaks_nothing(
    opened: Callable[[], Any], device: Any, call: str
) -> None:
    if device.software is None:
        pytest.skip("a GPU refuses nothing on demand")
    device.software.refuse[call] = "cudaErrorMemoryAllocation"
    with pytest.raises(DeviceError, match="cudaErrorMemoryAllocation"):
        opened()
    assert device.software.left == {}


def test_a_lost_gpu_does_not_keep_a_backend_from_closing(
    opened: Callable[[], Any], device: Any
) -> None:
    if device.software is None:
        pytest.skip("a GPU is not lost on demand")
    run = opened()
    device.software.refuse["cudaSetDevice"] = "cudaErrorDevicesUnavailable"
    run.close()
    assert run._context is None


def test_many_openings_are_flat_in_memory(opened: Callable[[], Any], device: Any) -> None:
    one = frames(1)
    cycles = 20 if device.software else int(os.environ.get("EDGECAT_CYCLES", 1000))

    def cycle(count: int) -> tuple[int, int]:
        for _ in range(count):
            run = opened()
            for _ in range(4):
                run.infer(one)
            run.close()
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return device.gpu.free_memory(), pages * os.sysconf("SC_PAGE_SIZE")

    free, resident = cycle(cycles // 10 + 1)
    free_after, resident_after = cycle(cycles)
    assert free - free_after < 16 << 20
    assert resident_after - resident < 32 << 20


def test_wrong_frames(opened: Callable[[], Any]) -> None:
    with pytest.raises(UserError, match="expected uint8"):
        opened().infer(np.zeros((1, 8, 8, 3), np.uint8))


def test_errors_are_edgecats_own() -> None:
    assert issubclass(DeviceError, EdgecatError)
