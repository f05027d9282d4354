"""What edgecat does on this machine's NVIDIA GPU, measured by one command in under ten minutes.

    EDGECAT_PHOTOS=cats-dogs python benchmarks/gpu.py [CHECKPOINT] [--output docs/results]

Runs tests/gpu; exports the checkpoint to ONNX and to the engines of every TensorRT that is
installed, in fp32, fp16 and int8; holds each of them, on every backend for the GPU, against PyTorch
on photographs; measures latency at several batch sizes, with the fractions that it reaches of what
the GPU's memory and arithmetic allow; and writes gpu-<name>.md and gpu-<name>.json. Without
CHECKPOINT a VGG16 224x224 with random weights serves, without photographs drawn pets. What does not
run here is listed with the reason. Exit code 3: a test or a parity failed; 4: there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.card import ModelCard, Precision
from edgecat_runtime.nvidia.driver import Device, Limits, driver
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.machine import this_machine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgecat_runtime.benchmark.measuring import Result
    from edgecat_runtime.benchmark.opening import Subject

ROOT = Path(__file__).parent.parent
SECONDS, LATENCY_SECONDS = 570, 200
PICTURES = 200
BATCHES = (1, 8, 32)
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
FORMS = {"onnx": ".onnx", "trt": ".trt", "trt-rtx": ".rtx"}
BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "int8": 1}
PACKAGES = (
    *("edgecat", "torch", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt_rtx_cu13_libs"),
    *("cuda-bindings", "numpy"),
)


@dataclass
class Report:
    """All that is written down.

    Attributes:
        gpu: the GPU, in words.
        machine: the machine, in words.
        cuda: version of CUDA that the driver serves.
        model: what was measured, in words.
        pictures: what parity was judged on, in words.
        software: versions by package.
        tests: counts of tests/gpu by outcome, and the names of those that failed.
        parity: how each candidate compares with PyTorch.
        latency: results, each with its fractions of the limits.
        left_out: what did not run here, with the reason.
        seconds: that all of it took.
    """

    gpu: str
    machine: str
    cuda: str
    model: str = ""
    pictures: str = ""
    software: dict[str, str] = field(default_factory=dict)
    tests: dict[str, Any] = field(default_factory=dict)
    parity: list[dict[str, Any]] = field(default_factory=list)
    latency: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the tests ran and neither one of them nor a comparison failed."""
        return self.tests.get("failed") == 0 and all(pair["passed"] for pair in self.parity)


def main() -> int:
    """Measure, write both files and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("checkpoint", nargs="?", type=Path)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results")
    options = parser.parse_args()
    found = driver()
    if not found.devices:
        print("There is no NVIDIA GPU that works here; edgecat doctor says why.", file=sys.stderr)
        return 4
    gpu = found.devices[0]
    report = measured(options.checkpoint, gpu, found.cuda)
    name = re.sub(r"[^a-z0-9]+", "-", gpu.name.lower()).strip("-")
    atomic_write(options.output / f"gpu-{name}.json", json.dumps(asdict(report), indent=2) + "\n")
    atomic_write(options.output / f"gpu-{name}.md", markdown(report))
    print(f"wrote {options.output / f'gpu-{name}'}.md and .json in {report.seconds:.0f} s")
    return 0 if report.passed else 3


def measured(checkpoint: Path | None, gpu: Device, cuda: str) -> Report:
    """Run every step, each in the time that is left."""
    start = monotonic()
    report = Report(str(gpu), f"{this_machine()}, Python {platform.python_version()}", cuda)
    report.software = {name: number for name in PACKAGES if (number := installed(name))}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report.tests = gpu_tests(folder, seconds=150)
        checkpoint = checkpoint or drawn_checkpoint(folder)
        train, test, report.pictures = pictures(folder)
        report.model = f"{checkpoint.name}" + (
            ", random weights" if checkpoint.parent == folder else ""
        )
        deadline = start + SECONDS
        models = [checkpoint, *exported(checkpoint, train, folder, report.left_out, deadline)]
        with ExitStack() as stack:
            reference, subjects = opened_everywhere(models, stack, report.left_out)
            print(f"comparing {len(subjects)} with PyTorch on {report.pictures}")
            report.parity = parity(reference, subjects, test)
            latency(subjects, gpu.limits, report, deadline=deadline)
    report.seconds = round(monotonic() - start, 1)
    return report


def gpu_tests(folder: Path, seconds: float) -> dict[str, Any]:
    """Run tests/gpu and count."""
    print("running tests/gpu")
    result = folder / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-q", str(ROOT / "tests" / "gpu")]
    try:
        subprocess.run([*command, f"--junitxml={result}"], cwd=ROOT, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": 1, "names": [f"not done after {seconds:.0f} s"]}
    return counted(result) if result.is_file() else {"failed": 1, "names": ["pytest did not start"]}


def counted(junit: Path) -> dict[str, Any]:
    """Counts by outcome from pytest's XML; a run without tests has failed."""
    cases = list(ElementTree.parse(junit).iter("testcase"))
    failed = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    skipped = [c for c in cases if c.find("skipped") is not None]
    return {
        "passed": len(cases) - len(failed) - len(skipped),
        "skipped": len(skipped),
        "failed": len(failed) if cases else 1,
        "names": [f"{c.get('classname')}::{c.get('name')}" for c in failed],
        "reasons": sorted({str(c.find("skipped").get("message")) for c in skipped}),  # type: ignore[union-attr]
    }


