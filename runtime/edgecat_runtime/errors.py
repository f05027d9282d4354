"""The errors that edgecat raises deliberately; each message says got, expected, fix.

The tree, with the exit code of the command line. Catch a branch to catch all below it:

    EdgecatError             1  every error that edgecat foresees
    ├── UserError            1  the request is invalid: a path, an image, an option
    │   ├── BackendMissing   1  an optional package is not installed
    │   ├── BadRequest       1  a request to the inference service is not valid
    │   ├── ImageError       1  a file is not an image, or is truncated
    │   ├── ChannelError     1  a file is not the manifest of a fleet's channel
    │   ├── CardError        1  a model's card cannot be used
    │   │   └── CardMissing  1  the file has none: edgecat did not write it
    │   ├── InvalidModel     1  the model file itself is invalid: no other backend is tried
    │   ├── EngineError      1  TensorRT cannot build an engine from this graph
    │   └── EngineMismatch   1  TensorRT cannot load this engine on this machine
    ├── GateError            3  results differ from the reference, or a file is damaged
    │   ├── CardDamaged      3  a card or its file was modified after it was written
    │   ├── NotTrusted       3  a model is not signed as required
    │   ├── UpdateRefused    3  a board does not take a model of its channel
    │   └── WrongAnswer      3  a model fails its self-test on this machine
    └── DeviceError          4  a device failed: a camera, a GPU

An error is data: `what` happened and the `fix`, where they are told apart; `str(error)` is both in
one sentence. Nothing needs to read a sentence to tell kinds apart.
"""

from __future__ import annotations

from typing import ClassVar


class EdgecatError(Exception):
    """Base of every error with a user-facing message; `exit_code` is the command's exit code.

    Args:
        what: what was given and what was expected; without `fix`, the whole message.
        fix: what to do about it, as a sentence of its own without a full stop.

    Attributes:
        what: as given.
        fix: as given; empty where the message is one piece.

    Example:
        >>> error = EdgecatError("the camera is busy", fix="Close other programs")
        >>> print(error)
        the camera is busy. Close other programs
        >>> error.fix
        'Close other programs'
    """

    exit_code: ClassVar[int] = 1
    _between: ClassVar[str] = ". "

    def __init__(self, what: object = "", *, fix: str = "") -> None:
        super().__init__(what)
        self.what = str(what)
        self.fix = fix

    def __str__(self) -> str:
        return self.what + (self._between + self.fix if self.fix else "")


class UserError(EdgecatError):
    """The request is invalid: a path, an image, an option.

    Example:
        >>> UserError("size is 8; expected 32 to 1024").exit_code
        1
    """


class InvalidModel(UserError):
    """A backend found the model file itself invalid: no other backend is given it."""


class BackendMissing(UserError):
    """An optional package is not installed; the fix is the install command.

    Example:
        >>> print(BackendMissing("OpenCV is not installed", fix="pip install opencv-python"))
        OpenCV is not installed: pip install opencv-python
    """

    _between = ": "


class GateError(EdgecatError):
    """An artifact's results differ from its reference, or it is damaged.

    Example:
        >>> GateError("vgg16.onnx was modified").exit_code
        3
    """

    exit_code = 3


class DeviceError(EdgecatError):
    """A device failed: a camera, a GPU.

    Example:
        >>> DeviceError("the camera was unplugged").exit_code
        4
    """

    exit_code = 4
