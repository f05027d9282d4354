"""Kill commands at random moments: `python benchmarks/kills.py [--kills 100] [--seed 0]`.

`train`, `export`, `compress`, `camera --output`, `evaluate --calibrate` and `data split` work on
small drawn data and are killed (SIGKILL) after a random share of the CPU time that they take. Each
runs in a process that is forked with the libraries already imported, so that no kill falls on an
import, which writes nothing. Then every file that they wrote has to be the complete one or absent
(a recording: empty or readable), and the command, or `train --resume`, has to write the same bytes
as if it had never been killed, or to say in one sentence why not; nothing temporary remains beside
the files.
"""

from __future__ import annotations

import argparse
import atexit
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import monotonic, sleep

import cv2
import numpy as np

from edgecat.pets.synthetic import synthetic_pets
from edgecat_runtime.system.telemetry import import_onnxruntime
from edgecat_runtime.system.temporaries import MARK
from fuzz import interrupted, machine_line

PATIENCE = 1800.0
_LOOK_SECONDS = 0.001
_IMPORTED = ("edgecat.cli", "edgecat.workflows.train", "edgecat.training.trainer")


@dataclass(frozen=True)
class Case:
    """A command that is killed.

    Attributes:
        name: for the table.
        command: its arguments, relative to the folder that it runs in.
        outputs: the files, or the folder, that it writes.
        again: the arguments that continue it after a kill, given the folder.
        exact: whether an uninterrupted run always writes the same bytes.
        share: of the kills, relative to the others: less where a run takes long.
    """

    name: str
    command: tuple[str, ...]
    outputs: tuple[str, ...]
    again: Callable[[Path], Sequence[str]] | None = None
    exact: bool = True
    share: int = 4


def cases() -> list[Case]:
    """What is killed."""
    small = "--size 32 --width 0.125 --threads 1 --batch-size 8".split()
    train = ("train", "pets", "--epochs", "4", "--name", "run", *small)
    return [
        Case("split", ("data", "split", "pets", "--output", "divided"), ("divided",)),
        Case("train", train, ("runs/run/vgg16.safetensors",), again=_resumed),
        Case(
            "export",
            ("export", "base.safetensors", "--output", "out.onnx", "--backend", "onnxruntime"),
            ("out.onnx",),
        ),
        Case(
            "compress",
            ("compress", "base.safetensors", "--output", "thin.safetensors"),
            ("thin.safetensors",),
            share=2,
        ),
        Case(
            "calibrate",
            ("evaluate", "base.safetensors", "--calibrate", "many", "--output", "cal.safetensors"),
            ("cal.safetensors",),
            share=1,
        ),
        Case(
            "record",
            ("camera", "--source", "film.avi", "--headless", "--output", "clip.mkv"),
            ("clip.mkv",),
            exact=False,
        ),
    ]


def _resumed(folder: Path) -> Sequence[str]:
    state = folder / "runs" / "run" / "resume.state"
    config = folder / "runs" / "run" / "config.json"
    if state.exists() or config.exists():
        return ("train", "--resume", "runs/run")
    return ()


def prepare(folder: Path) -> None:
    """Draw the data and train the checkpoint that the other commands start from."""
    os.waitpid(_forked(lambda: _draw(folder)), 0)
    ran = run(folder, cases()[1].command)
    if ran.code:
        raise SystemExit(f"the checkpoint cannot be trained: {ran.stderr}")
    shutil.move(folder / "runs/run/vgg16.safetensors", folder / "base.safetensors")
    shutil.rmtree(folder / "runs")


def _draw(folder: Path) -> int:
    pictures, labels = synthetic_pets(220, seed=1, size=32)  # a calibration needs 200
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        for name in ("many", "pets") if index < 32 else ("many",):
            place = folder / name / ("cat", "dog")[label] / f"{index}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place), picture)
    film = cv2.VideoWriter(str(folder / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 64))
    for index in range(100):
        film.write(np.full((64, 64, 3), 2 * index, np.uint8))
    film.release()
    return 0


@dataclass(frozen=True)
class Ran:
    """How a command ended.

    Attributes:
        code: its exit code; negative: the signal that ended it.
        stderr: what it wrote there.
        seconds: CPU time that it took.
    """

    code: int
    stderr: str
    seconds: float


def run(folder: Path, arguments: Sequence[str], seconds: float = PATIENCE) -> Ran:
    """Run a command to its end, or kill it after so much CPU time."""
    with tempfile.TemporaryFile() as errors:
        pid = _forked(lambda: _command(folder, arguments, errors.fileno()))
        deadline = monotonic() + PATIENCE
        while True:
            ended, status, used = os.wait4(pid, os.WNOHANG)
            if ended:
                break
            if _cpu_seconds(pid) >= seconds or monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                _, status, used = os.wait4(pid, 0)
                break
            sleep(_LOOK_SECONDS)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    return Ran(os.waitstatus_to_exitcode(status), said, used.ru_utime + used.ru_stime)


