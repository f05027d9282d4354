"""Isolated Pythons, native or emulated, with only the given packages."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from edgecat_runtime.errors import UserError
from processors.debian import PYTHON, Debian
from processors.rows import Row

ROOT = Path(__file__).parents[2]
_CONSTRAINTS = ROOT / "constraints.txt"
_GLIBC = range(17, 42)  # manylinux_2_17 to the glibc of the Debian suite
_NOISE = "TCG doesn't support requested feature"


@dataclass(frozen=True)
class Ran:
    """The result of a script.

    Attributes:
        out: standard output.
        failure: why it failed; empty on success.
        seconds: duration.
    """

    out: str
    failure: str
    seconds: float


@dataclass(frozen=True)
class Interpreter:
    """A Python without site-packages.

    Attributes:
        command: command line prefix.
        python: its version, such as `3.13`.
        machine: target machine; empty for the running Python, whose wheels pip selects itself.
    """

    command: tuple[str, ...]
    python: str
    machine: str = ""

    def run(
        self, arguments: Sequence[str | Path], paths: Sequence[Path], *, cwd: Path, timeout: float
    ) -> Ran:
        """Run it on one thread, importing only from `paths`; `timeout` in seconds."""
        kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
        ones = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        own = {"EDGECAT_CACHE": str(cwd / "cache"), "PYTHONNOUSERSITE": "1"}
        modules = os.pathsep.join(map(str, paths))
        start = time.perf_counter()
        try:
            ran = subprocess.run(
                [*self.command, "-S", *map(str, arguments)],
                env={**kept, **ones, **own, "LANG": "C.UTF-8", "PYTHONPATH": modules},
                cwd=cwd,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            return Ran("", f"timed out after {timeout:.0f} s", time.perf_counter() - start)
        seconds = time.perf_counter() - start
        return Ran(ran.stdout, _failure(ran.returncode, ran.stderr), seconds)


def _failure(code: int, error: str) -> str:
    """Describe how a process failed; empty on success."""
    lines = [line.strip() for line in error.splitlines() if line.strip() and _NOISE not in line]
    if code == 0:
        return ""
    said = f": {lines[-1][:200]}" if lines else ""
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        names = {item.value: item.name for item in signal.Signals}
        return f"killed by {names.get(number, f'signal {number}')}{said}"
    return f"exit code {code}{said}"


class Workshop:
    """Creates interpreters and downloads their packages into a cache folder.

    Args:
        folder: cache folder; created if missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._debian: Debian | None = None

    def interpreter(self, row: Row) -> Interpreter:
        """Return the Python of a row.

        Raises:
            UserError: it is emulated, and Debian's packages are not available.
        """
        if row.native:
            return Interpreter((sys.executable,), "{}.{}".format(*sys.version_info))
        self._debian = self._debian or Debian(self._folder)
        root = self._debian.root(row.machine)
        emulator = self._debian.emulator(row.machine)
        command = (emulator, "-cpu", row.cpu, "-L", root, root / f"usr/bin/python{PYTHON}")
        return Interpreter(tuple(map(str, command)), PYTHON, row.machine)

    def emulator_version(self, row: Row) -> str:
        """Return QEMU's version line, such as `QEMU 10.0.13 (Debian ...)`."""
        said = subprocess.run(
            [self.interpreter(row).command[0], "--version"], capture_output=True, text=True
        ).stdout
        return said.splitlines()[0].replace("qemu-" + row.machine + " version", "QEMU")

    def package(
        self, interpreter: Interpreter, requirement: str, *, dependencies: bool = False
    ) -> Path:
        """Return the folder of a package's wheel, unpacked for an interpreter.

        Args:
            interpreter: the interpreter that imports it.
            requirement: such as `numpy`, in the version of constraints.txt, or `numpy==1.26.4`.
            dependencies: also download its dependencies into the same folder.

        Raises:
            UserError: pip found no wheel.
        """
        exact = pinned(requirement, interpreter.python)
        tag = f"{interpreter.machine or 'native'}-{interpreter.python}"
        target = self._folder / "wheels" / tag / exact
        if target.is_dir():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
            fresh = Path(temporary) / "package"
            options = _platform(interpreter) if interpreter.machine else []
            options += ["--constraint", str(_CONSTRAINTS)] if dependencies else ["--no-deps"]
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
            ran = subprocess.run(
                [*command, "--target", str(fresh), *options, exact], capture_output=True, text=True
            )
            if ran.returncode:
                errors = re.findall(r"^ERROR: (.*)$", ran.stderr, re.M) or [ran.stderr[-300:]]
                raise UserError(f"pip cannot get {exact} for {tag}: {errors[-1]}")
            fresh.rename(target)
        return target


def pinned(requirement: str, python: str) -> str:
    """Pin a requirement to the version in constraints.txt for a Python, unless it has one.

    Raises:
        UserError: it is not in constraints.txt.
    """
    if "==" in requirement:
        return requirement
    for line in _CONSTRAINTS.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        found = Requirement(line)
        applies = found.marker is None or found.marker.evaluate({"python_version": python})
        if found.name == requirement and applies:
            return f"{found.name}{found.specifier}"
    raise UserError(f"constraints.txt has no {requirement} for Python {python}; add its version")


def _platform(interpreter: Interpreter) -> list[str]:
    """Return pip options that select wheels for another machine and Python."""
    tags = [f"manylinux_2_{minor}_{interpreter.machine}" for minor in _GLIBC]
    tags.append(f"manylinux2014_{interpreter.machine}")
    digits = interpreter.python.replace(".", "")
    options = ["--python-version", interpreter.python, "--implementation", "cp"]
    options += [word for abi in (f"cp{digits}", "abi3", "none") for word in ("--abi", abi)]
    return options + [word for tag in tags for word in ("--platform", tag)]
