"""Ten cameras follow one channel through every fault.

    PYTHONPATH=benchmarks python -m fleet [--boards 10] [--fps 2] [--output docs/results/fleet.md]

Each board is an `edgecat camera --follow` of its own process, folder and id; one web server on the
loopback address serves them. The models answer every image with a probability of their own, so that
each line of `--predictions` shows which network computed it, whatever the line says. Takes some
minutes on two cores. Exits with 3 if a wrong model answered or a frame was lost beyond a swap.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from edgecat_runtime.system.atomic import atomic_write
from fleet.boards import Counted, count, lost_by
from fleet.faults import Fleet
from fuzz import machine_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every fault; write or print the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--boards", type=int, default=10)
    parser.add_argument("--fps", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    rows: list[tuple[str, str, Counted]] = []
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder), options.boards, fps=options.fps, seed=options.seed)
        try:
            fleet.first()
            before = count(fleet.boards, fleet.published)
            for step in steps(fleet):
                name, _, outcome = (step.__doc__ or "").partition(": ")
                print(f"{name} ...", flush=True)
                step()
                now = count(fleet.boards, fleet.published)
                rows.append((name, outcome.rstrip("."), _since(before, now)))
                before = now
            codes = [board.stop() for board in fleet.boards]
            total = count(fleet.boards, fleet.published)
            control = lost_by(fleet.control)
        finally:
            fleet.close()
    page = "\n".join(_page(options, rows, total, control)) + "\n"
    if options.output:
        atomic_write(options.output, page)
    print(page)
    return 0 if not total.wrong and not total.lost and not any(codes) else 3


def steps(fleet: Fleet) -> list[Callable[[], None]]:
    """What happens, in order."""
    return [
        fleet.published_model,
        fleet.broken_model,
        fleet.broken_signature,
        fleet.wrong_bytes,
        fleet.server_killed,
        fleet.boards_killed,
        fleet.server_away,
        fleet.replayed,
        fleet.canary,
        fleet.shares,
        fleet.returned,
    ]


def _since(before: Counted, now: Counted) -> Counted:
    return Counted(
        now.frames - before.frames,
        now.wrong[len(before.wrong) :],
        now.swaps - before.swaps,
        now.lost - before.lost,
        now.lost_at_swaps - before.lost_at_swaps,
    )


def _page(
    options: argparse.Namespace,
    rows: Sequence[tuple[str, str, Counted]],
    total: Counted,
    control: tuple[int, int],
) -> Iterator[str]:
    yield f"# A fleet of {options.boards} boards\n"
    command = f"python -m fleet --boards {options.boards} --fps {options.fps:g}"
    yield f"Written by `PYTHONPATH=benchmarks {command} --seed {options.seed}`.\n"
    yield f"{machine_line('numpy', 'onnxruntime')}\n"
    yield "| | outcome on every board | frames | models taken | wrong models served | frames lost |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for name, outcome, counted in rows:
        yield f"| {name} | {outcome} | {_cells(counted)} |"
    yield f"| **all** | | {_cells(total)} |"
    yield (
        "\nA frame is lost if its number is missing between two others of the same run; "
        f"missing where the model changed, counted apart: {total.lost_at_swaps}. A line is of a "
        "wrong model if it names no version meant for the boards, or if its probability is not "
        "that version's. "
        f"Beside the boards ran a camera that follows nothing: it classified {control[0]:,} frames "
        f"and lost {control[1]:,}, at a load average of {os.getloadavg()[2]:.0f}."
    )
    for wrong in total.wrong[:20]:
        yield f"\nWrong: {wrong.board}: {wrong.line}"


def _cells(counted: Counted) -> str:
    values = (counted.frames, counted.swaps, len(counted.wrong), counted.lost)
    return " | ".join(f"{value:,}" for value in values)


if __name__ == "__main__":
    sys.exit(main())
