"""The errors that edgecat raises on purpose: each message says got, expected, fix."""

from __future__ import annotations

from typing import ClassVar


class EdgecatError(Exception):
    """Base of every error with a sentence for a person; `exit_code` is the command's answer."""

    exit_code: ClassVar[int] = 1


class UserError(EdgecatError):
    """What was asked for cannot be done as given: a path, a picture, an option."""


class BackendMissing(UserError):
    """An optional package is not installed; the message holds the install line."""


class GateError(EdgecatError):
    """An artifact answers differently from its reference, or is damaged."""

    exit_code = 3


class DeviceError(EdgecatError):
    """The device failed: a camera, a GPU."""

    exit_code = 4
