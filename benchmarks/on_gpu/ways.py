"""The variants: edgecat's own backends, PyTorch's modes, and ONNX Runtime.

All map host memory to host memory: uint8 (n, height, width, 3) BGR frames in,
float32 logits (n, classes) out.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from edgecat_runtime.benchmark import Subject
from edgecat_runtime.errors import DeviceError, EdgecatError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.nvidia.cuda import DeviceMemory, Event, PinnedMemory, Stream, open_gpu
from edgecat_runtime.types import Frames, Logits
from on_gpu.ceilings import device_ms


@dataclass(frozen=True)
class Stages:
    """Milliseconds on the GPU, each timed separately; None if unknown.

    Attributes:
        up: the frames' copy to the GPU, from pinned memory.
        gpu: the network only.
        down: the logits' copy back.
    """

    up: float | None = None
    gpu: float | None = None
    down: float | None = None


class Way(Protocol):
    """One variant.

    Attributes:
        label: label in the table.
        precision: of the arithmetic: fp32, fp16, bf16 or int8.
        device: cpu or cuda.
    """

    label: str
    precision: str
    device: str

    def prepare(self, batch: int) -> None:
        """Prepare for batches of this size: allocate, compile, record."""

    def infer(self, frames: Frames) -> Logits:
        """Classify a batch of the prepared size."""

    def stages(self) -> Stages:
        """Time the parts of a batch."""


class Served:
    """A model behind edgecat's own `Classifier`, as in production."""

    def __init__(self, subject: Subject) -> None:
        self._classifier, self._gpu_ms = subject.classifier, subject.gpu_ms
        card, name = self._classifier.card, Path(subject.name).name
        self.label = f"edgecat: {name} on {self._classifier.backend}"
        self.precision, self.device = str(card.precision), self._classifier.device
        self._frames: Frames = np.empty((0, card.height, card.width, 3), np.uint8)

    def prepare(self, batch: int) -> None:
        """Do nothing: any batch size is supported."""

    def infer(self, frames: Frames) -> Logits:
        """Classify a batch."""
        self._frames = frames
        return self._classifier.infer(frames)

    def stages(self) -> Stages:
        """Return the GPU time reported by the backend, minus copies of the same sizes."""
        if self._gpu_ms is None:
            return Stages()
        times = []
        for _ in range(50):
            self._classifier.infer(self._frames)
            times.append(self._gpu_ms())
        up, down = copies_ms(self._frames.nbytes, 4 * len(self._frames) * self._classes)
        return Stages(up, max(statistics.median(times) - up - down, 0.0), down)

    @property
    def _classes(self) -> int:
        return self._classifier.card.classes


class Eager:
    """PyTorch eager; frames and logits pass through pinned memory."""

    def __init__(
        self,
        label: str,
        model: nn.Module,
        card: ModelCard,
        *,
        device: torch.device,
        precision: str = "fp32",
        channels_last: bool = False,
        compile_mode: str = "",
    ) -> None:
        dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
        layout = torch.channels_last if channels_last else torch.contiguous_format
        module = copy.deepcopy(model).eval().to(device, dtype)
        self._module: Any = module.to(memory_format=layout)  # type: ignore[call-overload]
        if compile_mode:
            torch._dynamo.reset()
            self._module = torch.compile(self._module, mode=compile_mode, dynamic=False)
        self.label, self.precision, self.device = label, precision, device.type
        self._place, self._dtype, self._card = device, dtype, card
        mean, std = (torch.tensor(v).view(1, 3, 1, 1).to(device) for v in (card.mean, card.std))
        # One multiplication and one addition, without host tensors: can be captured in a graph.
        self._scale, self._shift = 1 / (255 * std), -mean / std

    def prepare(self, batch: int) -> None:
        """Allocate the buffers, and compute once."""
        shape, pinned = (batch, self._card.height, self._card.width, 3), self.device == "cuda"
        self._host_in = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
        self._host_out = torch.empty((batch, self._card.classes), pin_memory=pinned)
        self._frames = torch.zeros(shape, dtype=torch.uint8, device=self._place)
        self._work = self._ready(batch)
        self._work()

    @torch.inference_mode()
    def infer(self, frames: Frames) -> Logits:
        """Classify a batch."""
        self._host_in.numpy()[:] = frames
        self._frames.copy_(self._host_in, non_blocking=True)
        self._host_out.copy_(self._work(), non_blocking=True)
        if self.device == "cuda":
            torch.cuda.current_stream().synchronize()
        logits: Logits = self._host_out.numpy().copy()
        return logits

    @torch.inference_mode()
    def stages(self) -> Stages:
        """Time each part by events on the stream."""
        logits = self._work().clone()
        return Stages(
            device_ms(lambda: self._frames.copy_(self._host_in, non_blocking=True), self._place),
            device_ms(self._work, self._place, 50),
            device_ms(lambda: self._host_out.copy_(logits, non_blocking=True), self._place),
        )

    def _ready(self, batch: int) -> Callable[[], Tensor]:
        """Compute logits from frames, both on the device."""
        return self._computed

    @torch.inference_mode()
    def _computed(self) -> Tensor:
        images = self._frames.permute(0, 3, 1, 2).flip(1).to(torch.float32)
        logits: Tensor = self._module((images * self._scale + self._shift).to(self._dtype))
        return logits.float()


