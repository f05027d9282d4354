"""Boards: `edgecat camera --follow` as processes, and what their own files say they answered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from fleet.models import TOLERANCE

PATIENCE = 600.0
_LOOK_SECONDS = 0.1
Line = dict[str, Any]


@dataclass(frozen=True)
class Wrong:
    """An answer that no good model gives."""

    board: str
    line: Line


class Board:
    """A camera of its own process, folder and id, at a few frames per second.

    Args:
        name: its id.
        folder: for its files.
        url: the channel; empty: it serves `model.onnx` beside its folder, and follows nothing.
        keys: the trusted keys.
        fps: of its camera.
        more: further options.
    """

    def __init__(
        self, name: str, folder: Path, url: str, keys: Path, *, fps: float, more: tuple[str, ...]
    ) -> None:
        self.name = name
        self.folder = folder
        self.runs = 0
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        follow: tuple[str, ...] = ("--model", str(folder.parent / "model.onnx"))
        if url:
            follow = ("--follow", url, "--follow-every", "1", "--board", name)
            follow += ("--follow-folder", str(folder / "fleet"))
        self._command = [
            *(sys.executable, "-m", "edgecat", "camera", "--headless"),
            *("--source", f"synthetic://pets?fps={fps:g}&width=64&height=64&seconds=4"),
            *(*follow, "--trust", str(keys), "--backend", "onnxruntime", *more),
        ]

    def start(self) -> None:
        """Start it; each run writes files of its own."""
        self.runs += 1
        lines = self.folder / f"frames-{self.runs}.jsonl", self.folder / f"events-{self.runs}.jsonl"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "EDGECAT_CACHE": ""}
        with (self.folder / f"log-{self.runs}.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command, "--predictions", str(lines[0]), "--events", str(lines[1])],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
            )

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """End it as systemd does; return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE)

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def lines(self, kind: str, run: int | None = None) -> list[Line]:
        """The lines of `frames` or `events` of a run, the current one if none is given."""
        path = self.folder / f"{kind}-{run or self.runs}.jsonl"
        if not path.is_file():
            return []
        whole = path.read_bytes().rpartition(b"\n")[0]  # the last line may be half written
        return [json.loads(line) for line in whole.splitlines() if line]

    @property
    def version(self) -> int:
        """Of the model that answered the newest frame; 0 before the first one."""
        frames = self.lines("frames")
        return int(frames[-1]["model"]["version"]) if frames else 0

    @property
    def settled(self) -> bool:
        """Whether the model in use has proved itself, by the board's own state."""
        state = json.loads((self.folder / "fleet" / "state.json").read_bytes())
        return bool(state["current"]["settled"])

    def refusals(self, cause: str, version: int = 0) -> int:
        """How often this run has reported such a refusal."""
        found = (event.get("refused", {}) for event in self.lines("events"))
        return sum(
            one.get("cause") == cause and (not version or one.get("version") == version)
            for one in found
        )

    def refused(self, cause: str, version: int = 0) -> bool:
        """Whether this run has reported such a refusal."""
        return self.refusals(cause, version) > 0

    def log(self) -> str:
        """What its runs printed."""
        logs = sorted(self.folder.glob("log-*.txt"))
        return "\n".join(f"{log.name}:\n{log.read_text(errors='replace')}" for log in logs)


def until(condition: Callable[[], bool], what: str, boards: list[Board]) -> None:
    """Wait for a condition; a board that has ended, or too long a wait, is a failure."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        time.sleep(_LOOK_SECONDS)
        dead = [board for board in boards if not board.alive]
        if dead or time.monotonic() > deadline:
            worst = dead[0] if dead else boards[0]
            raise AssertionError(f"{what}: {worst.name} {worst.version}\n{worst.log()[-4000:]}")


@dataclass(frozen=True)
class Counted:
    """What the boards' files say.

    Attributes:
        frames: classified frames.
        wrong: answers that no model meant for that board gives.
        swaps: changes of model between two frames.
        lost: frames missing between two others, beyond those at a swap.
        lost_at_swaps: frames missing there.
    """

    frames: int
    wrong: tuple[Wrong, ...]
    swaps: int
    lost: int
    lost_at_swaps: int


def count(boards: list[Board], published: Mapping[int, tuple[str, float]]) -> Counted:
    """Count over all runs of all boards.

    An answer is right if its line names a published version with its hash, and the probability in
    the line, which the network computed, is that version's.

    Args:
        boards: stopped or running.
        published: hash and probability of `cat` of each version that may answer.
    """
    frames = swaps = lost = lost_at_swaps = 0
    wrong: list[Wrong] = []
    for board, lines in _runs(boards):
        frames += len(lines)
        wrong += [Wrong(board.name, line) for line in lines if not _right(line, published)]
        for before, after in pairwise(lines):
            missing = after["frame"] - before["frame"] - 1
            if before["model"] == after["model"]:
                lost += missing
            else:
                swaps += 1
                lost_at_swaps += missing
    return Counted(frames, tuple(wrong), swaps, lost, lost_at_swaps)


def lost_by(board: Board) -> tuple[int, int]:
    """Frames that a board classified, and those missing between them."""
    runs = [board.lines("frames", run) for run in range(1, board.runs + 1)]
    missing = (b["frame"] - a["frame"] - 1 for lines in runs for a, b in pairwise(lines))
    return sum(map(len, runs)), sum(missing)


def _runs(boards: list[Board]) -> Iterator[tuple[Board, list[Line]]]:
    for board in boards:
        for run in range(1, board.runs + 1):
            yield board, board.lines("frames", run)


def _right(line: Line, published: Mapping[int, tuple[str, float]]) -> bool:
    model = line.get("model", {})
    sha256, probability = published.get(model.get("version", 0), ("", 0.0))
    return (
        bool(sha256)
        and model["sha256"] == sha256
        and (abs(line["raw"]["cat"] - probability) < TOLERANCE)
    )
