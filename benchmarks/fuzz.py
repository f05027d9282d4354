"""Open mutated model files: `python benchmarks/fuzz.py [--files 10000] [--seed 0]`.

Tiny ONNX files, checkpoints and engines are damaged, or changed and sealed again so that every hash
is right, and opened in child processes that are replaced when they die. Limits: no file crashes its
process, computes for more than 20 s, is silent for 10 minutes or needs more than 1 GB, raises
anything but an edgecat error, or is served with other logits than the intact model's. ONNX files
are opened, self-tested and run; checkpoints and engines, whose libraries are not needed here, are
read.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import select
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import IO, Any

import numpy as np

from edgecat_runtime import Classifier, __version__, read_card
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.system.child import limit_child, resident_bytes, signal_name
from edgecat_runtime.system.machine import cores, processor
from edgecat_runtime.system.packages import versions
from mutants import KINDS, Model, Mutant, intact_models, mutant

BUSY_SECONDS = 20
SLEEPING_SECONDS = 600  # a busy machine may give a process little
MEMORY = 10**9
GOOD = ("refused", "right")
OUTCOMES = (*GOOD, "other answer", "traceback", "crash", "hang", "memory")
_LIMIT = 1e-3
"""Difference of logits, as a fraction of their spread, below which an answer is right."""


class Worker:
    """A child process that opens one file after the other."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._reply: IO[str]

    def outcome(self, path: Path, backend: str, expected: list[float]) -> tuple[str, str]:
        """Have a file opened: one of `OUTCOMES`, and the details."""
        process = self._process or self._start()
        assert process.stdin is not None
        process.stdin.write(json.dumps([str(path), backend, expected]) + "\n")
        process.stdin.flush()
        start, busy = monotonic(), cpu_seconds(process.pid)
        while not select.select([self._reply], [], [], 0.05)[0]:
            if resident_bytes(process.pid) > MEMORY:
                return self._end("memory")
            if cpu_seconds(process.pid) - busy > BUSY_SECONDS:
                return self._end("hang", f"busy for {BUSY_SECONDS} s")
            if monotonic() - start > SLEEPING_SECONDS:
                return self._end("hang", f"no reply for {SLEEPING_SECONDS} s")
        line = self._reply.readline()
        if not line:
            process.wait()
            code = process.returncode
            return self._end("crash", signal_name(-code) if code < 0 else f"exit code {code}")
        kind, details, peak = json.loads(line)
        return self._end("memory") if peak > MEMORY else (kind, details)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._end("")

    def _start(self) -> subprocess.Popen[str]:
        reading, writing = os.pipe()
        command = [sys.executable, __file__, "--worker", str(writing), str(os.getpid())]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            pass_fds=(writing,),
        )
        os.close(writing)
        self._reply = os.fdopen(reading)
        return self._process

    def _end(self, kind: str, details: str = "") -> tuple[str, str]:
        assert self._process is not None
        with self._process:
            self._process.kill()
        self._reply.close()
        self._process = None
        return kind, details


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far; 0 if it is gone or the system has no `/proc`."""
    try:
        parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(parts[11]) + int(parts[12])) / float(os.sysconf("SC_CLK_TCK"))


def serve(descriptor: int, parent: int) -> None:
    """In the child: open what is asked for until the parent closes the pipe."""
    limit_child(parent, nice=0)
    with os.fdopen(descriptor, "w") as reply:
        for line in sys.stdin:
            path, backend, expected = json.loads(line)
            kind, details = opened(Path(path), backend, expected)
            peak = _peak_memory()
            reply.write(json.dumps([kind, details, peak]) + "\n")
            reply.flush()


def _peak_memory() -> int:
    """Peak resident bytes of this program; `ru_maxrss` would count the one that started it too."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def opened(path: Path, backend: str, expected: list[float]) -> tuple[str, str]:
    """Open and run one file in this process: one of `OUTCOMES`, and the details."""
    try:
        if path.suffix != ".onnx":
            read_card(path)
            return "right", "its card is intact"
        with Classifier.open(path, backend=backend, device="cpu", threads=1) as classifier:
            logits = classifier.infer(frame(classifier.card))
            classifier.predict(logits[0])
    except EdgecatError as error:
        message = str(error)
        return ("refused" if message.isprintable() else "traceback"), message
    except BaseException as error:
        return "traceback", f"{type(error).__name__}: {error}"[:300]
    if len(logits[0]) != len(expected):
        return "other answer", f"{len(logits[0])} logits"
    apart = np.abs(logits[0] - np.array(expected)).max() / (np.ptp(expected) or 1)
    return ("right" if apart < _LIMIT else "other answer"), f"{apart:.2g} apart"


