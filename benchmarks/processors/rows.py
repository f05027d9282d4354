"""The rows of the matrix: processors, and what each must show that it is."""

from __future__ import annotations

import platform
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A processor.

    Attributes:
        key: its name on the command line.
        title: its name on the page.
        machine: as `uname -m` names it.
        cpu: as QEMU names it; empty for the native one.
        has: features that a program must see there, by NumPy's names.
        lacks: features that it must not see.
        slow_float: whether QEMU takes minutes for an image that is computed in float.
    """

    key: str
    title: str
    machine: str
    cpu: str = ""
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    slow_float: bool = False

    @property
    def native(self) -> bool:
        """Whether it is the processor of this machine."""
        return not self.cpu

    def mismatch(self, features: tuple[str, ...]) -> str:
        """Why a program that sees these features does not run on this processor; else empty."""
        missing = [name for name in self.has if name not in features]
        extra = [name for name in self.lacks if name in features]
        parts = [f"sees no {', '.join(missing)}"] * bool(missing)
        parts += [f"sees {', '.join(extra)}"] * bool(extra)
        return " and ".join(parts)


NATIVE = Row("native", "this machine", platform.machine())
ROWS = (
    NATIVE,
    Row(
        "haswell",
        "x86-64 with AVX2, no VNNI",
        *("x86_64", "Haswell", ("AVX2",), ("AVX512VNNI",)),
        slow_float=True,  # each fused multiply-add is a call, of 90 ns where it was measured
    ),
    Row("nehalem", "x86-64 without AVX", "x86_64", "Nehalem", ("SSE42",), ("AVX", "AVX2")),
    Row("nano", "Jetson Nano", "aarch64", "cortex-a57", ("ASIMD",), ("ASIMDDP", "I8MM")),
    Row("pi4", "Raspberry Pi 4", "aarch64", "cortex-a72", ("ASIMD",), ("ASIMDDP", "I8MM")),
    Row("max", "aarch64 with all that QEMU has", "aarch64", "max", ("ASIMDDP", "I8MM", "SVE")),
)