class Recorded(Eager):
    """PyTorch replayed as one CUDA graph."""

    def _ready(self, batch: int) -> Callable[[], Tensor]:
        """Warm up on a side stream, and record the graph."""
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._computed()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = self._computed()

        def replayed() -> Tensor:
            graph.replay()
            return logits

        return replayed


class Bound(Eager):
    """ONNX Runtime's CUDA provider with GPU memory (IOBinding), on PyTorch's stream.

    Args:
        label: label in the table.
        path: the exported graph, which takes frames directly.
        card: its card.
        device: the GPU; a CPU in a rehearsal.
    """

    def __init__(self, label: str, path: Path, card: ModelCard, *, device: torch.device) -> None:
        import onnxruntime as ort

        super().__init__(label, nn.Identity(), card, device=device)
        self.precision = card.precision
        options = ort.SessionOptions()
        options.log_severity_level = 4
        self._session = ort.InferenceSession(
            str(path), options, providers=[self._provider()], enable_fallback=0
        )
        started, wanted = self._session.get_providers()[0], self._provider()[0]
        if started != wanted:
            raise DeviceError(f"onnxruntime started {started}; expected {wanted}")
        self._options = ort.RunOptions()
        if self.device == "cuda":  # stream order suffices
            name = "disable_synchronize_execution_providers"
            self._options.add_run_config_entry(name, "1")

    def _ready(self, batch: int) -> Callable[[], Tensor]:
        """Bind the memory of frames and logits."""
        self._logits = torch.zeros((batch, self._card.classes), device=self._place)
        self._binding = self._session.io_binding()
        at = self.device, self._place.index or 0
        for bind, name, kind, tensor in (
            (self._binding.bind_input, "frames", np.uint8, self._frames),
            (self._binding.bind_output, "logits", np.float32, self._logits),
        ):
            bind(name, *at, kind, tuple(tensor.shape), tensor.data_ptr())
        return self._computed

    def _computed(self) -> Tensor:
        self._session.run_with_iobinding(self._binding, self._options)
        return self._logits

    def _provider(self) -> tuple[str, dict[str, str]]:
        if self.device != "cuda":
            return "CPUExecutionProvider", {}
        stream = str(torch.cuda.current_stream().cuda_stream)
        number = str(self._place.index or 0)
        chosen = {"device_id": number, "use_tf32": "0", "user_compute_stream": stream}
        return "CUDAExecutionProvider", chosen


def copies_ms(up: int, down: int, repeats: int = 20) -> tuple[float, float]:
    """Measure copies of this many bytes to the GPU and back, with edgecat's own CUDA layer.

    Returns:
        Both medians in milliseconds; 0 without a GPU.
    """
    try:
        gpu = open_gpu()
        with gpu.in_use():
            return _copies_ms(max(up, 1), max(down, 1), repeats)
    except EdgecatError:
        return 0.0, 0.0


def _copies_ms(up: int, down: int, repeats: int) -> tuple[float, float]:
    size, stream = max(up, down), Stream()
    host, there, began, ended = PinnedMemory(size), DeviceMemory(size), Event(), Event()

    def one(copy_: Callable[[], None]) -> float:
        stream.record(began)
        copy_()
        stream.record(ended)
        stream.wait()
        return ended.milliseconds_since(began)

    try:
        there_ms = [one(lambda: stream.upload(there, host, up)) for _ in range(repeats)]
        back_ms = [one(lambda: stream.download(host, there, down)) for _ in range(repeats)]
        return statistics.median(there_ms), statistics.median(back_ms)
    finally:
        for each in (began, ended, host, there, stream):
            each.close()
