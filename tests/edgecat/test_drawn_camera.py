"""`synthetic://pets`, and what `edgecat camera` does with several sources."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgecat.pets.camera  # noqa: F401  (registers it)
from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.source import SourceOptions
from edgecat_runtime.errors import UserError

Cli = Callable[..., Any]


def test_it_draws_pets_at_its_rate() -> None:
    with Camera.open("synthetic://pets?fps=50&width=96&height=64&seconds=0.1&frames=20") as camera:
        assert (camera.source.live, camera.source.fps) == (True, 50.0)
        frames = list(camera)
    assert {frame.image.shape for frame in frames} == {(64, 96, 3)}
    assert frames[-1].index <= 19
    assert not np.array_equal(frames[0].image, frames[-1].image)


def test_it_draws_a_mug_and_then_a_bottle() -> None:
    address = "synthetic://things?fps=100&width=96&height=96&seconds=0.05&frames=160&seed=2"
    with Camera.open(address) as camera:
        reds = [
            bool(
                (abs(frame.image.astype(int) - (60, 60, 200)).max(2) < 45).sum()
                > (abs(frame.image.astype(int) - (70, 150, 60)).max(2) < 45).sum()
            )
            for frame in camera
        ]
    assert reds[0]
    assert not reds[-1]
    assert sum(one != other for one, other in pairwise(reds)) == 1


def test_options_win_over_the_address() -> None:
    options = SourceOptions(width=80, height=48, fps=100, rotate=90)
    with Camera.open("synthetic://pets?width=640&fps=5", options=options) as camera:
        frame = camera.read(timeout=20)
        assert frame is not None
        assert frame.image.shape == (80, 48, 3)
        assert camera.source.fps == 100


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("synthetic://birds", "expected synthetic://pets"),
        ("synthetic://pets?speed=3", "has speed=3; expected a number for fps, width"),
        ("synthetic://pets?fps=fast", "has fps=fast"),
        ("synthetic://pets?fps=0", "expected fps above 0 and at most 1000"),
        ("synthetic://pets?width=9999", "expected width and height from 16 to 4096"),
    ],
)
def test_a_wrong_address_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Camera.open(text)


def test_several_sources_are_recorded_apart(cli: Cli, tiny_onnx: Path, tmp_path: Path) -> None:
    small = "width=96&height=64&fps=100"
    sources = [f"synthetic://pets?{small}&frames=15&seed={seed}" for seed in (1, 2)]
    arguments = ["--source", sources[0], "--source", sources[1], "--engine", tiny_onnx]
    events = tmp_path / "events.jsonl"
    outputs = ["--output", tmp_path / "clip.mkv", "--events", events, "--headless", "--json"]
    ran = cli("camera", *arguments, *outputs)
    assert ran.code == 0, ran.err
    figures = json.loads(ran.out)
    assert 2 <= figures["frames"] <= 30
    assert sorted(path.name for path in tmp_path.glob("*.mkv")) == ["clip-0.mkv", "clip-1.mkv"]
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert {line["source"] for line in lines} == set(sources)


def test_what_is_there_can_be_listed(cli: Cli) -> None:
    ran = cli("camera", "--list", "--json")
    assert ran.code == 0, ran.err
    listed = json.loads(ran.out)
    works = {kind["source"]: kind["works"] for kind in listed["sources"]}
    assert works["http://host/stream.mjpg"] is True
    assert works["synthetic://pets"] is True
    shown = cli("camera", "--list")
    assert all(kind["source"] in shown.out for kind in listed["sources"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--roi", "nonsense"], "error: --roi is 'nonsense'; expected x,y,width,height"),
        (["--roi", "0,0,5000,5000"], "error: --roi extends to 5000,5000, outside the image"),
    ],
)
def test_a_wrong_region_is_one_line(
    cli: Cli, tiny_onnx: Path, options: list[str], sentence: str
) -> None:
    source = ["--source", "synthetic://pets?width=64&height=48", "--engine", tiny_onnx]
    ran = cli("camera", *source, "--headless", *options)
    assert ran.code == 1
    assert ran.err.startswith(sentence)
    assert ran.err.count("\n") == 1
