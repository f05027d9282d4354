"""The parts of the benchmark; each gets a time limit and skips what does not fit.

Everything is measured in one process, so that start-up and warm-up happen only once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import torch

import edgecat.models.backend  # noqa: F401  (registers itself)
from edgecat.data.batches import served_batches
from edgecat.data.folder import scan
from edgecat.workflows.export import Job
from edgecat.workflows.export_sources import Described
from edgecat_export.parity.comparison import compare
from edgecat_runtime.backends import backend_entries
from edgecat_runtime.benchmark import Subject, opened
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import Precision
from edgecat_runtime.nvidia.tensorrt import KINDS, tensorrt
from edgecat_runtime.types import Frames
from on_gpu.ceilings import ceilings_of
from on_gpu.measure import measured
from on_gpu.session import Session, photographs
from on_gpu.ways import Bound, Eager, Recorded, Served, Way

BATCHES = (1, 8, 32)
PRECISIONS: tuple[Precision, ...] = ("fp16", "fp32", "int8")  # in order of priority
PICTURES = 200
_ROW_SECONDS = 1.0


def ceilings(session: Session, seconds: float) -> None:
    """Measure the GPU's ceilings."""
    session.ceilings = ceilings_of(session.device, session.limits, small=session.rehearsal)
    session.report.ceilings = asdict(session.ceilings)


def exports(session: Session, seconds: float) -> None:
    """Export in every precision, to ONNX and to engines for every installed TensorRT."""
    until, longest = monotonic() + seconds, 0.0
    calibrate = _calibration(session)
    flavours = [kind for kind in KINDS.values() if _installed(session, kind.flavour)]
    for precision in PRECISIONS:
        for target, suffix in (("onnx", ".onnx"), *((k.target, k.suffix) for k in flavours)):
            path = session.folder / target / f"{session.checkpoint.stem}.{precision}{suffix}"
            if until - monotonic() < longest:
                session.leave_out(f"{path.name}: no time left to export it")
                continue
            began = monotonic()
            try:
                _export(session, path, target, precision, calibrate)
                session.models.append(path)
            except Exception as error:  # any library error; the next one may still work
                session.leave_out(f"{path.name}: {_first_line(error)}")
            longest = max(longest, monotonic() - began)


def _export(
    session: Session, path: Path, target: str, precision: Precision, calibrate: Sequence[Path]
) -> None:
    print(f"exporting {path.name}", flush=True)
    path.parent.mkdir(exist_ok=True)
    onnx = session.folder / "onnx" / f"{session.checkpoint.stem}.{precision}.onnx"
    # TensorRT needs a different int8 form than the CPU; other engines come from the ONNX file.
    again = target == "onnx" or precision == "int8" or onnx not in session.models
    Job(
        source=session.checkpoint if again else onnx,
        to=target,
        precision=precision,
        output=path,
        described=Described(),
        calibrate=tuple(calibrate) if precision != "fp32" else (),
        gate=(),
        limit=_pictures(session),
    ).run()


def parity(session: Session, seconds: float) -> None:
    """Compare every model on every backend with PyTorch on the CPU, on the same photos."""
    _, judged, session.report.photographs = photographs(session.folder, _pictures(session))
    with ExitStack() as stack:
        reference, subjects = _opened_everywhere(session, stack)
        if not subjects:
            session.leave_out("parity: no model can be opened here")
            return
        names = [Path(subject.name).name for subject in (reference, *subjects)]
        pairs = compare(
            reference.classifier,
            [subject.classifier for subject in subjects],
            _until(monotonic() + seconds, _frames(session, reference, judged)),
            names=names,
        )
        session.report.parity = [
            {**asdict(pair), "device": subject.classifier.device, "passed": pair.passed}
            for pair, subject in zip(pairs, subjects, strict=True)
        ]


def latency(session: Session, seconds: float) -> None:
    """Measure edgecat's own backends; CPU backends only at batch 1."""
    until = monotonic() + seconds
    with ExitStack() as stack:
        _, subjects = _opened_everywhere(session, stack, quietly=True)
        for subject in sorted(subjects, key=lambda s: s.classifier.device == "cpu"):
            served = Served(subject)
            for batch in BATCHES if served.device != "cpu" else BATCHES[:1]:
                _measure(session, served, batch, until)


def peers(session: Session, seconds: float) -> None:
    """Measure PyTorch and ONNX Runtime on the same network, slowest start-up last."""
    until = monotonic() + seconds
    if session.device.type == "cuda" and not torch.cuda.is_available():
        session.leave_out("peers: PyTorch finds no CUDA GPU")
        return
    with own_stream(session.device), arithmetic():
        for label, make, least in _peers(session):
            if monotonic() + least > until:
                session.leave_out(f"{label}: no time left")
                continue
            try:
                way = make()
            except Exception as error:  # the next one may still work
                session.leave_out(f"{label}: {_first_line(error)}")
                continue
            for batch in BATCHES[:2] if session.rehearsal else BATCHES:
                if not _measure(session, way, batch, until):
                    break
            del way
            if session.device.type == "cuda":
                torch.cuda.empty_cache()


