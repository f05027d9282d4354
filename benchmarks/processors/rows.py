"""The rows of the matrix: CPUs, and the features each must show."""

from __future__ import annotations

import platform
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A CPU.

    Attributes:
        key: name on the command line.
        title: name on the page.
        machine: as printed by `uname -m`.
        cpu: QEMU's name; empty for the native one.
        has: features that a program must see, by NumPy's names.
        lacks: features that a program must not see.
        slow_float: whether QEMU takes minutes per image in float.
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
        """Whether it is this machine's CPU."""
        return not self.cpu

    def mismatch(self, features: tuple[str, ...]) -> str:
        """Say why these features do not match this CPU; empty if they do."""
        missing = [name for name in self.has if name not in features]
        extra = [name for name in self.lacks if name in features]
        parts = [f"does not see {', '.join(missing)}"] * bool(missing)
        parts += [f"sees {', '.join(extra)}"] * bool(extra)
        return " and ".join(parts)


_NEW = ("ASIMDDP", "I8MM", "SVE")
NATIVE = Row("native", "this machine", platform.machine())
ROWS = (
    NATIVE,
    Row(
        "haswell",
        "x86-64 with AVX2, no VNNI",
        *("x86_64", "Haswell", ("AVX2",), ("AVX512VNNI",)),
        slow_float=True,  # each fused multiply-add is a call, measured at 90 ns
    ),
    Row("nehalem", "x86-64 without AVX", "x86_64", "Nehalem", ("SSE42",), ("AVX", "AVX2")),
    Row("nano", "Jetson Nano", "aarch64", "cortex-a57", ("ASIMD",), ("ASIMDDP", "I8MM")),
    Row("pi4", "Raspberry Pi 4", "aarch64", "cortex-a72", ("ASIMD",), ("ASIMDDP", "I8MM")),
    Row("sve", "aarch64 with SVE2 and I8MM", "aarch64", "max,sme=off", _NEW),
    Row("max", "aarch64 with all QEMU features, SME too", "aarch64", "max", _NEW),
)
