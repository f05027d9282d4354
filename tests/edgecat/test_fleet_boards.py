"""Cameras as processes that follow one server; `benchmarks/fleet` runs ten, through more."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.boards import count
from fleet.faults import Fleet

pytest.importorskip("cryptography", reason="pip install 'edgecat[sign]'")
pytest.importorskip("onnxruntime")


@pytest.mark.timeout(900)
def test_three_boards_go_through_every_fault(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 3, fps=4)
    try:
        fleet.first()
        fleet.published_model()
        fleet.broken_model()
        fleet.broken_signature()
        fleet.server_killed()
        fleet.boards_killed(seconds=3)
        assert [board.stop() for board in fleet.boards] == [0, 0, 0]
    finally:
        fleet.close()
    counted = count(fleet.boards, fleet.published)
    assert counted.wrong == ()
    assert counted.frames > 50
    assert counted.swaps >= 6, "each board took two versions at least while it ran"
