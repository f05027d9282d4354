"""PyTorch devices: `cpu`, `cuda`, `cuda:1`."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext

import torch

from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.system.foreign_text import one_line

log = logging.getLogger("edgecat")


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda`, `cuda:1`, ... into a working device.

    Raises:
        UserError: unknown kind of device.
        DeviceError: this machine does not have this device.
    """
    if name == "auto":
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        log.info("device auto: %s", device)
        return device
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"--device is {name!r}; expected auto, cpu, cuda or cuda:N") from error
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = one_line(error)
        raise DeviceError(
            f"device {name} is not usable on this machine ({reason}). Try --device cpu"
        ) from error
    return device


def selected(device: torch.device) -> AbstractContextManager[object]:
    """Make a GPU current on this thread, for libraries that use the current device implicitly."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
