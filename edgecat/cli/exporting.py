"""One export as the command line asks for it: read, convert, prove, write, build."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgecat.cli.console import progress
from edgecat.cli.export_sources import Described, photographs_for, read_model
from edgecat.pretrained import shipped
from edgecat_export.parity import Pair
from edgecat_export.precision import Conversion, convert
from edgecat_export.publish import save_onnx
from edgecat_export.scan import Progress
from edgecat_runtime.artifact import read_card
from edgecat_runtime.card import ModelCard, Precision
from edgecat_runtime.errors import UserError

SUFFIXES = {"onnx": ".onnx", "trt": ".trt", "trt-rtx": ".rtx"}


@dataclass(frozen=True)
class Done:
    """What an export wrote.

    Attributes:
        files: the ONNX file and the engine, as far as they were written.
        card: of the model.
        conversion: to fp16 or int8, if one was asked for.
        backends: how each backend answered the ONNX file's golden frames.
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
        """The figures for `--json`."""
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
    """One export as the command line asks for it.

    Attributes:
        source: a checkpoint or an ONNX file.
        to: `onnx`, `trt` or `trt-rtx`.
        precision: None for the source's own.
        output: the file to write; None for one beside the source, or here for the shipped model.
        described: what a foreign model's file does not say.
        calibrate: photographs for int8's ranges.
        gate: photographs to judge by.
        limit: at most so many of those; 0 for all.
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

    def run(self) -> Done:
        """Convert, prove and write.

        Raises:
            UserError: something given does not go together.
            GateError: the result would answer too differently; it was not written.
        """
        if self.precision == "int8" and not self.calibrate:
            raise UserError(
                "int8 needs photographs like the camera's to measure its ranges on, and none were "
                "given: add --calibrate photos/"
            )
        if self._ready():
            return self._build(Done((), read_card(self.source)), self.source)
        payload, card = read_model(self.source, self.described)
        precision = self.precision or card.precision
        onnx_path = self._onnx_path(precision)
        conversion = None
        if precision != card.precision:
            conversion = self._converted(payload, card, precision)
            payload, card = conversion.payload, conversion.card
        only_built = self.to != "onnx" and precision == "int8"
        pairs = save_onnx(payload, card, onnx_path, served=not only_built)
        done = Done((onnx_path,), card, conversion, tuple(pairs))
        return done if self.to == "onnx" else self._build(done, onnx_path)

    def _ready(self) -> bool:
        """Whether the source is an ONNX file that needs no conversion before an engine is built."""
        if self.source.suffix != ".onnx" or self.described.labels is not None:
            return False
        if self.to == "onnx" and self.precision is None and not self.described.given:
            raise UserError(
                f"{self.source} is ONNX already; say what to make of it with --precision or --to, "
                "or describe a foreign model with --labels"
            )
        if self.to == "onnx":
            return False
        return self.precision in (None, read_card(self.source).precision)

    def _converted(self, payload: bytes, card: ModelCard, precision: Precision) -> Conversion:
        calibration, judged = photographs_for(card, self.calibrate, self.gate, self.limit)
        with steps() as step:
            return convert(
                payload,
                card,
                precision,
                form="cpu" if self.to == "onnx" else "tensorrt",
                calibration=calibration,
                photographs=judged,
                progress=step,
            )

    def _build(self, done: Done, onnx_path: Path) -> Done:
        from edgecat_export.engine import EngineOptions, export_engine

        options = EngineOptions(**self.engine)
        target = self._target(done.card.precision)
        with steps() as step:
            report = export_engine(
                onnx_path,
                target,
                flavour="tensorrt" if self.to == "trt" else "tensorrt_rtx",
                options=options,
                progress=step,
            )
        return replace(done, files=(*done.files, target), engine=report)

    def _target(self, precision: Precision) -> Path:
        """The file to write: `vgg16.onnx`, `vgg16.int8.onnx`, `vgg16.trt` or `vgg16.rtx`."""
        suffix = SUFFIXES[self.to]
        named = f".{precision}" if self.to == "onnx" and precision != "fp32" else ""
        folder = Path() if shipped(self.source) else self.source.parent
        stem = self.source.name.split(".")[0] if shipped(self.source) else self.source.stem
        target = self.output or folder / (stem + named + suffix)
        if target.suffix != suffix:
            raise UserError(f"--output {target} has no {suffix} ending; expected a {suffix} file")
        if target.resolve() != self.source.resolve():
            return target
        if self.output:
            raise UserError(f"--output {target} is the model itself; name another file")
        return target.with_name(f"{target.stem}.edgecat{suffix}")

    def _onnx_path(self, precision: Precision) -> Path:
        """Where the ONNX file goes: the target, or beside the engine that is built from it."""
        target = self._target(precision)
        if self.to == "onnx":
            return target
        named = {"fp32": "", "fp16": ".fp16", "int8": ".int8-trt"}[precision]
        path = target.with_name(f"{target.stem}{named}.onnx")
        return path if path.resolve() != self.source.resolve() else path.with_suffix(".trt.onnx")


def batches(text: str) -> dict[str, int]:
    """Read `1,1,8`: the smallest, the usual and the largest batch.

    Raises:
        UserError: it is no such list.
    """
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        raise UserError(
            f"--batch {text}; expected the smallest, the usual and the largest, such as 1,1,8"
        )
    return dict(zip(("min_batch", "opt_batch", "max_batch"), map(int, parts), strict=True))


@contextmanager
def steps() -> Iterator[Progress]:
    """A bar for the passes over photographs, whose number is not known beforehand."""
    with progress(0, "exporting") as advance:
        yield lambda what: advance(1, what)
