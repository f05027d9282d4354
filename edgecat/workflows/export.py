"""One export: read, convert, verify, write, build."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from edgecat.pretrained import shipped
from edgecat.workflows.export_result import ExportResult
from edgecat.workflows.export_sources import ForeignModel, photographs_for, read_model
from edgecat.workflows.inputs import Paths, StrPath, many_paths, names_missing_packages, one_path
from edgecat.workflows.models import finished, model_to_export
from edgecat.workflows.reporter import SILENT, Reporter, steps
from edgecat_export.engine.builder import EngineOptions
from edgecat_export.precision.conversion import Conversion, convert
from edgecat_export.publish import save_onnx
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import ModelCard, Precision
from edgecat_runtime.model.signing import read_key, sign_model
from edgecat_runtime.model.trust import own_output

Target = Literal["onnx", "trt", "trt-rtx"]
SUFFIXES = {"onnx": ".onnx", "trt": ".trt", "trt-rtx": ".rtx"}


@dataclass(frozen=True)
class ExportRequest:
    """An export to perform.

    Attributes:
        source: a checkpoint or an ONNX file.
        to: `onnx`, `trt` or `trt-rtx`.
        precision: None for the source's own.
        output: the file to write; None for one beside the source, or here for the shipped model.
        foreign: what a foreign model's file does not say.
        calibrate: photographs for int8's ranges.
        gate: photographs to judge by.
        limit: at most this many of those; 0 for all.
        engine: how to build a TensorRT engine; None for the defaults.
        backends: those to prove the ONNX file on; empty for all that are installed.
        key: a private key to sign every written file with; None: they are not signed.

    Example:
        >>> request = ExportRequest(Path("vgg16.safetensors"), precision="fp16", limit=200)
        >>> result = request.run()  # doctest: +SKIP
    """

    source: Path
    to: Target = "onnx"
    precision: Precision | None = None
    output: Path | None = None
    foreign: ForeignModel = field(default_factory=ForeignModel)
    calibrate: tuple[Path, ...] = ()
    gate: tuple[Path, ...] = ()
    limit: int = 1000
    engine: EngineOptions | None = None
    backends: tuple[str, ...] = ()
    key: Path | None = None

    def run(self, reporter: Reporter = SILENT) -> ExportResult:
        """Convert, verify and write.

        Args:
            reporter: receives the progress.

        Raises:
            UserError: incompatible arguments.
            GateError: the result would drift beyond the limit; it was not written.
        """
        key = read_key(self.key) if self.key else None
        done = self._run(reporter)
        if key is None:
            return done
        notes = [f"signed by {key.public}: {sign_model(path, key)}" for path in done.files]
        return replace(done, notes=(*done.notes, *notes))

    def _run(self, reporter: Reporter) -> ExportResult:
        if self.precision == "int8" and not self.calibrate:
            raise UserError(
                "int8 needs photographs like the camera's to calibrate its ranges on; got none. "
                "Add --calibrate photos/"
            )
        if self._ready():
            return self._build(ExportResult((), read_card(self.source)), self.source, reporter)
        payload, card, decided = read_model(self.source, self.foreign)
        precision = self.precision or card.precision
        onnx_path = self._onnx_path(precision)
        conversion = None
        if precision != card.precision:
            conversion = self._converted(payload, card, precision, reporter)
            payload, card = conversion.payload, conversion.card
        only_built = self.to != "onnx" and precision == "int8"
        notes = [*decided]
        if not finished(self.source.parent):
            notes.append(
                f"{self.source.parent} was stopped before its last epoch; "
                f"edgecat train --resume {self.source.parent} continues it"
            )
        pairs = save_onnx(
            *(payload, card, onnx_path),
            served=not only_built,
            backends=self.backends,
            refused=notes.append,
        )
        done = ExportResult((onnx_path,), card, conversion, tuple(pairs), notes=tuple(notes))
        if self.to == "onnx":
            return done
        with own_output():
            return self._build(done, onnx_path, reporter)

    def _ready(self) -> bool:
        """Whether the source is an ONNX file that needs no conversion before an engine is built."""
        if self.source.suffix != ".onnx" or self.foreign.given:
            return False
        if self.to == "onnx" and self.precision is None:
            raise UserError(
                f"{self.source} is already ONNX; specify the conversion with --precision or --to, "
                "or describe a foreign model with --labels"
            )
        if self.to == "onnx":
            return False
        return self.precision in (None, read_card(self.source).precision)

    def _converted(
        self, payload: bytes, card: ModelCard, precision: Precision, reporter: Reporter
    ) -> Conversion:
        calibration, judged = photographs_for(
            card, self.calibrate, self.gate, limit=self.limit, reporter=reporter
        )
        with steps(reporter) as step:
            return convert(
                payload,
                card,
                precision,
                form="cpu" if self.to == "onnx" else "tensorrt",
                calibration=calibration,
                photographs=judged,
                progress=step,
            )

    def _build(self, done: ExportResult, onnx_path: Path, reporter: Reporter) -> ExportResult:
        from edgecat_export.engine.export import export_engine

        target = self._target(done.card.precision)
        with steps(reporter) as step:
            report = export_engine(
                onnx_path,
                target,
                flavour="tensorrt" if self.to == "trt" else "tensorrt_rtx",
                options=self.engine or EngineOptions(),
                progress=step,
            )
        return replace(done, files=(*done.files, target), engine=report)

    def _target(self, precision: Precision) -> Path:
        """The output file: `vgg16.onnx`, `vgg16.int8.onnx`, `vgg16.trt` or `vgg16.rtx`."""
        suffix = SUFFIXES[self.to]
        named = f".{precision}" if self.to == "onnx" and precision != "fp32" else ""
        folder = Path() if shipped(self.source) else self.source.parent
        stem = self.source.name.split(".")[0] if shipped(self.source) else self.source.stem
        target = self.output or folder / (stem + named + suffix)
        if target.suffix != suffix:
            raise UserError(f"--output {target} does not end in {suffix}; expected a {suffix} file")
        if target.resolve() != self.source.resolve():
            return target
        if self.output:
            raise UserError(f"--output {target} is the model itself; choose another file")
        return target.with_name(f"{target.stem}.edgecat{suffix}")

    def _onnx_path(self, precision: Precision) -> Path:
        """The path of the ONNX file: the target, or next to the engine that is built from it."""
        target = self._target(precision)
        if self.to == "onnx":
            return target
        named = {"fp32": "", "fp16": ".fp16", "int8": ".int8-trt"}[precision]
        path = target.with_name(f"{target.stem}{named}.onnx")
        return path if path.resolve() != self.source.resolve() else path.with_suffix(".trt.onnx")


@names_missing_packages
def export(
    model: StrPath | None = None,
    *,
    to: Target = "onnx",
    precision: Precision | None = None,
    calibrate: Paths | None = None,
    gate: Paths | None = None,
    output: StrPath | None = None,
    foreign: ForeignModel | None = None,
    engine: EngineOptions | None = None,
    reporter: Reporter = SILENT,
) -> ExportResult:
    """Export a model to ONNX or a TensorRT engine, and prove that it answers the same.

    A file is written only after it passed its gate. `ExportRequest` has one option more: `limit`.

    Args:
        model: a checkpoint, a `TrainResult`, or an `.onnx` file, edgecat's or foreign. None: the
            newest run under `runs/`, else the model that ships with edgecat, as for `shipped`.
        to: `onnx`, `trt` (TensorRT) or `trt-rtx` (TensorRT-RTX).
        precision: `fp32`, `fp16` or `int8`; None for the model's own.
        calibrate: photographs on which int8's ranges are measured: folders or tars.
        gate: photographs on which to compare with float32; None: those under `test/` in
            `calibrate`, else a share held back.
        output: the file to write; None: beside the model.
        foreign: describes an `.onnx` file that edgecat did not write.
        engine: how to build an engine; None for the defaults.
        reporter: receives progress and warnings; silent by default.

    Returns:
        The files, the gate's figures and the parity on each backend.

    Raises:
        UserError: options that do not go together, or no usable photographs.
        GateError: the result answers too differently; nothing was written.
        DeviceError: the GPU failed while building an engine.
        BackendMissing: a package that the export needs is not installed.

    Example:
        >>> result = export("vgg16.safetensors", precision="int8",
        ...                 calibrate="photos/")  # doctest: +SKIP
        >>> result.gate.agreement, result.kept_float  # doctest: +SKIP
        (0.998, ())
    """
    request = ExportRequest(
        source=model_to_export(model),
        to=to,
        precision=precision,
        output=None if output is None else one_path(output),
        foreign=foreign or ForeignModel(),
        calibrate=many_paths(calibrate),
        gate=many_paths(gate),
        engine=engine,
    )
    return request.run(reporter)
