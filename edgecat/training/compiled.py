"""`torch.compile`: fused kernels for the training step, mainly on GPUs."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from edgecat_runtime.errors import BackendMissing
from edgecat_runtime.system.foreign_text import one_line


def compiled(model: nn.Module) -> nn.Module:
    """Compile a module on its first call; it shares the model's weights."""
    return cast("nn.Module", torch.compile(model))


def check_compiler(device: torch.device) -> None:
    """Compile one line, so that a missing compiler is reported at once.

    Raises:
        BackendMissing: no compiler, or a Python version that torch cannot compile for.
    """
    try:
        torch.compile(lambda values: values * 2 + 1)(torch.ones(8, device=device))
    except (RuntimeError, ImportError) as error:
        reason = one_line(error).rstrip(".")
        needed = "Triton (pip install triton)" if device.type == "cuda" else "a C++ compiler (g++)"
        raise BackendMissing(
            f"torch.compile does not work here ({reason}); it needs {needed}. Install it, or leave "
            "out --compile"
        ) from error
