"""What a batch run did, for a person and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecat.workflows.served import ServedModel
from edgecat_runtime.system.counting import number_of

_SHOWN = 10  # labels in a summary


@dataclass(frozen=True)
class Run:
    """What some workers did.

    Attributes:
        workers: how many there were, one thread each; 0 if nothing was left to do.
        kind: what they are, in the plural: `local processes` or `Ray workers`.
        batch: images per batch.
        images: images that they were given.
        seconds: from the first worker being ready to the last result.
        lost: number of workers that ended at work and were replaced.

    Example:
        >>> print(Run(2, "Ray workers", 8, 600, 15.0, 0))
        2 Ray workers, batches of 8: 15.0 s, 40.0 images/s, 20.0 per core
    """

    workers: int
    kind: str
    batch: int
    images: int
    seconds: float
    lost: int

    @property
    def rate(self) -> float:
        """Images per second; 0 if there were none."""
        return self.images / self.seconds if self.seconds else 0.0

    @property
    def rate_per_core(self) -> float:
        """Images per second and worker."""
        return self.rate / self.workers if self.workers else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The values for `--json`."""
        return {
            "workers": self.workers,
            "kind": self.kind,
            "batch": self.batch,
            "seconds": self.seconds,
            "images_per_second": self.rate,
            "images_per_second_per_core": self.rate_per_core,
            "lost": self.lost,
        }

    def __str__(self) -> str:
        kind = self.kind.replace("processes", "process") if self.workers == 1 else self.kind
        kind = kind.removesuffix("s") if self.workers == 1 and kind.endswith("workers") else kind
        lost = f"; {number_of(self.lost, 'worker')} lost and replaced" if self.lost else ""
        return (
            f"{self.workers:,} {kind}, batches of {self.batch}: {self.seconds:.1f} s, "
            f"{self.rate:.1f} images/s, {self.rate_per_core:.1f} per core{lost}"
        )


@dataclass(frozen=True)
class BatchSummary:
    """What `classify_to_parquet` did.

    Attributes:
        output: the Parquet file.
        images: number of its rows.
        failed: number of rows with an error instead of a prediction.
        labels: number of rows per label, `unsure` among them, the most frequent first.
        run: the workers' part; without the rows that an interrupted run had left.
        served_by: the model.

    Example:
        >>> summary = classify_to_parquet("photos/", "out.parquet")  # doctest: +SKIP
        >>> summary.run.rate, summary.run.rate_per_core  # doctest: +SKIP
        (41.2, 20.6)
    """

    output: Path
    images: int
    failed: int
    labels: dict[str, int]
    run: Run
    served_by: ServedModel

    @property
    def resumed(self) -> int:
        """Number of rows that an interrupted run had left."""
        return self.images - self.run.images

    def __fspath__(self) -> str:
        return str(self.output)

    def __str__(self) -> str:
        counts = [f"{count:,} {label}" for label, count in list(self.labels.items())[:_SHOWN]]
        counts += [f"{len(self.labels) - _SHOWN} more labels"] * (len(self.labels) > _SHOWN)
        counts += [f"{self.failed:,} without a prediction"] * bool(self.failed)
        lines = [f"{self.output}: {number_of(self.images, 'image')} ({', '.join(counts)})"]
        if self.resumed:
            lines.append(f"{number_of(self.resumed, 'image')} of them from the interrupted run")
        if self.run.workers:
            lines.append(str(self.run))
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The output for `--json`."""
        return {
            "output": str(self.output),
            "images": self.images,
            "failed": self.failed,
            "resumed": self.resumed,
            "labels": self.labels,
            **self.run.to_dict(),
            "served_by": self.served_by.to_dict(),
        }
