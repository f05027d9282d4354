"""In a process of its own: one fine-tuning or one export, told line by line.

`python -m edgecat.workflows.teach_run '{"task": "train", ...}'` prints a JSON object per line.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgecat_runtime.errors import EdgecatError, UserError
from edgecat_runtime.system.child import limit_child

_NICER = 5


def run_task(request: dict[str, Any], tell: Callable[..., None]) -> int:
    """Do what is asked; return the exit code.

    Args:
        request: `task`, `train` or `export`, and its arguments.
        tell: called with an event and its values.
    """
    from edgecat.training.interruption import Interrupted
    from edgecat.workflows.inputs import missing_package

    task = {"train": _train, "export": _export}[request["task"]]
    try:
        task(request, tell)
    except Interrupted as interrupted:
        tell("paused")
        return interrupted.exit_code
    except KeyboardInterrupt:
        tell("paused")
        return 130
    except EdgecatError as error:
        tell("failed", why=str(error))
        return error.exit_code
    except ModuleNotFoundError as error:
        tell("failed", why=str(missing_package(error) or error))
        return 1
    return 0


def _train(request: dict[str, Any], tell: Callable[..., None]) -> None:
    from edgecat.training.config import TrainConfig
    from edgecat.training.loop import train
    from edgecat.training.run_folder import read_config
    from edgecat.training.start import suited
    from edgecat.workflows.evaluate import calibrate

    resume = Path(request["resume"]) if request.get("resume") else None
    if resume is None:
        options = request["options"]
        config, _ = suited(TrainConfig(**{**options, "data": tuple(options["data"])}), options)
    else:
        config = read_config(resume)
    result = train(config, resume=resume, watcher=_watcher(tell, config.epochs))
    with suppress(UserError):  # too few held-out images: it answers without an energy limit
        calibrate(result.checkpoint, [result.checkpoint.parent])
    accuracy, n = result.evaluation.accuracy, result.evaluation.n
    tell("done", checkpoint=str(result.checkpoint), accuracy=accuracy, n=n)


def _watcher(tell: Callable[..., None], epochs: int) -> Any:
    from edgecat.training.watcher import Watcher

    class Told(Watcher):
        """Tells of the progress."""

        step, steps, epoch = 0, 1, 0

        def started(self, folder: Path, training: Any, validation: Any) -> None:
            tell("started", folder=str(folder), epochs=epochs)

        def epoch_started(self, epoch: int, steps: int, done: int) -> None:
            self.epoch, self.steps, self.step = epoch, steps, done

        def stepped(self, images: int, loss: Callable[[], float]) -> None:
            self.step += 1
            share = (self.epoch - 1 + self.step / max(self.steps, 1)) / epochs
            tell("step", epoch=self.epoch, share=round(share, 4))

        def epoch_finished(self, row: Any, *, best: bool) -> None:
            tell("epoch", epoch=row.epoch, **({"accuracy": row.val_accuracy} if best else {}))

    return Told()


def _export(request: dict[str, Any], tell: Callable[..., None]) -> None:
    """Export in the forms that may be the fastest here; a form that fails its gate is left out."""
    from edgecat.training.run_folder import read_config
    from edgecat.workflows.export import ExportRequest
    from edgecat_runtime.backends import available_backends

    source = Path(request["checkpoint"])
    photos = tuple(map(Path, read_config(source.parent).data))
    asked = [
        ExportRequest(source, precision="int8", calibrate=photos),
        ExportRequest(source, precision="fp16", calibrate=photos),
    ]
    if available_backends("model.trt"):
        asked.insert(0, ExportRequest(source, to="trt", precision="fp16", calibrate=photos))
    files: list[str] = []
    for one in asked:
        with suppress(EdgecatError):
            files.append(str(one.run().path))
    if not files:
        files.append(str(ExportRequest(source).run().path))
    tell("exported", files=files)


def main() -> int:
    """Run the request in the first argument."""
    if sys.platform != "win32":
        limit_child(os.getppid())
        os.nice(_NICER)

    def tell(event: str, **values: Any) -> None:
        with suppress(BrokenPipeError):
            print(json.dumps({"event": event, **values}), flush=True)  # noqa: T201

    return run_task(json.loads(sys.argv[1]), tell)


if __name__ == "__main__":
    sys.exit(main())