def _peers(session: Session) -> Iterator[tuple[str, Callable[[], Way], float]]:
    """Yield the label, the constructor, and the seconds needed to start it."""
    on_gpu = session.device.type == "cuda"
    half = "fp16" if on_gpu else "bf16"
    last = {"channels_last": True}

    def made(
        label: str, kind: type[Eager], precision: str, least: float = 5, **options: Any
    ) -> tuple[str, Callable[[], Way], float]:
        options |= {"device": session.device, "precision": precision}
        return label, partial(kind, label, session.module, session.card, **options), least

    yield made("PyTorch eager", Eager, "fp32")
    yield made("PyTorch eager, channels last", Eager, half, **last)
    if on_gpu:
        yield made("CUDA graph, channels last", Recorded, half, **last)
    yield from _bound(session)
    if on_gpu:
        yield made("CUDA graph", Recorded, "fp32")
        yield made("CUDA graph, channels last", Recorded, "bf16", **last)
    for mode, least in (("reduce-overhead", 40), ("max-autotune", 90)):
        label = f"torch.compile {mode}"
        yield made(label, Eager, half, least, compile_mode=mode, **last)


def _bound(session: Session) -> Iterator[tuple[str, Callable[[], Way], float]]:
    label, precisions = "ONNX Runtime, IOBinding", ("fp16", "fp32")
    for precision in precisions:
        path = session.folder / "onnx" / f"{session.checkpoint.stem}.{precision}.onnx"

        def make(path: Path = path, precision: Any = precision) -> Way:
            if not path.is_file():
                _export(session, path, "onnx", precision, _calibration(session))
            return Bound(label, path, read_card(path), device=session.device)

        yield f"{label}, {precision}", make, 10.0


def _measure(session: Session, way: Way, batch: int, until: float) -> bool:
    """Measure one variant at one batch size if time allows; return whether it succeeded."""
    if monotonic() >= until:
        session.leave_out(f"{way.label}, batch {batch}: no time left")
        return False
    seconds = 0.1 if session.rehearsal else _ROW_SECONDS
    try:
        row = measured(
            way,
            batch,
            session.inputs,
            cost=session.cost,
            ceilings=session.ceilings,
            seconds=seconds,
        )
    except Exception as error:  # the next one may still work
        session.leave_out(f"{way.label}, batch {batch}: {_first_line(error)}")
        return False
    session.add(row.to_dict())
    return True


def _opened_everywhere(
    session: Session, stack: ExitStack, *, quietly: bool = False
) -> tuple[Subject, list[Subject]]:
    """Return PyTorch on the CPU, and every model on every GPU backend and on ONNX Runtime."""
    leave_out: Callable[[str], None] = (lambda why: None) if quietly else session.leave_out
    entries = backend_entries(session.checkpoint, name="pytorch", device="cpu")
    (reference,) = stack.enter_context(opened([(session.checkpoint, entries)]))
    subjects: list[Subject] = []
    for path in session.models:
        ways = [e for e in backend_entries(path) if e.device != "cpu" or e.name == "onnxruntime"]
        try:
            found = opened([(path, ways)], skipped=leave_out)
            subjects += stack.enter_context(found) if ways else []
        except EdgecatError as error:
            leave_out(f"{path.name}: {error}")
    return reference, subjects


def _frames(session: Session, reference: Subject, data: Sequence[Path]) -> Iterator[Frames]:
    """Return preprocessed images, evenly spread."""
    found = scan(data, labels=reference.classifier.labels)
    count = min(_pictures(session), len(found))
    spread = tuple(found.pictures[i * len(found) // count] for i in range(count))
    chosen = replace(found, pictures=spread)
    for batch in served_batches(chosen, reference.classifier.preprocess, batch_size=16):
        yield batch.frames


def _until(deadline: float, batches: Iterable[Frames]) -> Iterator[Frames]:
    """Yield as many batches as fit, at least one."""
    for batch in batches:
        yield batch
        if monotonic() > deadline:
            return


def own_stream(device: torch.device) -> AbstractContextManager[object]:
    """Return a non-default stream, which ONNX Runtime can be configured to use."""
    if device.type != "cuda":
        return nullcontext()
    return torch.cuda.stream(torch.cuda.Stream())  # type: ignore[no-untyped-call]


@contextmanager
def arithmetic() -> Iterator[None]:
    """Configure PyTorch for its best speed without TF32, overriding previous settings."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = True, False, False
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before


def _installed(session: Session, flavour: Any) -> bool:
    try:
        tensorrt(flavour)
    except EdgecatError as error:
        session.leave_out(f"engines of {KINDS[flavour].title}: {error}")
        return False
    return True


def _calibration(session: Session) -> Sequence[Path]:
    return photographs(session.folder, _pictures(session))[0]


def _pictures(session: Session) -> int:
    return 16 if session.rehearsal else PICTURES


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:300] if lines else type(error).__name__
