"""The page about the shipped model: what it says about the run that made it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("onnxruntime", reason="the page names its version")

from edgecat.training.config import TrainConfig
from edgecat.training.history import Epoch, write_metrics
from model import print_history


def test_the_page_shows_the_runs_own_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = TrainConfig(
        data=("train-0.tar",),
        name="shipped",
        size=160,
        width=0.25,
        augment=False,
        ema=0.998,
        seed=7,
        threads=3,
        compiled=True,
        version=1,
    )
    (tmp_path / "config.json").write_text(config.to_json())
    write_metrics(tmp_path / "metrics.csv", [Epoch(1, 0.1, 0.6, 0.7, 0.5, 0.8, 9.0, 90.0)])
    print_history(tmp_path)
    page = capsys.readouterr().out
    command = "edgecat train train-*.tar --size 160 --width 0.25 --ema 0.998 --no-augment --seed 7"
    assert f"`{command} --compile`" in page
    assert "threads 3, device auto, version 1." in page
    assert "\n1,0.1,0.6,0.7,0.5,0.8,9,90" in page
