"""What a check answers with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: of what was looked at.
        ok: whether nothing is left to be done about it.
        value: what was found.
        fix: what to do; empty where nothing is.
    """

    name: str
    ok: bool
    value: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.value}" + (f". {self.fix}" if self.fix else "")
