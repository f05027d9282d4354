"""Standard input, output and error, whatever the caller made of them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def prepare_streams() -> None:
    """Make the standard streams usable: reopen closed ones, escape what they cannot encode.

    A closed descriptor (`>&-`) would be given to the next file that is opened, and what a library
    prints would end up in it. A character that the output's encoding lacks is shown as an escape.
    Every line is written at once, also into a pipe: `edgecat study ... | tee log` shows progress.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
        if mode == "w" and hasattr(stream := getattr(sys, name), "reconfigure"):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)


def settle_streams() -> None:
    """Write what is left; where nobody reads it any more, let Python end without an error."""
    _settle(sys.stdout)
    _settle(sys.stderr)


def _settle(stream: TextIO) -> None:
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
