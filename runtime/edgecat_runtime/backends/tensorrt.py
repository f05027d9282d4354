"""TensorRT and TensorRT-RTX: engines on an NVIDIA GPU."""

from __future__ import annotations

import mmap
import platform
import shlex
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.backends.base import check_frames, closed
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.model.card import CardError, ModelCard
from edgecat_runtime.nvidia.cuda import (
    DeviceMemory,
    Event,
    Gpu,
    Graph,
    PinnedMemory,
    Stream,
    open_gpu,
)
from edgecat_runtime.nvidia.tensorrt import Flavour, TensorRT, tensorrt


class EngineMismatch(UserError):
    """An engine that TensorRT cannot load on this machine.

    Attributes:
        source: the ONNX file next to the engine to rebuild it from, if there is one.
    """

    def __init__(self, message: str, source: Path | None) -> None:
        super().__init__(message)
        self.source = source


class TensorRTBackend:
    """An engine with its buffers, on one CUDA stream.

    Frames go through pinned memory, so that upload, inference and download are enqueued together.
    From the third batch of the same size on, all three are replayed as one CUDA graph, if the
    engine supports capture. Batches larger than the engine's maximum are split.

    Args:
        path: an engine; uint8 (batch, h, w, 3) BGR in, float32 logits out.
        card: its card.
        flavour: which TensorRT built it.
        device: CUDA ordinal of the GPU.

    Attributes:
        name: `tensorrt` or `tensorrt-rtx`.
        thread_safe: yes: threads take turns.
        gpu: the GPU it runs on.
        gpu_ms: GPU time of the last `infer` in milliseconds, including copies.

    Raises:
        BackendMissing: TensorRT or cuda-bindings is not installed.
        DeviceError: no usable GPU, one that TensorRT does not support, or not enough memory on it.
        EngineMismatch: the engine is damaged, or built for a different TensorRT, GPU or platform.
        CardError: the engine's input or output does not match its card.
    """

    thread_safe = True

    def __init__(self, path: Path, card: ModelCard, *, flavour: Flavour, device: int = 0) -> None:
        self._api = tensorrt(flavour)
        self.name = self._api.kind.backend
        self.gpu = open_gpu(device)
        self.gpu_ms = 0.0
        self._turn = Lock()
        self._graph: Graph | None = None
        self._graphs = True
        self._size = self._runs = 0
        with self.gpu.in_use(), ExitStack() as owned:
            owned.callback(self._forget)
            self._engine = _deserialised(path, card, self._api, self.gpu)
            self._check_tensors(path, card)
            self._context = self._new_context(path, card)
            self._allocate(owned)
            self._owned = owned.pop_all()

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run a batch: uint8 (n, h, w, 3) BGR to float32 logits (n, classes).

        Threads take turns, since there is one set of buffers.

        Raises:
            UserError: the frames have the wrong shape or type, or the backend was closed.
            DeviceError: the GPU failed.
        """
        check_frames(frames, *self._frame[:2])
        with self._turn:
            if self._context is None:  # the buffers are freed, too
                raise closed()
            with self.gpu.in_use():
                return self._split(frames)

    def close(self) -> None:
        """Free the engine and its memory; calling it twice is harmless."""
        with self._turn, ExitStack() as stack:
            with suppress(DeviceError):  # a lost GPU has lost its memory too
                stack.enter_context(self.gpu.in_use())
            self._owned.close()

    def _split(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run a batch in parts that fit the engine.

        After a failure the next batch starts from the beginning, without a graph if one failed.
        """
        self._api.log.clear()  # or a handled error would be blamed for a later one
        self.gpu_ms = 0.0
        logits = np.empty((len(frames), self._classes), np.float32)
        try:
            for start in range(0, len(frames), self._largest):
                part = frames[start : start + self._largest]
                logits[start : start + len(part)] = self._answer(part)
        except DeviceError:
            self._graphs = self._graphs and self._graph is None
            self._size = 0
            raise
        return logits

    def _answer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run one batch of at most the maximum size, padded to the minimum size."""
        np.copyto(self._frames[: len(frames)], frames)
        size = max(len(frames), self._smallest)
        if size != self._size:
            self._reshape(size)
        elif self._runs == 2 and self._graphs:
            self._record()
        self._stream.record(self._began)
        if self._graph is not None:
            self._stream.launch(self._graph)
        else:
            self._queue()
        self._stream.record(self._ended)
        self._stream.wait()
        self._runs += 1
        self.gpu_ms += self._ended.milliseconds_since(self._began)
        answered: NDArray[np.float32] = self._logits[: len(frames)]
        return answered

    def _record(self) -> None:
        """Replay the batch as a graph from now on, if the engine supports capture."""
        if self._api.capturable(self._context, self._stream.handle):
            self._graph = self._stream.capture(self._queue)
            self._api.log.clear()  # a rejection is not a failure

    def _reshape(self, size: int) -> None:
        self._drop_graph()
        if not self._context.set_input_shape(self._input, (size, *self._frame)):
            raise DeviceError(f"TensorRT rejects a batch of {size}: {self._api.log.first_error}")
        self._size, self._runs = size, 0

    def _queue(self) -> None:
        """Enqueue upload, inference and download."""
        self._stream.upload(self._device_in, self._pinned_in, self._frames[: self._size].nbytes)
        if not self._context.execute_async_v3(self._stream.handle):
            raise DeviceError(f"{self._api} cannot run the engine: {self._api.log.first_error}")
        self._stream.download(self._pinned_out, self._device_out, self._logits[: self._size].nbytes)

    def _check_tensors(self, path: Path, card: ModelCard) -> None:
        """Read names, shapes and batch sizes; raise if they do not match the card."""
        trt, engine = self._api.trt, self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        shapes = [tuple(engine.get_tensor_shape(name)) for name in (*inputs, *outputs)]
        types = [engine.get_tensor_dtype(name) for name in (*inputs, *outputs)]
        self._frame, self._classes = (card.height, card.width, 3), card.classes
        expected = [self._frame, (self._classes,)]
        if [s[1:] for s in shapes] != expected or types != [
            trt.DataType.UINT8,
            trt.DataType.FLOAT,
        ]:
            raise CardError(
                f"{path} has tensors {names} of shapes {shapes}; its card expects uint8 "
                f"{('batch', *self._frame)} in and float32 {('batch', self._classes)} out. "
                "Export it again"
            )
        (self._input,), (self._output,) = inputs, outputs
        least, _, most = engine.get_tensor_profile_shape(self._input, 0)
        self._smallest, self._largest = least[0], most[0]

    def _new_context(self, path: Path, card: ModelCard) -> Any:
        if self._api.stripped(self._engine):
            raise UserError(
                f"{path} was built with --strip, without its weights, and cannot "
                "run. Rebuild it without --strip"
            )
        context = self._api.context(self._engine)
        if context is None:
            if not self._api.serves(self.gpu.capability):
                raise not_served(path, card, self._api, self.gpu)
            raise DeviceError(
                f"{path} needs {self._engine.device_memory_size_v2 / 1e6:.0f} MB in addition to "
                f"its weights; {self.gpu} has {self.gpu.free_memory() / 1e6:.0f} MB free. Close "
                "other programs that use the GPU, or build the engine for smaller batches"
            )
        return context

    def _allocate(self, owned: ExitStack) -> None:
        """Create stream, events and buffers, released by `owned` in reverse order."""
        images = self._largest * int(np.prod(self._frame))
        answers = self._largest * self._classes * 4
        self._stream = _owned(owned, Stream())
        self._began, self._ended = _owned(owned, Event()), _owned(owned, Event())
        self._pinned_in = _owned(owned, PinnedMemory(images))
        self._pinned_out = _owned(owned, PinnedMemory(answers))
        self._device_in = _owned(owned, DeviceMemory(images))
        self._device_out = _owned(owned, DeviceMemory(answers))
        owned.callback(self._drop_graph)
        self._frames = self._pinned_in.array.reshape(self._largest, *self._frame)
        self._logits = self._pinned_out.array.view(np.float32).reshape(self._largest, -1)
        self._context.set_tensor_address(self._input, self._device_in.pointer)
        self._context.set_tensor_address(self._output, self._device_out.pointer)

    def _drop_graph(self) -> None:
        if self._graph is not None:
            self._graph.close()
        self._graph = None

    def _forget(self) -> None:
        """Release TensorRT's objects, the context before its engine."""
        self._context = None
        self._engine = None


