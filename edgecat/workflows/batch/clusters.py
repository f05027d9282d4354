"""Finds Ray clusters, and finds out early whether they answer: Ray itself tries for minutes."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from pathlib import Path

from edgecat_runtime.errors import UserError

START_ONE = "local"  # Ray's word for a cluster that is started for the program
_CONNECT_SECONDS = 5.0
_VARIABLE = "RAY_ADDRESS"
_PLACE = re.compile(r"(?:ray://)?([^\s:/]+|\[[^\s\]/]+\]):(\d{1,5})")


def place_of(address: str) -> tuple[str, int] | None:
    """Host and port of `HOST:PORT` or `ray://HOST:PORT`; None for anything else.

    Example:
        >>> place_of("ray://head:10001"), place_of("auto")
        (('head', 10001), None)
    """
    found = _PLACE.fullmatch(address)
    return (found[1].strip("[]"), int(found[2])) if found else None


def cluster_here() -> str:
    """The address of the cluster that this machine belongs to; `local` if there is none.

    It is that of RAY_ADDRESS; otherwise the one that `ray start` noted, if that still answers.

    Raises:
        UserError: nothing answers at RAY_ADDRESS.
    """
    named = os.environ.get(_VARIABLE, "")
    if place_of(named):
        check_answers(named)
        return named
    noted = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), "ray/ray_current_cluster")
    try:
        address = noted.read_text().strip()
        check_answers(address)
    except (OSError, UserError):
        return START_ONE
    return address


def check_answers(address: str) -> None:
    """Try to connect to `HOST:PORT` or `ray://HOST:PORT`.

    Raises:
        UserError: nothing answers there.
    """
    place = place_of(address)
    try:
        if place is None:
            raise OSError("not HOST:PORT")
        socket.create_connection(place, _CONNECT_SECONDS).close()
    except OSError as error:
        raise unusable(address, error.strerror or str(error)) from error


def unusable(address: str, reason: str) -> UserError:
    """The error of a Ray cluster that cannot be used."""
    return UserError(
        f"cannot use the Ray cluster at {address} ({reason}); expected a running one with the "
        "same versions of Ray and Python, ray://HOST:PORT being its client server (port 10001). "
        "Start one: ray start --head. If it asks for a token, set RAY_AUTH_MODE=token here"
    )
