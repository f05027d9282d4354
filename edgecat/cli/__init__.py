"""The command line: one file per command, heavy imports inside the command that needs them."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import Annotated, Any

import typer

from edgecat._version import __version__
from edgecat.cli.benchmark import benchmark
from edgecat.cli.camera import camera
from edgecat.cli.classify import classify
from edgecat.cli.compress import compress
from edgecat.cli.data import data
from edgecat.cli.deepvis import deepvis
from edgecat.cli.demo import demo
from edgecat.cli.doctor import doctor
from edgecat.cli.evaluate import evaluate
from edgecat.cli.explain import explain
from edgecat.cli.export import export
from edgecat.cli.fleet import fleet
from edgecat.cli.inspect import inspect
from edgecat.cli.models import models
from edgecat.cli.serve import serve
from edgecat.cli.sign import key, sign
from edgecat.cli.study import study
from edgecat.cli.teach import teach
from edgecat.cli.terminal.built_on_use import BuiltOnUse, Code
from edgecat.cli.terminal.console import say, warn
from edgecat.cli.terminal.help import Group
from edgecat.cli.terminal.streams import prepare_streams, settle_streams
from edgecat.cli.train import train
from edgecat.cli.verify import verify

UNFORESEEN = 70
_COMMANDS: dict[str, tuple[Code, ...]] = {
    "Start": (demo, teach, doctor, models),
    "Data": (data,),
    "Train": (train, evaluate, compress),
    "Ship": (export, verify, inspect, benchmark, sign, key, fleet),
    "Watch": (camera, classify, serve),
    "Learn": (deepvis, explain, study),
}


class _Edgecat(Group):
    headings = tuple(_COMMANDS)

    def __init__(self, **given: Any) -> None:
        code = {_name(code): code for commands in _COMMANDS.values() for code in commands}
        panels = {_name(code): panel for panel, commands in _COMMANDS.items() for code in commands}
        code["predict"] = classify  # its name in other tools
        self._lazy = BuiltOnUse(code, panels)
        super().__init__(**{**given, "commands": self._lazy})

    def summaries(self) -> list[tuple[str, Any]]:
        """Names and commands, built without their options."""
        return self._lazy.summaries()


def _name(code: Code) -> str:
    return str(code.info.name if isinstance(code, typer.Typer) else code.__name__)


app = typer.Typer(
    name="edgecat",
    cls=_Edgecat,
    help="Train an image classifier once, ship it to any edge device, and prove there that its "
    "predictions are the same.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(asked: bool) -> None:
    if asked:
        say(f"edgecat {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    if os.environ.get("EDGECAT_LOG") and not context.resilient_parsing:
        from edgecat.cli.terminal.logs import hide_log, log_from_environment

        log_from_environment()
        context.call_on_close(hide_log)


def main() -> None:
    """Run the command line; every anticipated error becomes one line and an exit code.

    Exit codes: 0 success, 1 user error, 2 command-line usage error, 3 failed gate or self-test,
    4 device failure, 70 a fault of edgecat itself, with its traceback (EX_SOFTWARE of sysexits.h),
    130 interrupted.
    """
    # torch's threads busy-wait for one another, for milliseconds by default. While another program
    # uses the same cores, that makes training several times slower. About 0.1 ms is enough.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    prepare_streams()
    try:
        _run()
    finally:
        settle_streams()


def _run() -> None:
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where a closed pipe is caught, not at interpreter exit
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except SystemExit as end:  # Typer exits silently on Ctrl-C
        if end.__context__ and type(end.__context__.__cause__) is KeyboardInterrupt:
            _fail("interrupted", 130)
        raise
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        foreseen = _foreseen(error)
        if foreseen is None:
            with suppress(OSError):
                traceback.print_exc()
            sys.exit(UNFORESEEN)
        _fail(*foreseen)


def _foreseen(error: Exception) -> tuple[str, int] | None:
    """The message and the exit code of an anticipated error."""
    from edgecat.workflows.inputs import missing_package
    from edgecat_runtime.errors import EdgecatError
    from edgecat_runtime.system.atomic import write_error

    if isinstance(error, EdgecatError):
        return str(error), error.exit_code
    if isinstance(error, ModuleNotFoundError):
        missing = missing_package(error)
        return (str(missing), missing.exit_code) if missing else None
    if isinstance(error, OSError) and (error.filename is not None or error.errno is not None):
        return str(write_error(error.filename or "the output", error)), 1
    return None


def _fail(message: str, code: int) -> None:
    warn(f"error: {message}")
    sys.exit(code)
