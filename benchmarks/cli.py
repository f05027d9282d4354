"""Measure command-line start-up: `python benchmarks/cli.py`. Limit: `edgecat --help` in 0.2 s.

On a busy machine, judge by the CPU time, which is printed as well.
"""

from __future__ import annotations

import platform
import resource
import statistics
import subprocess
import sys
from time import perf_counter

from edgecat_runtime.system.machine import this_machine

BAR = 0.2
_ROUNDS = 15
_COMMANDS = {
    "edgecat --help": ("-m", "edgecat", "--help"),
    "edgecat camera --help": ("-m", "edgecat", "camera", "--help"),
    "edgecat --no-such-option": ("-m", "edgecat", "--no-such-option"),
    "python -c pass": ("-c", "pass"),
}


def main() -> int:
    """Print the figures; return 1 if the limit is missed."""
    print(f"Python {platform.python_version()}, {this_machine()}")
    print(f"{'s, of ' + str(_ROUNDS):<26} fastest  median  CPU time")
    medians = []
    for name, arguments in _COMMANDS.items():
        times, spent = _measured([sys.executable, *arguments])
        medians.append(statistics.median(times))
        print(f"{name:<26} {min(times):7.3f} {medians[-1]:7.3f} {spent:10.3f}")
    return int(medians[0] >= BAR)


def _measured(command: list[str]) -> tuple[list[float], float]:
    """Return the wall-clock seconds of each run, and the mean CPU seconds."""
    _run(command)  # warms the file cache
    before, times = _children(), []
    for _ in range(_ROUNDS):
        start = perf_counter()
        _run(command)
        times.append(perf_counter() - start)
    return times, (_children() - before) / _ROUNDS


def _run(command: list[str]) -> None:
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
