"""Build a TensorRT engine of a channel's model on the board that will run it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edgecat_runtime.errors import GateError, UserError
from edgecat_runtime.model.signing import read_key, sign_model
from edgecat_runtime.model.trust import own_output, trusted
from edgecat_runtime.system.child import ChildFailed, ChildUnavailable, in_child

BUILD_SECONDS = 3600.0
BUILD_MEMORY = 8 << 30


def engine_builder(key: Path, *, device: str) -> Callable[[Path, Callable[[], bool]], None]:
    """Return a function that builds and signs an engine beside an ONNX file.

    It builds in a child process, and returns at once if the engine is there already.

    Args:
        key: this device's private key; its public key has to be trusted.
        device: as `Classifier.open` takes it.

    Raises:
        UserError: the key cannot be read, or is not trusted here.
    """
    private, trust = read_key(key), trusted(None)
    if trust is None or private.public not in trust.keys:
        raise UserError(
            f"engines signed with {key} would be refused: its public key is not trusted. Add the "
            f"line in {key}.pub to the file of --trust"
        )

    def build(onnx: Path, stopped: Callable[[], bool]) -> None:
        engine = onnx.with_suffix(".trt")
        if engine.is_file():
            return
        try:
            in_child(
                f"{__name__}:build_engine",
                {"onnx": str(onnx), "engine": str(engine), "device": device},
                seconds=BUILD_SECONDS,
                memory=BUILD_MEMORY,
                cancelled=stopped,
            )
        except (ChildFailed, ChildUnavailable) as error:
            raise GateError(str(error)) from error
        try:
            with own_output():
                sign_model(engine, private)
        except BaseException:
            with suppress(OSError):
                engine.unlink()
            raise

    return build


def build_engine(onnx: str, engine: str, device: str) -> None:
    """In the child: build an engine; raises as `export_engine`."""
    from edgecat_export.engine.builder import EngineOptions
    from edgecat_export.engine.export import export_engine
    from edgecat_runtime.backends.base import gpu_number

    export_engine(onnx, engine, options=EngineOptions(gpu=gpu_number(device)))