def drawn_checkpoint(folder: Path) -> Path:
    """A VGG16 224x224 as published, with freshly drawn weights."""
    import torch

    from edgecat.models import architecture, build_model
    from edgecat.models.checkpoint import save_checkpoint

    widths = architecture("vgg16").widths(head="dense")
    card = ModelCard(
        architecture="vgg16",
        labels=("cat", "dog"),
        height=224,
        width=224,
        layers=widths,
        head="dense",
    )
    torch.manual_seed(0)
    save_checkpoint(folder / "vgg16.safetensors", build_model(card), card)
    return folder / "vgg16.safetensors"


def pictures(folder: Path) -> tuple[list[Path], list[Path], str]:
    """Where the pictures to calibrate on and to judge by are, and what they are."""
    named = os.environ.get("EDGECAT_PHOTOS", "")
    if named:
        photos = Path(named)
        return sorted(photos.glob("train-*.tar"))[:1], [photos / "test.tar"], "photographs"
    from edgecat.pets.synthetic import write_pets

    for part, seed in (("train", 1), ("test", 2)):
        write_pets(folder / part, PICTURES, seed, 224)
    return [folder / "train"], [folder / "test"], "drawn pets (EDGECAT_PHOTOS is unset)"


def exported(
    checkpoint: Path,
    calibrate: Sequence[Path],
    folder: Path,
    left_out: list[str],
    deadline: float,
) -> Iterator[Path]:
    """Export in every precision to every form; what fails is left out with the reason."""
    for precision, (target, suffix) in product(PRECISIONS, FORMS.items()):
        path = folder / target / f"{checkpoint.stem}.{precision}{suffix}"
        command = [sys.executable, "-m", "edgecat", "export", str(checkpoint), "--to", target]
        command += ["--precision", precision, "--output", str(path)]
        for data in calibrate if precision != "fp32" else ():
            command += ["--calibrate", str(data), "--limit", str(PICTURES)]
        print(f"exporting {path.name}")
        left = max(1.0, deadline - LATENCY_SECONDS - monotonic())
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=left, check=True)
            yield path
        except subprocess.TimeoutExpired:
            left_out.append(f"{path.name}: no time was left to export it")
        except subprocess.CalledProcessError as error:
            said = (error.stderr.strip().splitlines() or [f"ended with {error.returncode}"])[-1]
            left_out.append(f"{path.name}: {said.removeprefix('error: ')}")


def opened_everywhere(
    models: Sequence[Path], stack: ExitStack, left_out: list[str]
) -> tuple[Subject, list[Subject]]:
    """PyTorch on the CPU, and every model on every backend for the GPU, and on ONNX Runtime's."""
    import edgecat.models.backend  # noqa: F401  (registers itself)
    from edgecat_runtime.backends import backend_entries
    from edgecat_runtime.benchmark.opening import opened

    (reference,) = stack.enter_context(
        opened([(models[0], backend_entries(models[0], name="pytorch", device="cpu"))])
    )
    subjects: list[Subject] = []
    for path in models:
        entries = [e for e in backend_entries(path) if e.device != "cpu" or e.name == "onnxruntime"]
        try:
            ways = opened([(path, entries)], skipped=left_out.append)
            subjects += stack.enter_context(ways) if entries else []
        except EdgecatError as error:
            left_out.append(f"{path.name}: {error}")
    return reference, subjects


def parity(
    reference: Subject, subjects: Sequence[Subject], data: Sequence[Path]
) -> list[dict[str, Any]]:
    """Hold every subject against the reference on the same pictures."""
    from edgecat_export.parity.comparison import compare

    classifiers = [subject.classifier for subject in subjects]
    names = [Path(subject.name).name for subject in (reference, *subjects)]
    pairs = compare(reference.classifier, classifiers, frames(reference, data), names=names)
    return [
        {**asdict(pair), "device": subject.classifier.device, "passed": pair.passed}
        for pair, subject in zip(pairs, subjects, strict=True)
    ]


