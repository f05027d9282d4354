"""One run of the benchmark: its inputs, its results, and the remaining time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import nn

from edgecat.models import architecture, build_model
from edgecat.models.backend import TorchBackend
from edgecat.models.checkpoint import load_checkpoint, save_checkpoint
from edgecat.models.cost import Cost, cost_of
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.nvidia.driver import Limits
from on_gpu.ceilings import Ceilings
from on_gpu.measure import Inputs
from on_gpu.report import Report

DRAWN = ("vgg16-224", "vgg16-half-160", "vgg16-tiny-64")


@dataclass
class Session:
    """The shared state of the parts.

    Attributes:
        report: filled by the parts, rewritten after each.
        output: folder of the report.
        folder: folder for temporary files.
        checkpoint: path of the model.
        device: PyTorch's device: the GPU, or the CPU in a rehearsal.
        limits: the driver's data about the GPU.
        seconds: total time limit.
        models: the checkpoint and its exports.
        ceilings: of the device, as far as known.
    """

    report: Report
    output: Path
    folder: Path
    checkpoint: Path
    device: torch.device
    limits: Limits | None
    seconds: float
    models: list[Path] = field(default_factory=list)
    ceilings: Ceilings = field(default_factory=lambda: Ceilings("driver"))
    _inputs: Inputs | None = None
    _began: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        """Read the model."""
        self.module: nn.Module
        self.card: ModelCard
        self.module, self.card = load_checkpoint(self.checkpoint)
        self.cost: Cost | None = cost_of(self.card)
        self.models = [self.checkpoint]
        if self.cost is not None:
            self.report.weights, self.report.macs = self.cost.weights, self.cost.macs

    @property
    def rehearsal(self) -> bool:
        """Whether this is a trial of the script on a CPU."""
        return self.report.rehearsal

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.seconds - (monotonic() - self._began)

    @property
    def inputs(self) -> Inputs:
        """Return frames, and PyTorch's float32 logits for them on the CPU."""
        if self._inputs is None:
            self._inputs = Inputs(self.card, TorchBackend(self.module, self.card).infer)
        return self._inputs

    def leave_out(self, why: str) -> None:
        """Record what does not run."""
        print(f"skipped: {why}", flush=True)
        self.report.left_out.append(why)

    def add(self, row: dict[str, Any]) -> None:
        """Record a row, and write the report in case the time runs out."""
        gpu = "-" if row["gpu_ms"] is None else f"{row['gpu_ms']:.3f}"
        print(f"{row['way']}, batch {row['batch']}: {row['p50_ms']:.3f} ms, {gpu} on the GPU")
        self.report.rows.append(row)
        self.save()

    def save(self) -> Path:
        """Write the current report."""
        self.report.seconds = round(monotonic() - self._began, 1)
        return self.report.save(self.output)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Record a part's duration, and write the report."""
        began = monotonic()
        try:
            yield
        finally:
            self.report.done[part] = round(monotonic() - began, 1)
            self.save()


def drawn_checkpoint(name: str, folder: Path) -> Path:
    """Make a VGG16 with random weights: as published, as shipped, or tiny for a rehearsal."""
    known, labels = architecture("vgg16"), ("cat", "dog")
    narrow: dict[str, Any] = {"head": "gap", "batch_norm": True}
    card = {
        "vgg16-224": known.card(labels, head="dense"),
        "vgg16-half-160": known.card(labels, size=160, factor=0.5, **narrow),
        "vgg16-tiny-64": known.card(labels, size=64, factor=0.05, **narrow),
    }[name]
    torch.manual_seed(0)
    path = folder / "vgg16.safetensors"
    save_checkpoint(path, build_model(card), card)
    return path


def photographs(folder: Path, count: int) -> tuple[Sequence[Path], Sequence[Path], str]:
    """Return the images for calibration and for evaluation, and their description."""
    if named := os.environ.get("EDGECAT_PHOTOS", ""):
        photos = Path(named)
        test = photos / "test.tar"
        judged = [test] if test.is_file() else sorted(photos.glob("train-*.tar"))[-1:]
        return sorted(photos.glob("train-*.tar"))[:1], judged, "photographs"
    from edgecat.pets.synthetic import write_pets

    for part, seed in (("train", 1), ("test", 2)):
        write_pets(folder / part, count, seed, 224)
    return [folder / "train"], [folder / "test"], "drawn pets (EDGECAT_PHOTOS is unset)"
