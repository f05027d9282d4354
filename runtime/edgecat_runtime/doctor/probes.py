"""Probes that run in a child process, because they may crash it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edgecat_runtime.backends import open_backend
from edgecat_runtime.backends.tensorrt import TensorRTBackend
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.doctor.tiny import (
    SIDE,
    int8_graph,
    int8_logits,
    tiny_engine,
    tiny_graph,
)
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.nvidia.cuda import DeviceMemory, PinnedMemory, Stream, open_gpu
from edgecat_runtime.nvidia.driver import driver
from edgecat_runtime.nvidia.tensorrt import Flavour, tensorrt
from edgecat_runtime.system.foreign_text import one_line
from edgecat_runtime.system.plugins import Group, find_plugin
from edgecat_runtime.system.telemetry import import_onnxruntime

_CHILD_SECONDS = 120
_REMOTE_PROVIDERS = ("AzureExecutionProvider",)
GPU_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
_CARD = ModelCard(architecture="tiny", labels=("blue", "green", "red"), height=SIDE, width=SIDE)


class Unwell(Exception):
    """A probe failed in its child process; the message says why.

    Attributes:
        kind: name of the exception's class in the child; empty if it left none.
        fix: as the exception said, if it was an `EdgecatError` with one.
    """

    def __init__(self, message: str, *, kind: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.fix = fix


class NotServed(Unwell):
    """The library does not support this GPU."""


class Reason(str):
    """Why a probe failed, as text; empty if it did not. `kind` and `fix` are those of `Unwell`."""

    __slots__ = ("fix", "kind")

    kind: str
    fix: str

    def __new__(cls, text: str = "", *, kind: str = "", fix: str = "") -> Reason:
        """Make the text, and keep the rest beside it."""
        self = super().__new__(cls, text)
        self.kind, self.fix = kind, fix
        return self


def in_child(function: str, *arguments: object, seconds: float = _CHILD_SECONDS) -> Any:
    """Run a function in a child process and return its result.

    Args:
        function: a name in this module, or `module:name`.
        arguments: its arguments, JSON-ready.
        seconds: timeout.

    Raises:
        Unwell: it raised, crashed or timed out.
    """
    program = "import sys; from edgecat_runtime.doctor.probes import answer; answer(*sys.argv[1:])"
    command = [sys.executable, "-c", program, function, json.dumps(arguments)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unwell(f"timed out after {seconds:.0f} s") from error
    if ran.returncode < 0:
        raise Unwell(f"crashed: {signal.Signals(-ran.returncode).name}")
    try:
        result = json.loads(ran.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise Unwell(f"exited with code {ran.returncode}") from error
    if "error" in result:
        raise Unwell(result["error"], kind=result["kind"], fix=result["fix"])
    return result["value"]


def why_not(function: str, *arguments: object) -> Reason:
    """Why a function of this module fails in a child process; empty if it does not."""
    try:
        in_child(function, *arguments)
    except Unwell as error:
        return Reason(str(error), kind=error.kind, fix=error.fix)
    return Reason()


def on_each_gpu(function: str, *arguments: object) -> dict[str, Reason]:
    """Why a function of this module fails on each GPU; empty if it does not.

    Args:
        function: its name.
        arguments: of it, before the last one, which is the number of the GPU.
    """
    return {
        f"GPU {number}": why_not(function, *arguments, number)
        for number in range(len(driver().devices))
    }


def listed(outcomes: Mapping[str, str], works: str) -> str:
    """Say in one line what became of a function on each GPU."""
    return "; ".join(f"{gpu} {why or works}" for gpu, why in outcomes.items())


# Run in the child processes.


def ort_providers() -> tuple[str, list[str]]:
    """ONNX Runtime's version and its providers, except those for remote machines."""
    ort = import_onnxruntime()

    names = [name for name in ort.get_available_providers() if name not in _REMOTE_PROVIDERS]
    return ort.__version__, names


def start_provider(provider: str, gpu: int = 0) -> None:
    """Run a session on one provider of ONNX Runtime.

    Args:
        provider: its name.
        gpu: for providers that compute on one, as CUDA counts.

    Raises:
        Unwell: it was not used: ONNX Runtime falls back to the CPU without an error.
    """
    ort = import_onnxruntime()

    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    chosen = (provider, {"device_id": str(gpu)} if provider in GPU_PROVIDERS else {})
    session = ort.InferenceSession(tiny_graph(), options, providers=[chosen], enable_fallback=0)
    if provider not in session.get_providers():
        raise Unwell("falls back to the CPU: its libraries or its device is missing")
    session.run(None, {"frames": np.zeros((1, 4, 4, 3), np.uint8)})


