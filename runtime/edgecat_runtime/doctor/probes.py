"""What is tried in a process of its own, since it could take a process down with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edgecat_runtime.backends import open_backend
from edgecat_runtime.card import ModelCard
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.doctor.tiny import int8_graph, int8_logits, tiny_graph
from edgecat_runtime.tensorrt_api import Flavour, tensorrt

_CHILD_SECONDS = 120
_REMOTE_PROVIDERS = ("AzureExecutionProvider",)


class Unwell(Exception):
    """Something that was tried in a child did not work; says why."""


def in_child(function: str, *arguments: object, seconds: float = _CHILD_SECONDS) -> Any:
    """What a function returns in a process of its own.

    Args:
        function: a name in this module, or `module:name`.
        arguments: that it is called with, as JSON keeps them.
        seconds: that it may take.

    Raises:
        Unwell: it raised, crashed or did not come back.
    """
    program = "import sys; from edgecat_runtime.doctor.probes import answer; answer(*sys.argv[1:])"
    command = [sys.executable, "-c", program, function, json.dumps(arguments)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unwell(f"does not come back within {seconds:.0f} s") from error
    if ran.returncode < 0:
        raise Unwell(f"crashes: {signal.Signals(-ran.returncode).name}")
    try:
        result = json.loads(ran.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise Unwell(f"ends with {ran.returncode}") from error
    if "error" in result:
        raise Unwell(result["error"])
    return result["value"]


def why_not(function: str, *arguments: object) -> str:
    """Why a function of this module fails in a process of its own; empty where it does not."""
    try:
        in_child(function, *arguments)
    except Unwell as error:
        return str(error)
    return ""


# What the children run.


def ort_providers() -> tuple[str, list[str]]:
    """ONNX Runtime's version and its providers, but those that are no part of this machine."""
    import onnxruntime as ort

    names = [name for name in ort.get_available_providers() if name not in _REMOTE_PROVIDERS]
    return ort.__version__, names


def start_provider(provider: str) -> None:
    """Run a session on one provider of ONNX Runtime.

    Raises:
        Unwell: it was not taken: ONNX Runtime falls back to the CPU without an error.
    """
    import onnxruntime as ort

    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(tiny_graph(), options, providers=[provider])
    if provider not in session.get_providers():
        raise Unwell("falls back to the CPU: its libraries or its device are missing")
    session.run(None, {"frames": np.zeros((1, 4, 4, 3), np.uint8)})


def run_backend(name: str) -> None:
    """Classify a frame of one colour with one backend for ONNX; raises what any part raises."""
    with _tiny(tiny_graph(), name) as classifier:
        logits = classifier.classify(np.full((48, 64, 3), (1, 2, 3), np.uint8)).logits
    if logits != (1, 2, 3):
        raise Unwell(f"answers {logits} where (1, 2, 3) is right")


def run_int8(name: str, device: str) -> list[bool]:
    """Whether a backend is right in int8: with weights of 7 bits, and with weights of 8 bits."""
    right = []
    for weight in (63, 127):
        with _tiny(int8_graph(weight), name, device=device) as classifier:
            (logits,) = classifier.infer(np.full((1, 4, 4, 3), 255, np.uint8))
        right.append(bool(np.abs(logits - int8_logits(weight)).max() < 0.5))
    return right


@contextmanager
def _tiny(graph: bytes, name: str, *, device: str = "auto") -> Iterator[Classifier]:
    """Open a graph of `tiny` with one backend."""
    card = ModelCard(architecture="tiny", labels=("blue", "green", "red"), height=4, width=4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.onnx"
        path.write_bytes(graph)
        backend = open_backend(path, card, name=name, device=device)
        with Classifier(backend, card, device=device) as classifier:
            yield classifier


def start_tensorrt(flavour: Flavour, on_gpu: bool) -> str:
    """Load one flavour and, with a GPU, start its runtime; its version."""
    api = tensorrt(flavour)
    if on_gpu:
        try:
            api.trt.Runtime(api.logger)
        except TypeError as error:  # what its bindings raise where the library gives nothing
            raise Unwell(api.log.first_error or "its runtime does not start") from error
    return api.version


def answer(function: str, arguments: str) -> None:
    """In the child: call, and print the answer as the last line."""
    module, _, name = function.rpartition(":")
    try:
        called = getattr(import_module(module or __name__), name)
        result = {"value": called(*json.loads(arguments))}
    except Exception as error:  # the parent puts it into a finding
        result = {"error": (str(error).strip().splitlines() or [type(error).__name__])[0]}
    print(json.dumps(result), flush=True)  # noqa: T201
