"""ONNX to TensorRT engine: one code path from TensorRT 10.3 to 11 and TensorRT-RTX.

Precision is defined by the graph: networks are strongly typed and the builder does not choose it.
The card is stored as the network's name and read back after building.
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
from edgecat_runtime.model.artifact import read_card, read_stored
from edgecat_runtime.model.card import CardError, ModelCard
from edgecat_runtime.model.signature import signed_message, stored_signature
from edgecat_runtime.model.trust import own_output
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
    """The result of `export_engine`.

    Attributes:
        path: the engine file.
        builder: name and version of the builder.
        precision: of the graph.
        bytes: size of the file.
        seconds: build time.
        onnx: the ONNX file's result on its golden frames; None if nothing here can run it.
        engine: the engine's result on them; None if it cannot run here.
        unrun: why the engine cannot run here; empty if it ran.
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
        return "\n  ".join(lines + ([f"not run: {self.unrun}"] if self.unrun else []))


def engine_from_onnx(
    source: str | Path | bytes,
    card: ModelCard | None = None,
    *,
    flavour: Flavour = "tensorrt",
    options: EngineOptions | None = None,
    progress: Progress | None = None,
) -> memoryview:
    """Build an engine from a deployed graph.

    Args:
        source: an ONNX file, or its bytes.
        card: to store; None: the file's own. Labels that do not fit are left out of the engine.
        flavour: `tensorrt` or `tensorrt_rtx`.
        options: batches, memory, compatibility.
        progress: called with the builder's current activity.

    Returns:
        The serialised engine.

    Raises:
        BackendMissing: that flavour, or cuda-bindings, is not installed.
        DeviceError: TensorRT was requested and there is no GPU (TensorRT-RTX builds without one),
            or not the requested one.
        EngineError: TensorRT rejects the graph or the options.
        CardError: the card is missing or too long.
        KeyboardInterrupt: the build was cancelled from the keyboard.
    """
    name = "the graph" if isinstance(source, bytes) else Path(source).name
    signer = "" if isinstance(source, bytes) else _signer(Path(source))
    if card is None:
        if isinstance(source, bytes):
            raise UserError("the graph has no card: pass one to engine_from_onnx")
        card = read_card(source)
    payload = source if isinstance(source, bytes) else Path(source).read_bytes()
    api = tensorrt(flavour)
    options = options or EngineOptions()
    gpu = _gpu(api, options.gpu)
    card = _engine_card(card, api, gpu, options, name, signer)
    return Build(api, gpu, options, progress, name).run(payload, card)


def export_engine(
    onnx_path: str | Path,
    output: str | Path,
    *,
    flavour: Flavour = "tensorrt",
    options: EngineOptions | None = None,
    progress: Progress | None = None,
) -> EngineReport:
    """Verify an ONNX file, build its engine, verify that if it can run, and only then rename it.

    Args:
        onnx_path: the deployed graph with its card.
        output: the engine file, `.trt` or `.rtx`.
        flavour: `tensorrt` or `tensorrt_rtx`.
        options: batches, memory, compatibility.
        progress: called with the current activity.

    Raises:
        GateError: the ONNX file or the engine gives wrong logits for its golden frames; nothing
            is written.
        BackendMissing: neither ONNX Runtime nor a GPU is available to verify it with.
        UserError: a path is unsuitable, or nothing can be written there; also as
            `engine_from_onnx`.
        DeviceError: as `engine_from_onnx`.
    """
    path, output = Path(onnx_path), Path(output)
    kind, options = kind_of(flavour), options or EngineOptions()
    if output.suffix != kind.suffix:
        raise UserError(f"{output} does not end in {kind.suffix}; {kind.title} engines do")
    onnx = _onnx_parity(path)
    began = perf_counter()
    plan = engine_from_onnx(path, flavour=flavour, options=options, progress=progress)
    seconds, size = perf_counter() - began, plan.nbytes
    with atomic_path(output) as temporary, own_output():
        with temporary.open("wb") as file:
            file.write(plan)
        plan.release()
        engine, unrun = _engine_parity(temporary, kind.backend, str(output), options)
        if engine is None and onnx is None:
            raise BackendMissing(
                f"{output} was not written: it cannot run here ({unrun}), and no backend is "
                "installed to verify its graph: pip install 'edgecat-runtime[onnx]'"
            )
    with own_output():
        precision = read_card(output).precision
    title = str(tensorrt(flavour))
    return EngineReport(str(output), title, precision, size, seconds, onnx, engine, unrun)