def load_plugin(group: Group, name: str) -> None:
    """Import a plug-in; raises whatever fails."""
    plugin = find_plugin(group, name)
    if plugin is None:
        raise Unwell("not found in the child process")
    plugin.load()


def run_backend(name: str) -> None:
    """Classify a single-colour frame with one ONNX backend; raises whatever fails."""
    with _opened(tiny_graph(), name) as classifier:
        _check_answers(classifier)


def run_int8(name: str, device: str) -> list[bool]:
    """Whether a backend computes int8 correctly: with 7-bit weights, and with 8-bit weights."""
    right = []
    for weight in (63, 127):
        with _opened(int8_graph(weight), name, device=device) as classifier:
            (logits,) = classifier.infer(np.full((1, SIDE, SIDE, 3), 255, np.uint8))
        right.append(bool(np.abs(logits - int8_logits(weight)).max() < 0.5))
    return right


@contextmanager
def _opened(graph: bytes, name: str, *, device: str = "auto") -> Iterator[Classifier]:
    """Open a graph of `tiny` with one backend."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.onnx"
        path.write_bytes(graph)
        backend = open_backend(path, _CARD, name=name, device=device)
        with Classifier(backend, _CARD, device=device) as classifier:
            yield classifier


def tensorrt_version(flavour: Flavour) -> str:
    """Load one flavour."""
    return tensorrt(flavour).version


def run_engine(flavour: Flavour, gpu: int) -> None:
    """Build a tiny engine on one GPU, and classify with it, queued and as a CUDA graph."""
    api, found = tensorrt(flavour), open_gpu(gpu)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"tiny{api.kind.suffix}"
        try:
            with found.in_use():
                path.write_bytes(tiny_engine(api))
            backend = TensorRTBackend(path, _CARD, flavour=flavour, device=gpu)
        except EdgecatError as error:
            if api.serves(found.capability):
                raise
            raise NotServed(f"does not serve {found}: use ONNX files there") from error
        except TypeError as error:  # raised by the bindings if the library returns null
            raise Unwell(api.log.first_error or "cannot be started") from error
        with Classifier(backend, _CARD) as classifier:
            _check_answers(classifier)


def run_tensor(gpu: int) -> None:
    """Copy a few bytes to one GPU and back."""
    with open_gpu(gpu).in_use(), ExitStack() as stack:

        def kept(resource: Any) -> Any:
            stack.callback(resource.close)
            return resource

        up, down = kept(PinnedMemory(256)), kept(PinnedMemory(256))
        there, stream = kept(DeviceMemory(256)), kept(Stream())
        up.array[:] = np.arange(256)
        down.array[:] = 0
        stream.upload(there, up, 256)
        stream.download(down, there, 256)
        stream.wait()
        if not np.array_equal(down.array, up.array):
            raise Unwell("copies bytes wrongly")


def run_torch(gpu: int) -> None:
    """Multiply and convolve on one GPU with PyTorch, whose build must know its architecture."""
    torch = import_module("torch")
    if not torch.cuda.is_available():
        raise Unwell("this build is for the CPU, or does not find the GPU")
    ones = torch.ones(1, 3, 8, 8, device=f"cuda:{gpu}")
    product = (ones[0, 0] @ ones[0, 0]).sum().item()
    convolved = torch.nn.functional.conv2d(ones, torch.ones_like(ones)[..., :3, :3]).sum().item()
    if (product, convolved) != (512.0, 972.0):
        raise Unwell(f"computes {product} and {convolved} where 512 and 972 are right")


def _check_answers(classifier: Classifier) -> None:
    """Have a frame of one colour classified, often enough that a CUDA graph is replayed."""
    for _ in range(5):
        logits = classifier.classify(np.full((48, 64, 3), (1, 2, 3), np.uint8)).logits
        if logits != (1, 2, 3):
            raise Unwell(f"returned {logits}; expected (1, 2, 3)")


def answer(function: str, arguments: str) -> None:
    """In the child: call the function and print its result as the last line."""
    module, _, name = function.rpartition(":")
    try:
        called = getattr(import_module(module or __name__), name)
        result = {"value": called(*json.loads(arguments))}
    except Exception as error:  # the parent reports it in a finding
        kind, fix = type(error).__name__, error.fix if isinstance(error, EdgecatError) else ""
        first = one_line(error) or kind
        result = {"error": first, "kind": kind, "fix": fix}
    print(json.dumps(result), flush=True)  # noqa: T201