def frames(reference: Subject, data: Sequence[Path]) -> Iterator[NDArray[np.uint8]]:
    """Preprocessed pictures, evenly spread."""
    from dataclasses import replace

    from edgecat.data.batches import served_batches
    from edgecat.data.folder import scan

    found = scan(data, labels=reference.classifier.labels)
    count = min(PICTURES, len(found))
    spread = tuple(found.pictures[i * len(found) // count] for i in range(count))
    chosen = replace(found, pictures=spread)
    for batch in served_batches(chosen, reference.classifier.preprocess, batch_size=16):
        yield batch.frames


def latency(
    subjects: Sequence[Subject], limits: Limits, report: Report, *, deadline: float
) -> None:
    """Measure each batch size, in turns; the CPU's backends answer single frames only."""
    from edgecat_runtime.benchmark.measuring import measure

    for batch in BATCHES:
        chosen = [s for s in subjects if batch == 1 or s.classifier.device != "cpu"]
        if not chosen:
            continue
        if monotonic() + 6 * len(chosen) > deadline:
            report.left_out.append(f"latency at batch {batch}: no time was left for it")
            continue
        print(f"measuring {len(chosen)} at batch {batch}")
        results = measure(chosen, batch=batch, seconds=1.5)
        report.latency += [
            {**result.to_dict(), **fractions(result, subject.classifier.card, limits)}
            for result, subject in zip(results, chosen, strict=True)
        ]


def fractions(result: Result, card: ModelCard, limits: Limits) -> dict[str, float | None]:
    """What share of the GPU's limits a result reaches; None on the CPU and where unknown.

    The least time to read every weight once, and the least time for the multiply-adds, each as a
    share of the GPU's own time where the backend tells it, else of the latency.
    """
    from edgecat.models.cost import cost_of

    seconds = result.stages_ms.get("gpu", result.latency_ms["mean"]) / 1e3
    cost = cost_of(card)
    peak = getattr(limits, f"{card.precision}_per_s")
    if result.device.startswith("cpu") or cost is None:
        return {"of_bandwidth": None, "of_arithmetic": None}
    reading = (
        cost.weights * BYTES[card.precision] / limits.bytes_per_s if limits.bytes_per_s else None
    )
    counting = cost.macs * result.batch / peak if peak else None
    return {
        "of_bandwidth": None if reading is None else round(reading / seconds, 4),
        "of_arithmetic": None if counting is None else round(counting / seconds, 4),
    }


def installed(name: str) -> str:
    """Version of a distribution; empty where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def markdown(report: Report) -> str:
    """The report for people."""
    software = ", ".join(f"{name} {number}" for name, number in report.software.items())
    tests = report.tests
    lines = [
        f"# {report.gpu}",
        "",
        f"Measured by `python benchmarks/gpu.py` in {report.seconds:.0f} s on {report.machine}; "
        f"the driver serves CUDA {report.cuda}; {software}.",
        "",
        f"Model: {report.model}. **Tests** (`tests/gpu`): {tests.get('passed', 0)} passed, "
        f"{tests.get('skipped', 0)} skipped, {tests.get('failed', 0)} failed.",
        *(f"- failed: {name}" for name in tests.get("names", ())),
        *(f"- skipped: {reason}" for reason in tests.get("reasons", ())),
        "",
        f"## Parity with PyTorch on the CPU, on {report.pictures}",
        "",
        "| model | backend | device | worst logit error | agreement | n | |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {p['candidate']} | {p['backend']} | {p['device']} | {p['max_logit_error']:.1e} | "
            f"{p['agreement']:.2%} | {p['n']} | {'pass' if p['passed'] else '**FAIL**'} |"
            for p in report.parity
        ),
        "",
        "## Latency, host to host",
        "",
        "Milliseconds of a batch. The last two columns are shares of what the GPU allows: the time "
        "to read every weight once, and the time for the multiply-adds, of the GPU's own time "
        "(of the latency, where a backend does not tell it).",
        "",
        "| model | backend | device | batch | frames/s | p50 | p99 | GPU | of bandwidth | "
        "of arithmetic |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_row(row) for row in report.latency),
        "",
    ]
    if report.left_out:
        lines += [
            "## What did not run here",
            "",
            *(f"- {reason}" for reason in report.left_out),
            "",
        ]
    return "\n".join(lines)


def _row(row: dict[str, Any]) -> str:
    gpu = row["stages_ms"].get("gpu")
    shares = ("-" if v is None else f"{v:.0%}" for v in (row["of_bandwidth"], row["of_arithmetic"]))
    cells = (
        *(Path(row["model"]).name, row["backend"], row["device"].split(" ")[0], row["batch"]),
        *(
            f"{row['fps']:.0f}",
            f"{row['latency_ms']['p50']:.2f}",
            f"{row['latency_ms']['p99']:.2f}",
        ),
        *("-" if gpu is None else f"{gpu:.2f}", *shares),
    )
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(main())
