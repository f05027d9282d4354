"""The report of `benchmarks/gpu.py`, as JSON and Markdown."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgecat_runtime.system.atomic import atomic_write

PACKAGES = (
    *("edgecat", "torch", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt_rtx_cu13_libs"),
    *("cuda-bindings", "numpy"),
)
ENGINES = ("tensorrt", "tensorrt-rtx")


@dataclass
class Report:
    """The contents of the report, rewritten after each part.

    Attributes:
        gpu: description of the GPU.
        machine: description of the machine.
        cuda: CUDA version that the driver supports.
        asked: the requested parts.
        rehearsal: whether this is a trial of the script on a CPU, with meaningless figures.
        model: description of the model.
        weights: number of weights; 0 if unknown.
        macs: multiply-adds per frame; 0 if unknown.
        photographs: description of the images used for parity.
        software: versions by package.
        done: the finished parts, with their durations in seconds.
        tests: counts of tests/gpu by outcome, and the names of failed tests.
        ceilings: bandwidths in GB/s, rates in TFLOP/s, and their source.
        parity: comparison of each candidate with PyTorch.
        rows: every variant at every batch size.
        left_out: what did not run, with the reason.
        seconds: total duration.
    """

    gpu: str
    machine: str
    cuda: str
    asked: tuple[str, ...] = ()
    rehearsal: bool = False
    model: str = ""
    weights: int = 0
    macs: int = 0
    photographs: str = ""
    software: dict[str, str] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    tests: dict[str, Any] = field(default_factory=dict)
    ceilings: dict[str, Any] = field(default_factory=dict)
    parity: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def engines(self) -> int:
        """The number of engines that ran."""
        return sum(pair["backend"] in ENGINES for pair in self.parity)

    @property
    def failures(self) -> list[str]:
        """The reasons for a non-zero exit code, considering only the requested parts."""
        found = []
        if "tests" in self.asked and self.tests.get("failed") != 0:
            found.append("a test failed")
        if any(not pair["passed"] for pair in self.parity):
            found.append("a model does not match PyTorch")
        if "parity" in self.asked and not self.engines and not self.rehearsal:
            found.append("no engine ran")
        if {"latency", "peers"} & set(self.asked) and not self.rows:
            found.append("nothing was measured")
        return found

    @property
    def verdict(self) -> str:
        """A short summary of the outcome."""
        return ", ".join(self.failures) or "passed"

    def save(self, folder: Path) -> Path:
        """Write both files, each atomically.

        Returns:
            The path of the Markdown file; the JSON file is beside it.
        """
        stem = re.sub(r"[^a-z0-9]+", "-", self.gpu.lower()).strip("-")
        path = folder / f"{'rehearsal' if self.rehearsal else f'gpu-{stem}'}.md"
        atomic_write(path.with_suffix(".json"), json.dumps(asdict(self), indent=1) + "\n")
        atomic_write(path, markdown(self))
        return path


def installed() -> dict[str, str]:
    """Return the versions of the relevant installed packages."""
    return {name: number for name in PACKAGES if (number := _version(name))}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def markdown(report: Report) -> str:
    """Return the report as Markdown."""
    software = ", ".join(f"{name} {number}" for name, number in report.software.items())
    parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in report.done.items())
    said = [
        f"# {report.gpu}",
        "",
        *(["**A rehearsal on a CPU: all figures are meaningless.**", ""] * report.rehearsal),
        f"Measured by `python benchmarks/gpu.py` in {report.seconds:.0f} s ({parts}) on "
        f"{report.machine}; the driver supports CUDA {report.cuda}; {software}.",
        "",
        f"Model: {report.model}, {report.weights / 1e6:.1f} M weights, "
        f"{report.macs / 1e9:.2f} G multiply-adds per frame.",
        "",
        *_tests(report.tests),
        *_ceilings(report.ceilings),
        *_parity(report),
        *_latency(report),
    ]
    if report.left_out:
        said += ["## Not run", "", *(f"- {why}" for why in report.left_out), ""]
    return "\n".join(said)


def _tests(tests: dict[str, Any]) -> list[str]:
    if not tests:
        return []
    counts = ", ".join(f"{tests.get(k, 0)} {k}" for k in ("passed", "skipped", "failed"))
    return [
        f"**Tests** (`tests/gpu`): {counts}.",
        *(f"- failed: {name}" for name in tests.get("names", ())),
        *(f"- skipped: {reason}" for reason in tests.get("reasons", ())),
        "",
    ]


def _ceilings(ceilings: dict[str, Any]) -> list[str]:
    if not ceilings:
        return []
    names = {
        "memory_gb_s": "memory {:.0f} GB/s",
        "up_gb_s": "host to GPU {:.1f} GB/s",
        "down_gb_s": "GPU to host {:.1f} GB/s",
        "fp32_tflop_s": "fp32 {:.1f}",
        "fp16_tflop_s": "fp16 {:.0f}",
        "bf16_tflop_s": "bf16 {:.0f}",
        "int8_tflop_s": "int8 {:.0f} TFLOP/s",
    }
    known = [text.format(ceilings[name]) for name, text in names.items() if ceilings.get(name)]
    how = {
        "measured": "measured with a copy of 2 GiB, pinned transfers and products of 8192x8192",
        "driver": "computed from the driver's clocks and widths, not measured",
    }[ceilings["source"]]
    return [f"**Ceilings**, {how}: {', '.join(known) or 'unknown'}.", ""]


def _parity(report: Report) -> list[str]:
    if not report.parity:
        return []
    rows = (
        f"| {p['candidate']} | {p['backend']} | {p['device']} | {p['max_logit_error']:.1e} | "
        f"{p['agreement']:.2%} | {p['n']} | {'pass' if p['passed'] else '**FAIL**'} |"
        for p in report.parity
    )
    return [
        f"## Parity with PyTorch on the CPU, on {report.photographs}",
        "",
        "| model | backend | device | largest logit error | agreement | n | |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _latency(report: Report) -> list[str]:
    if not report.rows:
        return []
    return [
        "## Latency, host to host",
        "",
        "Milliseconds per batch, over rotating inputs. `up`, `GPU` and `down` are timed "
        "separately: the copy in, the network, the copy out. The floor is the larger of two times: "
        "reading every weight once, and every multiply-add, at the ceilings above. The share is "
        "the floor divided by the network's GPU time (by the latency if that is unknown).",
        "",
        "| variant | precision | batch | frames/s | p50 | p99 | up | GPU | down | floor | share | "
        "logit error |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *(_row(row) for row in report.rows),
        "",
    ]


def _row(row: dict[str, Any]) -> str:
    parts = ("-" if row[k] is None else f"{row[k]:.3f}" for k in ("up_ms", "gpu_ms", "down_ms"))
    cells = (
        *(row["way"], row["precision"], row["batch"], f"{row['fps']:.0f}"),
        *(f"{row['p50_ms']:.3f}", f"{row['p99_ms']:.3f}", *parts),
        f"{row['floor_ms']:.3f}" if row["floor_ms"] else "-",
        "-" if row["share"] is None else f"{row['share']:.0%}",
        f"{row['logit_error']:.1e}",
    )
    return f"| {' | '.join(map(str, cells))} |"
