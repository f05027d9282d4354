"""The result of an export, as a value that prints well and stands for its file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from edgecat_export.parity.comparison import Pair
from edgecat_export.precision.conversion import Conversion
from edgecat_export.precision.gate import GateReport
from edgecat_runtime.model.card import ModelCard


@dataclass(frozen=True)
class ExportResult:
    """The result of an export.

    It stands for its file wherever a path is expected (`os.fspath`): `Classifier.open(result)`.

    Attributes:
        files: the ONNX file and the engine, if written.
        card: the model card.
        conversion: to fp16 or int8, if requested.
        backends: each backend's result on the ONNX file's golden frames.
        engine: the builder's report.
        notes: what was decided about a foreign model, and which backends do not run it.

    Example:
        >>> result = export("vgg16.safetensors", precision="fp16")  # doctest: +SKIP
        >>> result  # doctest: +SKIP
        ExportResult('vgg16.fp16.onnx', fp16, 7.4 MB, gate passed)
    """

    files: tuple[Path, ...]
    card: ModelCard
    conversion: Conversion | None = None
    backends: tuple[Pair, ...] = ()
    engine: object = None
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file that was asked for: the engine if one was built, else the ONNX file."""
        return self.files[-1]

    @property
    def gate(self) -> GateReport | None:
        """How the converted model compares with float32; None without a conversion."""
        return self.conversion.gate if self.conversion else None

    @property
    def kept_float(self) -> tuple[str, ...]:
        """Layers that int8 left in floating point, or fp16 in float32."""
        return self.conversion.kept if self.conversion else ()

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        judged = f", gate {'passed' if self.gate.passed else 'FAILED'}" if self.gate else ""
        size = self.path.stat().st_size / 1e6 if self.path.is_file() else 0.0
        name = type(self).__name__
        return f"{name}({str(self.path)!r}, {self.card.precision}, {size:.1f} MB{judged})"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def __str__(self) -> str:
        lines = [f"{path}  {path.stat().st_size / 1e6:.1f} MB" for path in self.files]
        if self.conversion:
            lines += [f"  {self.conversion.gate}", *(f"  {n}" for n in self.conversion.notes)]
        lines += [f"  {note}" for note in self.notes]
        lines += [f"  {pair}" for pair in self.backends]
        return "\n".join(lines + ([f"  {self.engine}"] if self.engine else []))

    def to_dict(self) -> dict[str, Any]:
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
            report["notes"] = [*self.conversion.notes, *self.notes]
        elif self.notes:
            report["notes"] = list(self.notes)
        if self.engine:
            report["engine"] = str(self.engine)
        return report