def rebuild_engine(
    path: str | Path,
    *,
    options: EngineOptions | None = None,
    progress: Progress | None = None,
) -> EngineReport:
    """Rebuild an engine for this machine from the ONNX file next to it.

    Raises:
        UserError: no such ONNX file, or another checkpoint or precision; otherwise as
            `export_engine`.
    """
    path = Path(path)
    card = read_card(path)
    kind = next(k for k in map(kind_of, ("tensorrt", "tensorrt_rtx")) if k.suffix == path.suffix)
    source = path.with_name(card.tools.get("source", f"{path.stem}.onnx"))
    if not source.is_file():
        raise UserError(
            f"{path} was built from {source.name}, which is not next to it. Copy it there"
        )
    found = read_card(source)
    made_of = (card.checkpoint_sha256, card.precision)
    if (found.checkpoint_sha256, found.precision) != made_of:
        raise UserError(
            f"{source} is {found.precision} of checkpoint {found.checkpoint_sha256[:12]}; {path} "
            f"was {made_of[1]} of {made_of[0][:12]}. Export it again from the right file"
        )
    return export_engine(source, path, flavour=kind.flavour, options=options, progress=progress)


def save_engine(plan: memoryview, path: str | Path) -> None:
    """Write an engine atomically; raises UserError if it cannot be written."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(plan)


def _onnx_parity(path: Path) -> Pair | None:
    """Compare the graph with its golden logits on the CPU; None if nothing here can run it.

    An int8 graph is computed in double precision if the onnx package is installed: it will run on
    TensorRT, and a CPU's integer kernels may compute its form differently.
    """
    if path.suffix != ".onnx":
        raise CardError(f"{path} is not an ONNX file; engines are built from one: edgecat export")
    if read_card(path).precision == "int8" and find_spec("onnx"):
        from edgecat_export.precision.gate import exact_parity

        return _passed(exact_parity(path))
    for backend in available_backends(path, device="cpu"):
        try:
            pair = golden_parity(path, backend, device="cpu")
        except CardError:
            raise
        except UserError:  # for example, an older OpenCV cannot load the graph
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
    """Compare the engine with its golden logits, or say why it cannot run here."""
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
    if not api.rtx or number:  # a number was requested
        return open_gpu(number)
    with suppress(EdgecatError):
        return open_gpu()
    return None


def _signer(source: Path) -> str:
    """The fingerprint of the key that signed the ONNX file; empty if none did."""
    stored = read_stored(source)
    signature = stored_signature(source, stored.signature)
    with suppress(BackendMissing):
        if signature is not None and signature.matches(signed_message(source, stored.text)):
            return signature.key.fingerprint
    return ""


def _engine_card(
    card: ModelCard,
    api: TensorRT,
    gpu: Gpu | None,
    options: EngineOptions,
    name: str,
    signer: str = "",
) -> ModelCard:
    """The engine's card: with everything the engine depends on."""
    compatible = {
        "hardware": options.hardware_compatible or api.rtx,
        "version": options.version_compatible,
    }
    kept = " ".join(word for word, chosen in compatible.items() if chosen)
    tools = {**card.tools, **here(api, gpu), "source": name}
    tools |= {"compatible": kept} if kept else {}
    tools |= {"source_signed_by": signer} if signer else {}
    return replace(card, tools=tools, payload_bytes=0, payload_sha256="")