def _owned(owned: ExitStack, resource: Any) -> Any:
    owned.callback(resource.close)
    return resource


def _deserialised(path: Path, card: ModelCard, api: TensorRT, gpu: Gpu) -> Any:
    api.log.clear()
    runtime = api.trt.Runtime(api.logger)
    if "version" in card.tools.get("compatible", ""):
        runtime.engine_host_code_allowed = True  # it brings its own lean runtime
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as plan:
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            causes = api.why_invalid(runtime, plan)
            if "UNSUPPORTED_CC" in causes or not api.serves(gpu.capability):
                raise not_served(path, card, api, gpu)
            raise mismatch(path, card, api, gpu, api.log.first_error or causes)
    return engine


def not_served(path: Path, card: ModelCard, api: TensorRT, gpu: Gpu) -> DeviceError:
    """Say that no engine of this flavour runs on this GPU: building another would not help."""
    known = ", ".join(f"{number // 10}.{number % 10}" for number in api.served)
    serves = f"; it serves compute capabilities {known}" if known else ""
    return DeviceError(
        f"{path} cannot run here: {gpu} is not served by {api}{serves}. Use the ONNX file that it "
        f"was built from, {_source(path, card)}"
    )


def here(api: TensorRT, gpu: Gpu | None) -> dict[str, str]:
    """What an engine depends on, as stored in its card's `tools`.

    Args:
        api: the flavour that builds or runs it.
        gpu: the GPU, or None where an engine is built without one.
    """
    system = f"{platform.system()} {platform.machine()}"
    found = {api.kind.backend: api.version, "platform": system}
    return found | ({"gpu": str(gpu)} if gpu is not None else {})


def mismatch(path: Path, card: ModelCard, api: TensorRT, gpu: Gpu, reason: str) -> EngineMismatch:
    """Explain why an engine cannot be loaded: what it was built with and what this machine has."""
    now = here(api, gpu)
    titles = {api.kind.backend: f"{api.kind.title} ", "platform": "", "gpu": ""}
    differ = [key for key in titles if card.tools.get(key, now[key]) != now[key]]
    source = _source(path, card)
    command = ["edgecat", "export", str(source), "--to", api.kind.target, "--output", str(path)]
    rebuild = f"Rebuild it here: {shlex.join(command)}"
    if differ:
        built = ", ".join(titles[key] + card.tools[key] for key in differ)
        found = ", ".join(titles[key] + now[key] for key in differ)
        sentence = f"{path} was built with {built}; this machine has {found}"
    else:
        sentence = f"{path} was rejected by {api} on {gpu}"
    why = f" ({reason})" if reason else ""
    return EngineMismatch(f"{sentence}{why}. {rebuild}", source if source.is_file() else None)


def _source(path: Path, card: ModelCard) -> Path:
    """The ONNX file that an engine was built from, if it still lies beside it."""
    return path.with_name(card.tools.get("source", f"{path.stem}.onnx"))
