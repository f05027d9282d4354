"""Runs tests/gpu in its own process, which isolates the faults they provoke."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from on_gpu.session import Session

ROOT = Path(__file__).parents[2]


def tests(session: Session, seconds: float) -> None:
    """Run tests/gpu on the GPU, with as many soak cycles as time allows."""
    result = session.folder / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-k", "not software", str(ROOT / "tests" / "gpu"), f"--junitxml={result}"]
    cycles = str(int(max(20, min(10_000, seconds))))
    environment = {"EDGECAT_CYCLES": cycles, **os.environ}
    try:
        subprocess.run(command, cwd=ROOT, timeout=max(seconds, 1), check=False, env=environment)
    except subprocess.TimeoutExpired:
        session.report.tests = {"failed": 1, "names": [f"timed out after {seconds:.0f} s"]}
        return
    none = {"failed": 1, "names": ["pytest did not start"]}
    session.report.tests = counted(result) if result.is_file() else none


def counted(junit: Path) -> dict[str, Any]:
    """Count outcomes in pytest's XML; a run without tests counts as failed."""
    cases = list(ElementTree.parse(junit).iter("testcase"))
    failed = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    skipped = [reason for c in cases if (reason := c.find("skipped")) is not None]
    return {
        "passed": len(cases) - len(failed) - len(skipped),
        "skipped": len(skipped),
        "failed": len(failed) if cases else 1,
        "names": [f"{c.get('classname')}::{c.get('name')}" for c in failed],
        "reasons": sorted({str(reason.get("message")) for reason in skipped}),
    }
