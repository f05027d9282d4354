"""The errors that edgecat raises deliberately; each message says got, expected, fix."""

from __future__ import annotations

from typing import ClassVar


class EdgecatError(Exception):
    """Base of every error with a user-facing message; `exit_code` is the command's exit code."""

    exit_code: ClassVar[int] = 1


class UserError(EdgecatError):
    """The request is invalid: a path, an image, an option."""


class InvalidModel(UserError):
    """A backend found the model file itself invalid: no other backend is given it."""


class BackendMissing(UserError):
    """An optional package is not installed; the message contains the install command."""


class GateError(EdgecatError):
    """An artifact's results differ from its reference, or it is damaged."""

    exit_code = 3


class DeviceError(EdgecatError):
    """A device failed: a camera, a GPU."""

    exit_code = 4
