"""Fine-tuning in a process of its own, and the export of its result, for `edgecat teach`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from edgecat.training.config import STATE
from edgecat_runtime.errors import EdgecatError, UserError
from edgecat_runtime.loop.teach.captures import HELD
from edgecat_runtime.loop.teach.session import Session
from edgecat_runtime.loop.teach.store import HIDDEN
from edgecat_runtime.system.atomic import write_error
from edgecat_runtime.system.machine import cores

_STOP_SECONDS = 20.0
_EXIT_SECONDS = 20.0
_BUSY = ("running", "stopping", "exporting")
_PASSES = 2400
"""About how many images are trained on in all: with more images, there are fewer epochs."""
_FEWEST, _MOST = 4, 20


class FineTuning:
    """Fine-tunes the shipped model on a session's images; a `Trainer`.

    It trains on links to the images, so that what is captured, moved or deleted meanwhile does not
    disturb it. These stay until the next run, for the export.

    Args:
        session: whose images, and whose running model is replaced.
        runs: folder that gets the run.
        device: to train on.
        epochs: number of passes; None: by the number of images.
    """

    def __init__(
        self, session: Session, *, runs: Path, device: str = "auto", epochs: int | None = None
    ) -> None:
        self._session, self._runs, self._device, self._epochs = session, runs, device, epochs
        self._hidden = session.store.folder / HIDDEN / "training"
        self._lock = Lock()
        self._process: subprocess.Popen[str] | None = None
        self._refused: OSError | None = None
        self._state: dict[str, Any] = self._found()

    def state(self) -> dict[str, Any]:
        """The state: idle, running, stopping, paused, done, exporting, used or failed."""
        state = dict(self._state)
        if state["state"] in ("done", "used"):  # another model may answer since then
            used = self._session.used
            ours = used and Path(used).parent == Path(state["checkpoint"]).parent
            state |= {"state": "used", "model": Path(used).name} if ours else {"state": "done"}
        return state

    def start(self) -> None:
        """Begin a new run on the images as they are now.

        Raises:
            UserError: one is running, there are fewer than two classes, or the disk is full.
        """
        self._check_free()
        store = self._session.store
        store.divide()
        self._session.learner.notice()
        counts = [one.label for one in store.captures() if not one.held]
        if len(set(counts)) < 2:
            raise UserError("training needs images of two classes or more. Capture some first")
        name = f"teach-{datetime.now():%Y%m%d-%H%M%S}"
        data = self._snapshot(name)
        epochs = self._epochs or min(_MOST, max(_FEWEST, _PASSES // len(counts)))
        options = {
            "data": [str(data)], "name": name, "output": str(self._runs), "epochs": epochs,
            "weights": "shipped", "device": self._device, "threads": max(1, cores() - 1),
        }  # fmt: skip
        store.journal.append("training", folder=str(self._runs / name))
        self._begin({"task": "train", "options": options})

    def resume(self) -> None:
        """Continue the run that was stopped.

        Raises:
            UserError: there is none.
        """
        self._check_free()
        folder = self._state.get("folder", "")
        if self._state["state"] != "paused" or not folder:
            raise UserError("no training run was stopped; there is nothing to resume")
        self._begin({"task": "train", "resume": folder}, **self._state)

    def stop(self) -> None:
        """Stop the run after its step; its state is saved."""
        process = self._process
        if process is not None and process.poll() is None:
            self._state |= {"state": "stopping"}
            process.send_signal(signal.SIGINT)

    def deploy(self) -> None:
        """Export the trained model and let it answer, in the background.

        Raises:
            UserError: no run is finished.
        """
        self._check_free()
        if not self._state.get("checkpoint"):
            raise UserError("no training run is finished; there is no model to use")
        self._begin({"task": "export", "checkpoint": self._state["checkpoint"]}, **self._state)

    def close(self) -> None:
        """Stop what runs and wait until it is saved."""
        self.stop()
        process = self._process
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            process.kill()

    def _check_free(self) -> None:
        if self._process is not None and self._state["state"] not in _BUSY:
            with suppress(subprocess.TimeoutExpired):  # it has told its end, and is about to exit
                self._process.wait(_EXIT_SECONDS)
        if self._process is not None and self._process.poll() is None:
            raise UserError("a training run or an export is going on. Wait for it, or stop it")

    def _begin(self, request: dict[str, Any], **state: Any) -> None:
        """Start a process, on the thread that follows it: the process ends with its thread."""
        exporting = request["task"] == "export"
        with self._lock:
            self._check_free()
            before, begun = self._state, Event()
            state.pop("why", None)
            self._state = {**state, "state": "exporting" if exporting else "running"}
            Thread(target=self._run, args=(request, begun), daemon=True).start()
            begun.wait()
            if isinstance(self._refused, OSError):
                self._state, error, self._refused = before, self._refused, None
                raise UserError(
                    f"no process can be started: {error.strerror}. Close other programs"
                )

    def _run(self, request: dict[str, Any], begun: Event) -> None:
        try:
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "edgecat.workflows.teach_run", json.dumps(request)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C in the terminal is for the session
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except OSError as error:
            self._refused = error
            return
        finally:
            begun.set()
        self._follow(process)

    def _follow(self, process: subprocess.Popen[str]) -> None:
        """Take the process's lines until it ends."""
        errors: list[str] = []
        reader = Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
        reader.start()
        for line in process.stdout or ():
            with suppress(ValueError):
                self._hear(json.loads(line))
        process.wait()
        reader.join(1)
        if self._state["state"] in _BUSY:
            last = next((line.strip() for line in reversed(errors) if line.strip()), "")
            why = last or f"the process ended with code {process.returncode}"
            folder = self._state.get("folder")
            saved = bool(folder) and (Path(str(folder)) / STATE).exists()
            self._state |= {"state": "paused" if saved else "failed", "why": f"it failed: {why}"}

    def _hear(self, event: dict[str, Any]) -> None:
        kind = event.pop("event")
        if kind == "exported":
            self._use([Path(file) for file in event["files"]])
            return
        change = {"paused": "paused", "failed": "failed", "done": "done"}.get(kind)
        known = {**self._state, **event}
        if change == "paused" and not known.get("folder"):
            change = "idle"
        self._state = {**known, **({"state": change} if change else {})}

    def _use(self, files: list[Path]) -> None:
        try:
            self._session.use(files)
        except (EdgecatError, OSError) as error:
            self._state |= {"state": "failed", "why": str(error)}
            return
        self._state |= {"state": "used"}

    def _snapshot(self, name: str) -> Path:
        """A folder of links to the images: `train/CLASS/` and `val/CLASS/`; copies if need be."""
        store = self._session.store
        shutil.rmtree(self._hidden, ignore_errors=True)
        folder = self._hidden / name
        held = any(one.held for one in store.captures())
        for one in store.captures():
            side = (HELD if one.held else "train") if held else ""
            target = folder / side / one.label / one.file
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(one.path(store.folder), target)
                except OSError:
                    shutil.copy2(one.path(store.folder), target)
            except FileNotFoundError:
                continue  # deleted meanwhile
            except OSError as error:
                raise write_error(target, error) from error
        return folder

    def _found(self) -> dict[str, Any]:
        """The state that the last session left."""
        folders = [
            Path(str(entry.get("folder")))
            for entry in self._session.store.journal
            if entry["event"] == "training"
        ]
        folder = folders[-1] if folders else None
        if folder is None or not folder.is_dir():
            return {"state": "idle"}
        if (folder / STATE).exists():
            return {"state": "paused", "folder": str(folder)}
        checkpoint = next(folder.glob("*.safetensors"), None)
        if checkpoint is None:
            return {"state": "idle"}
        return {
            "state": "done",
            "folder": str(folder),
            "checkpoint": str(checkpoint),
            **_score(checkpoint),
        }


def _score(checkpoint: Path) -> dict[str, Any]:
    from edgecat_runtime.model.artifact import read_card

    try:
        card = read_card(checkpoint)
    except EdgecatError:
        return {}
    return {} if card.accuracy is None else {"accuracy": card.accuracy, "n": card.accuracy_n}