def frame(card: ModelCard) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A frame that is not among the golden ones, uint8 (1, height, width, 3)."""
    shape = (1, card.height, card.width, 3)
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


def run(
    files: int, *, seed: int = 0, backend: str = "auto", workers: int = 2, keep: Path | None = None
) -> Iterator[tuple[Mutant, str, str]]:
    """Open `files` mutated files and yield each with its outcome and the details."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(workers) as pool:
        folder = Path(name)
        models = intact_models(folder)
        expected = _expected(models[".onnx"], folder)
        free: SimpleQueue[Worker] = SimpleQueue()
        every = [Worker() for _ in range(workers)]
        for worker in every:
            free.put(worker)

        def tried(number: int) -> tuple[Mutant, str, str]:
            drawn = mutant(models, seed, number)
            path = folder / f"{number}{drawn.suffix}"
            path.write_bytes(drawn.data)
            worker = free.get()
            try:
                kind, details = worker.outcome(path, backend, expected)
            finally:
                free.put(worker)
            if keep is not None and kind not in GOOD:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / path.name).write_bytes(drawn.data)
            path.unlink()
            return drawn, kind, details

        try:
            yield from pool.map(tried, range(files))
        finally:
            pool.shutdown(cancel_futures=True)
            for worker in every:
                worker.close()


def _expected(model: Model, folder: Path) -> list[float]:
    path = folder / "intact.onnx"
    path.write_bytes(model.data)
    with Classifier.open(path, backend="onnxruntime", device="cpu", threads=1) as classifier:
        logits: list[float] = classifier.infer(frame(classifier.card))[0].tolist()
    return logits


def main() -> int:
    """Print a page of the counts; return 1 if any file had a bad outcome."""
    if sys.argv[1:2] == ["--worker"]:
        serve(int(sys.argv[2]), int(sys.argv[3]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000, help="mutated files")
    parser.add_argument("--seed", type=int, default=0, help="draws other files")
    parser.add_argument("--backend", default="auto", help="as for edgecat classify")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--keep", type=Path, help="folder for the files with a bad outcome")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    bad = []
    with suppress(KeyboardInterrupt):  # what was counted so far is shown
        for drawn, kind, details in run(
            options.files,
            seed=options.seed,
            backend=options.backend,
            workers=options.workers,
            keep=options.keep,
        ):
            counts[drawn.kind][kind] += 1
            if kind not in GOOD:
                bad.append(f"- {drawn.number} ({drawn.kind}; {drawn.how}): {kind}, {details}")
                print(bad[-1], file=sys.stderr, flush=True)
    print("\n".join(_page(options, counts, bad)))
    return int(bool(bad))


def machine_line(*modules: str) -> str:
    """The processor, and the versions of Python and of the modules."""
    found = [
        f"Python {platform.python_version()}",
        *(v for name in modules for v in versions(name)),
    ]
    return f"{processor()}, {cores()} cores. {', '.join(found)}, edgecat {__version__}."


def interrupted(*_: object) -> None:
    """As a signal's handler: end as Ctrl-C does."""
    raise KeyboardInterrupt


def _page(
    options: argparse.Namespace, counts: dict[str, Counter[str]], bad: list[str]
) -> Iterator[str]:
    files = sum(counted.total() for counted in counts.values())
    yield f"# {files} mutated model files\n"
    yield f"Written by `benchmarks/fuzz.py --seed {options.seed} --backend {options.backend}`.\n"
    yield f"{machine_line('numpy', 'onnxruntime', 'openvino', 'cv2')}\n"
    yield f"| | {' | '.join(OUTCOMES)} |"
    yield f"| --- |{' ---: |' * len(OUTCOMES)}"
    for kind, counted in counts.items():
        yield f"| {kind} | {' | '.join(str(counted[outcome]) for outcome in OUTCOMES)} |"
    total = sum(counts.values(), Counter[str]())
    yield f"| **all** | {' | '.join(str(total[outcome]) for outcome in OUTCOMES)} |"
    yield from ["", *bad] if bad else []


if __name__ == "__main__":
    sys.exit(main())
