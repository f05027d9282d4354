"""One export: read, convert, verify, write, build."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgecat.pretrained import shipped
from edgecat.workflows.export_sources import Described, photographs_for, read_model
from edgecat.workflows.reporter import SILENT, Reporter
from edgecat_export.parity.comparison import Pair
from edgecat_export.precision.conversion import Conversion, convert
from edgecat_export.precision.scan import Progress
from edgecat_export.publish import save_onnx
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import ModelCard, Precision

SUFFIXES = {"onnx": ".onnx", "trt": ".trt", "trt-rtx": ".rtx"}


@dataclass(frozen=True)
class Done:
    """The result of an export.

    Attributes:
        files: the ONNX file and the engine, if written.
        card: the model card.
        conversion: to fp16 or int8, if requested.
        backends: each backend's result on the ONNX file's golden frames.
        engine: the builder's report.
    """

    files: tuple[Path, ...]
    card: ModelCard
    conversion: Conversion | None = None
    backends: tuple[Pair, ...] = ()
    engine: object = None

    def __str__(self) -> str:
        lines = [f"{path}  {path.stat().st_size / 1e6:.1f} MB" for path in self.files]
        if self.conversion:
            lines += [f"  {self.conversion.gate}", *(f"  {n}" for n in self.conversion.notes)]
        lines += [f"  {pair}" for pair in self.backends]
        return "\n".join(lines + ([f"  {self.engine}"] if self.engine else []))

    def plain(self) -> dict[str, Any]:
        """The output for `--json`."""
        report: dict[str, Any] = {
            "files": [{"path": str(p), "bytes": p.stat().st_size} for p in self.files],
            "precision": self.card.precision,
            "backends": [{**asdict(pair), "passed": pair.passed} for pair in self.backends],
        }
        if self.conversion:
            gate = self.conversion.gate
            report["gate"] = {**asdict(gate), "loss": gate.loss, "passed": gate.passed}
            report["int8_share"] = self.conversion.int8_share
            report["notes"] = list(self.conversion.notes)
        if self.engine:
            report["engine"] = str(self.engine)
        return report


@dataclass(frozen=True)
class Job:
    """An export to perform.

    Attributes:
        source: a checkpoint or an ONNX file.
        to: `onnx`, `trt` or `trt-rtx`.
        precision: None to keep the source's.
        output: the file to write; None: next to the source (bundled model: the current folder).
        described: what a foreign model's file does not specify.
        calibrate: photographs to calibrate int8 ranges on.
        gate: photographs for the accuracy gate.
        limit: maximum number of those; 0 for all.
        engine: fields of `EngineOptions`.
    """

    source: Path
    to: str
    precision: Precision | None
    output: Path | None
    described: Described
    calibrate: tuple[Path, ...]
    gate: tuple[Path, ...]
    limit: int
    engine: Mapping[str, Any] = field(default_factory=dict)

    def run(self, reporter: Reporter = SILENT) -> Done:
        """Convert, verify and write.

        Args:
            reporter: receives the progress.

        Raises:
            UserError: incompatible arguments.
            GateError: the result would drift beyond the limit; it was not written.
        """
        if self.precision == "int8" and not self.calibrate:
            raise UserError(
                "int8 needs photographs like the camera's to calibrate its ranges on; got none. "
                "Add --calibrate photos/"
            )
        if self._ready():
            return self._build(Done((), read_card(self.source)), self.source, reporter)
        payload, card = read_model(self.source, self.described)
        precision = self.precision or card.precision
        onnx_path = self._onnx_path(precision)
        conversion = None
        if precision != card.precision:
            conversion = self._converted(payload, card, precision, reporter)
            payload, card = conversion.payload, conversion.card
        only_built = self.to != "onnx" and precision == "int8"
        pairs = save_onnx(payload, card, onnx_path, served=not only_built)
        done = Done((onnx_path,), card, conversion, tuple(pairs))
        return done if self.to == "onnx" else self._build(done, onnx_path, reporter)

    def _ready(self) -> bool:
        """Whether the source is an ONNX file that needs no conversion before an engine is built."""
        if self.source.suffix != ".onnx" or self.described.labels is not None:
            return False
        if self.to == "onnx" and self.precision is None and not self.described.given:
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

    def _build(self, done: Done, onnx_path: Path, reporter: Reporter) -> Done:
        from edgecat_export.engine.builder import EngineOptions
        from edgecat_export.engine.export import export_engine

        options = EngineOptions(**self.engine)
        target = self._target(done.card.precision)
        with steps(reporter) as step:
            report = export_engine(
                onnx_path,
                target,
                flavour="tensorrt" if self.to == "trt" else "tensorrt_rtx",
                options=options,
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


@contextmanager
def steps(reporter: Reporter) -> Iterator[Progress]:
    """A progress bar for passes over photographs whose number is not known in advance."""
    with reporter.progress(0, "exporting") as advance:
        yield lambda what: advance(1, what)
