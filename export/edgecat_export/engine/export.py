"""ONNX to TensorRT engine: one path from TensorRT 10.3 to 11 and TensorRT-RTX.

Precision lives in the graph, so networks are strongly typed and the builder decides nothing about
it. The card is the network's name, read back after building.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

from edgecat_export.engine.builder import Build, EngineOptions
from edgecat_export.engine.errors import EngineError
from edgecat_export.engine.monitor import Progress
from edgecat_export.parity.comparison import Pair, golden_parity
from edgecat_runtime.backends import available_backends
from edgecat_runtime.backends.tensorrt import EngineMismatch, here
from edgecat_runtime.errors import BackendMissing, DeviceError, EdgecatError, GateError, UserError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import CardError, ModelCard
from edgecat_runtime.nvidia.cuda import Gpu, open_gpu
from edgecat_runtime.nvidia.tensorrt import Flavour, TensorRT, kind_of, tensorrt
from edgecat_runtime.system.atomic import atomic_path

__all__ = [
    "EngineError",
    "EngineOptions",
    "EngineReport",
    "engine_from_onnx",
    "export_engine",
    "rebuild_engine",
    "save_engine",
]


@dataclass(frozen=True)
class EngineReport:
    """What `export_engine` did.

    Attributes:
        path: of the engine.
        builder: name and version of what built it.
        precision: of the graph.
        bytes: size of the file.
        seconds: that building took.
        onnx: how the ONNX file answered its golden frames; None where nothing here runs it.
        engine: how the engine answered them; None where it could not run here.
        unrun: why the engine could not run here; empty where it did.
    """

    path: str
    builder: str
    precision: str
    bytes: int
    seconds: float
    onnx: Pair | None
    engine: Pair | None
    unrun: str = ""

    def __str__(self) -> str:
        built = f"{self.builder}, {self.precision}, {self.bytes / 1e6:.1f} MB, {self.seconds:.1f} s"
        lines = [f"built by {built}", *(str(pair) for pair in (self.onnx, self.engine) if pair)]
        return "\n  ".join(lines + ([f"unrun: {self.unrun}"] if self.unrun else []))


def engine_from_onnx(
    source: str | Path | bytes,
    card: ModelCard | None = None,
    *,
    flavour: Flavour = "tensorrt",
    options: EngineOptions | None = None,
    progress: Progress | None = None,
) -> memoryview:
    """Build an engine from the deployed graph.

    Args:
        source: an ONNX file, or its bytes.
        card: to carry; None: the file's own. Labels that do not fit are left out of the engine.
        flavour: `tensorrt` or `tensorrt_rtx`.
        options: batches, memory, compatibility.
        progress: told what the builder is at.

    Returns:
        The serialised engine.

    Raises:
        BackendMissing: that flavour, or cuda-bindings, is not installed.
        DeviceError: TensorRT was asked for and there is no GPU (TensorRT-RTX builds without), or
            not the one asked for.
        EngineError: TensorRT refuses the graph or the options.
        CardError: the card is missing or too long.
        KeyboardInterrupt: the build was cancelled from the keyboard.
    """
    name = "the graph" if isinstance(source, bytes) else Path(source).name
    if card is None:
        if isinstance(source, bytes):
            raise UserError("the graph comes without a card: give engine_from_onnx one")
        card = read_card(source)
    payload = source if isinstance(source, bytes) else Path(source).read_bytes()
    api = tensorrt(flavour)
    options = options or EngineOptions()
    gpu = _gpu(api, options.gpu)
    card = _engine_card(card, api, gpu, options, name)
    return Build(api, gpu, options, progress, name).run(payload, card)


def export_engine(
    onnx_path: str | Path,
    output: str | Path,
    *,
    flavour: Flavour = "tensorrt",
    options: EngineOptions | None = None,
    progress: Progress | None = None,
) -> EngineReport:
    """Prove an ONNX file, build its engine, prove that where it can run, and only then name it.

    Args:
        onnx_path: the deployed graph with its card.
        output: the engine file, `.trt` or `.rtx`.
        flavour: `tensorrt` or `tensorrt_rtx`.
        options: batches, memory, compatibility.
        progress: told what is being done.

    Raises:
        GateError: the ONNX file or the engine answers its golden frames wrongly; nothing is
            written.
        BackendMissing: neither ONNX Runtime nor a GPU is here to prove it with.
        UserError: a path does not fit, or nothing can be written there; also as
            `engine_from_onnx`.
        DeviceError: as `engine_from_onnx`.
    """
    path, output = Path(onnx_path), Path(output)
    kind, options = kind_of(flavour), options or EngineOptions()
    if output.suffix != kind.suffix:
        raise UserError(f"{output} has no {kind.suffix} ending; {kind.title} engines have")
    onnx = _onnx_parity(path)
    began = perf_counter()
    plan = engine_from_onnx(path, flavour=flavour, options=options, progress=progress)
    seconds, size = perf_counter() - began, plan.nbytes
    with atomic_path(output) as temporary:
        with temporary.open("wb") as file:
            file.write(plan)
        plan.release()
        engine, unrun = _engine_parity(temporary, kind.backend, str(output), options)
        if engine is None and onnx is None:
            raise BackendMissing(
                f"{output} was not written: it cannot run here ({unrun}), and no backend is "
                "installed to prove its graph with: pip install 'edgecat-runtime[onnx]'"
            )
    precision = read_card(output).precision
    title = str(tensorrt(flavour))
    return EngineReport(str(output), title, precision, size, seconds, onnx, engine, unrun)


def rebuild_engine(
    path: str | Path,
    *,
    options: EngineOptions | None = None,
    progress: Progress | None = None,
) -> EngineReport:
    """Build an engine anew from the ONNX file beside it, for this machine.

    Raises:
        UserError: no such ONNX file, or one of another checkpoint or precision; else as
            `export_engine`.
    """
    path = Path(path)
    card = read_card(path)
    kind = next(k for k in map(kind_of, ("tensorrt", "tensorrt_rtx")) if k.suffix == path.suffix)
    source = path.with_name(card.tools.get("source", f"{path.stem}.onnx"))
    if not source.is_file():
        raise UserError(f"{path} came from {source.name}, which is not beside it. Copy it there")
    found = read_card(source)
    made_of = (card.checkpoint_sha256, card.precision)
    if (found.checkpoint_sha256, found.precision) != made_of:
        raise UserError(
            f"{source} is {found.precision} of checkpoint {found.checkpoint_sha256[:12]}; {path} "
            f"was {made_of[1]} of {made_of[0][:12]}. Export it again from the right file"
        )
    return export_engine(source, path, flavour=kind.flavour, options=options, progress=progress)


def save_engine(plan: memoryview, path: str | Path) -> None:
    """Write an engine whole or not at all; raises UserError where nothing can be written."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(plan)


