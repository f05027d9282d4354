"""The log on standard error: silent unless `EDGECAT_LOG` or `--verbose` asks for it."""

from __future__ import annotations

import logging
import os
import sys

from edgecat_runtime.errors import UserError

VARIABLE = "EDGECAT_LOG"
LEVELS = ("debug", "info", "warning", "error")
_ROOTS = ("edgecat", "edgecat_export", "edgecat_runtime")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Shown(logging.Handler):
    """Writes to whatever standard error is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)  # noqa: T201


def log_from_environment() -> None:
    """Show the log from the level in `EDGECAT_LOG` up.

    Raises:
        UserError: there is no such level.
    """
    level = os.environ.get(VARIABLE, "").strip().lower()
    if level and level not in LEVELS:
        wanted = f"{', '.join(LEVELS[:-1])} or {LEVELS[-1]}"
        raise UserError(f"{VARIABLE} is {os.environ[VARIABLE]!r}; expected {wanted}")
    if level:
        show_log(level)


def show_log(level: str, *, text: str = _FORMAT) -> None:
    """Write the log of edgecat's packages from this level up to standard error, once.

    Args:
        level: one of `LEVELS`.
        text: format of a line, as for `logging.Formatter`.
    """
    for root in _ROOTS:
        logger = logging.getLogger(root)
        if not is_shown(logger):
            handler = _Shown()
            handler.setFormatter(logging.Formatter(text))
            logger.addHandler(handler)
            logger.setLevel(level.upper())


def hide_log() -> None:
    """Undo `show_log`."""
    for logger in map(logging.getLogger, _ROOTS):
        for handler in [one for one in logger.handlers if isinstance(one, _Shown)]:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)


def is_shown(logger: logging.Logger) -> bool:
    """Whether this logger's messages already go to standard error."""
    return any(isinstance(handler, _Shown) for handler in logger.handlers)