def _forked(work: Callable[[], int]) -> int:
    """Do something in a forked process, which ends with its exit code; return the process's id.

    This process itself only imports: threads that it had started would be missing in the others.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        code = work()
        atexit._run_exitfuncs()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _learn(folder: Path, arguments: Sequence[str], loaded: Path) -> int:
    """Run a command and write which modules it has imported."""
    with tempfile.TemporaryFile() as errors:
        _command(folder, arguments, errors.fileno())
    loaded.write_text("\n".join(name for name in sys.modules if name != "__main__"))
    return 0


def _command(folder: Path, arguments: Sequence[str], errors: int) -> int:
    """Run a command as `edgecat` does; return its exit code."""
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number, target in enumerate((nothing, nothing, errors)):
        os.dup2(target, number)
    sys.argv = ["edgecat", *arguments]
    try:
        import_module("edgecat.cli").main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    return 0


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process so far; 0 if it is gone. Source: Linux's clock_getcpuclockid."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def contents(folder: Path, outputs: Sequence[str]) -> dict[str, bytes]:
    """The files that a command wrote, by their paths."""
    found: dict[str, bytes] = {}
    for name in outputs:
        place = folder / name
        files = [place] if place.is_file() else sorted(place.rglob("*")) if place.is_dir() else []
        found |= {str(p.relative_to(folder)): p.read_bytes() for p in files if p.is_file()}
    return found


def fault_after_kill(case: Case, folder: Path, expected: dict[str, bytes]) -> str:
    """What is half-written after a kill; empty if nothing is."""
    for name, data in contents(folder, case.outputs).items():
        if not case.exact:
            if data and not _readable(folder / name):
                return f"{name} cannot be read"
        elif case.again is None and data != expected.get(name):
            return f"{name} is half-written"
    return ""


def fault_after_rerun(case: Case, folder: Path, expected: dict[str, bytes]) -> tuple[str, str]:
    """Run it again: the fault, empty if there is none, and what it did."""
    arguments = (case.again(folder) if case.again else ()) or case.command
    ran = run(folder, arguments)
    leftovers = [str(p) for p in folder.rglob("*") if MARK in p.name]
    if ran.code:
        lines = ran.stderr.strip().splitlines()
        said = lines[-1] if lines else ""
        if "Traceback" in ran.stderr or ran.code < 0 or not said:
            return f"exit code {ran.code}: {said}", ""
        return "", f"refused: {said}"
    if leftovers:
        return f"left: {leftovers[0]}", ""
    if case.exact and contents(folder, case.outputs) != expected:
        return "other bytes than without a kill", ""
    return "", "the same bytes" if case.exact else "recorded again"


def _readable(path: Path) -> bool:
    _, status = os.waitpid(_forked(lambda: int(not cv2.VideoCapture(str(path)).read()[0])), 0)
    return not status or path.stat().st_size < 4096  # no frame was complete yet


def main() -> int:
    """Print a page of the counts; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="draws other moments")
    parser.add_argument("--only", help="one of the commands")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    import_onnxruntime()
    for module in _IMPORTED:
        import_module(module)
    rng = random.Random(options.seed)
    chosen = [case for case in cases() if options.only in (None, case.name)]
    turns = [case for case in chosen for _ in range(case.share)]
    counts: dict[str, Counter[str]] = {case.name: Counter() for case in chosen}
    bad: list[str] = []
    with ExitStack() as stack:
        name = tempfile.mkdtemp()  # a TemporaryDirectory would be removed by each forked process
        stack.callback(shutil.rmtree, name)
        os.environ.setdefault("EDGECAT_CACHE", str(Path(name) / "cache"))
        base = Path(name) / "base"
        base.mkdir()
        prepare(base)
        references: dict[str, tuple[dict[str, bytes], float]] = {}
        with suppress(KeyboardInterrupt):  # what was counted so far is shown
            for number in range(options.kills):
                case = turns[number % len(turns)]
                if case.name not in references:
                    references[case.name] = _reference(case, base, Path(name))
                expected, seconds = references[case.name]
                folder = Path(name) / f"{number}"
                shutil.copytree(base, folder)
                moment = rng.random() * seconds
                hit = run(folder, case.command, moment).code == -signal.SIGKILL
                fault = fault_after_kill(case, folder, expected)
                did = ""
                if not fault:
                    fault, did = fault_after_rerun(case, folder, expected)
                outcome = "fault" if fault else did.partition(":")[0]
                counts[case.name]["killed" if hit else "already done"] += 1
                counts[case.name][outcome] += 1
                line = f"- {case.name} after {moment:.2f} of {seconds:.2f} s: {fault or did}"
                print(line, file=sys.stderr, flush=True)
                bad += [line] if fault else []
                shutil.rmtree(folder)
    print("\n".join(_page(counts, bad)))
    return int(bool(bad))


def _reference(case: Case, base: Path, place: Path) -> tuple[dict[str, bytes], float]:
    """What an uninterrupted run writes, and the CPU time that it takes, imports left out."""
    folder, loaded = place / f"reference-{case.name}", place / "modules"
    shutil.copytree(base, folder)
    os.waitpid(_forked(lambda: _learn(folder, case.command, loaded)), 0)
    for module in loaded.read_text().split() if loaded.exists() else ():
        with suppress(Exception):  # some are made by others
            import_module(module)
    shutil.rmtree(folder)
    shutil.copytree(base, folder)
    ran = run(folder, case.command)
    if ran.code:
        raise SystemExit(f"{case.name} fails without a kill: {ran.stderr}")
    return contents(folder, case.outputs), ran.seconds


def _page(counts: dict[str, Counter[str]], bad: list[str]) -> list[str]:
    columns = ("killed", "already done", "the same bytes", "recorded again", "refused", "fault")
    kills = sum(counted["killed"] + counted["already done"] for counted in counts.values())
    lines = [f"# {kills} kills\n", "Written by `benchmarks/kills.py`.\n"]
    lines += [machine_line("torch", "onnxruntime", "cv2") + "\n"]
    lines += [f"| | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    for name, counted in counts.items():
        lines.append(f"| {name} | {' | '.join(str(counted[c]) for c in columns)} |")
    return [*lines, "", *bad]


if __name__ == "__main__":
    sys.exit(main())