def _onnx_parity(path: Path) -> Pair | None:
    """Hold the graph against its golden logits on the CPU; None where nothing here can run it.

    An int8 graph is computed in double precision, where the onnx package is installed: TensorRT
    will serve it, and a processor's integer kernels may answer its form differently.
    """
    if path.suffix != ".onnx":
        raise CardError(f"{path} is no ONNX file; engines are built from one: edgecat export")
    if read_card(path).precision == "int8" and find_spec("onnx"):
        from edgecat_export.precision.gate import exact_parity

        return _passed(exact_parity(path))
    for backend in available_backends(path, device="cpu"):
        try:
            pair = golden_parity(path, backend, device="cpu")
        except CardError:
            raise
        except UserError:  # an older OpenCV, for one, does not take the graph
            continue
        return _passed(pair)
    return None


def _passed(pair: Pair) -> Pair:
    if not pair.passed:
        raise GateError(f"no engine was built: {pair}")
    return pair


def _engine_parity(
    path: Path, backend: str, name: str, options: EngineOptions
) -> tuple[Pair | None, str]:
    """Hold the engine against its golden logits, or say why it cannot run here."""
    if options.strip:
        return None, "its weights are stripped"
    try:
        device = f"cuda:{options.gpu}" if options.gpu else "cuda"
        pair = golden_parity(path, backend, device=device, name=name)
    except (BackendMissing, DeviceError, EngineMismatch) as error:
        return None, str(error).replace(str(path), name)
    if not pair.passed:
        raise GateError(f"{name} was not written: {pair}")
    return pair, ""


def _gpu(api: TensorRT, number: int) -> Gpu | None:
    """The GPU to build on: TensorRT times kernels on one, TensorRT-RTX needs none."""
    if not api.rtx or number:  # a number was asked for
        return open_gpu(number)
    with suppress(EdgecatError):
        return open_gpu()
    return None


def _engine_card(
    card: ModelCard, api: TensorRT, gpu: Gpu | None, options: EngineOptions, name: str
) -> ModelCard:
    """The card as the engine carries it: with what the engine depends on."""
    compatible = {
        "hardware": options.hardware_compatible or api.rtx,
        "version": options.version_compatible,
    }
    kept = " ".join(word for word, chosen in compatible.items() if chosen)
    tools = {**card.tools, **here(api, gpu), "source": name}
    tools |= {"compatible": kept} if kept else {}
    return replace(card, tools=tools, payload_bytes=0, payload_sha256="")
