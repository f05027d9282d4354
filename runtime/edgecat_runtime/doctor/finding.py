"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: what was checked.
        ok: whether nothing needs to be fixed.
        value: what was found.
        fix: how to fix it; empty if nothing needs to be fixed.
    """

    name: str
    ok: bool
    value: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.value}" + (f". {self.fix}" if self.fix else "")
