"""`evaluate --calibrate` and `--report`, from end to end on drawn pets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgecat.evaluation import calibration
from edgecat.evaluation.energy_fit import Features, Head, fit_known
from edgecat.evaluation.temperature_and_limit import limit_of
from edgecat.models.checkpoint import load_checkpoint, save_checkpoint
from edgecat.models.frames import input_from_frames
from edgecat.pets.outliers import KINDS, draw_outlier
from edgecat.pets.synthetic import write_pets
from edgecat_runtime import Classifier, UserError, read_card

Cli = Callable[..., "object"]


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pets(tmp_path_factory.mktemp("pets"), 220, size=48)


@pytest.fixture(scope="module", autouse=True)
def _few() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "DRAWN", 40)
        patch.setattr(calibration, "FRESH", 20)
        yield


@pytest.fixture(scope="module")
def calibrated(checkpoint: Path, pets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("calibrated") / "vgg16.safetensors"
    fitting, held = calibration.photographs_to_calibrate([pets], ("cat", "dog"))
    calibration.calibrate(checkpoint, fitting, held, output=path)
    return path


def test_probabilities_change_by_the_temperature_alone(checkpoint: Path, calibrated: Path) -> None:
    frames = np.stack([draw_outlier("textures", i)[:32, :32] for i in range(8)])
    (before, old), (after, card) = load_checkpoint(checkpoint), load_checkpoint(calibrated)
    with torch.inference_mode():
        first, second = (
            m(input_from_frames(torch.from_numpy(frames), old)) for m in (before, after)
        )
    assert not torch.allclose(first, second, atol=1e-3), "all logits moved together"
    torch.testing.assert_close(
        first[:, 1] - first[:, 0], second[:, 1] - second[:, 0], atol=2e-4, rtol=0
    )
    assert card.temperature != 1
    assert card.energy_limit is not None
    Classifier.open(_exported(calibrated)).close()


def _exported(checkpoint: Path) -> Path:
    from edgecat_export.graph.deployed import export_onnx

    path = checkpoint.with_suffix(".onnx")
    export_onnx(*load_checkpoint(checkpoint), path)
    return path


def test_what_was_exported_answers_unsure(calibrated: Path, pets: Path, cli: Cli) -> None:
    path = _exported(calibrated)
    card = read_card(calibrated)
    exported = read_card(path)
    assert (exported.temperature, exported.energy_limit) == (card.temperature, card.energy_limit)
    with Classifier.open(path) as classifier:
        answers = [classifier.classify(draw_outlier(kind, 9)) for kind in KINDS]
    assert any(answer.unsure for answer in answers)
    figures = json.loads(cli("evaluate", path, pets, "--json").out)
    assert 0.95 < figures["answered"] < 1
    assert figures["temperature"] == card.temperature


def test_calibrating_twice_is_calibrating_once(
    calibrated: Path, pets: Path, cli: Cli, tmp_path: Path
) -> None:
    path = tmp_path / "again.safetensors"
    path.write_bytes(calibrated.read_bytes())
    first = read_card(path)
    ran = cli("evaluate", path, "--calibrate", pets, "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)["calibration"]
    second = read_card(path)
    assert second.temperature == pytest.approx(first.temperature, rel=1e-3)
    assert np.allclose(second.golden, first.golden, atol=0.05 * np.ptp(first.golden))
    assert found["energy_limit"] == second.energy_limit
    assert found["answered"] >= 0.99
    assert list(found["unsure"]) == list(found["unseen"]) == list(found["plain"]) == list(KINDS)


def test_a_runs_folder_means_its_own_split(pets: Path, tmp_path: Path) -> None:
    from edgecat.data.folder import scan, split
    from edgecat.training.config import TrainConfig

    config = TrainConfig((str(pets),), val=0.6, seed=3)
    (tmp_path / "config.json").write_text(config.to_json())
    fitting, held = calibration.photographs_to_calibrate([tmp_path], ("cat", "dog"))
    assert (fitting, held) == split(scan(pets), val=0.6, seed=3)
    with pytest.raises(UserError, match="expected one run's folder"):
        calibration.photographs_to_calibrate([tmp_path, pets], ("cat", "dog"))


def test_half_precision_stays_half(checkpoint: Path, pets: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_checkpoint(path, *load_checkpoint(checkpoint), half=True)
    before = path.stat().st_size
    fitting, held = calibration.photographs_to_calibrate([pets], ("cat", "dog"))
    found = calibration.calibrate(path, fitting, held)
    assert abs(path.stat().st_size - before) < 2000
    assert found.answered >= 0.99
    assert read_card(path).energy_limit == found.energy_limit


def test_every_kind_counts_in_the_fit() -> None:
    rng = np.random.default_rng(0)
    inside = Features(rng.normal(0, 1, (400, 6)).astype(np.float32), np.zeros((400, 2), np.float32))
    kinds = []
    for axis in range(3):
        values = rng.normal(0, 1, (100, 6)).astype(np.float32)
        values[:, axis] += 9
        kinds.append(Features(values, np.zeros((100, 2), np.float32)))
    known = fit_known(inside, kinds, 1.0)
    limit = limit_of(
        known.energies(inside, 1.0), np.concatenate([known.energies(kind, 1.0) for kind in kinds])
    )
    assert [float((known.energies(kind, 1.0) > limit).mean()) > 0.95 for kind in kinds] == [
        True
    ] * 3
    assert (known.weights[:3] < 0).all()


class _Ends(nn.Module):
    """Ends in a pooled convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.last = nn.Conv2d(3, 2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(images).mean((2, 3))


def test_a_network_without_a_dense_end_is_refused(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="are not computed by a dense layer"):
        Head(_Ends(), replace(read_card(checkpoint), architecture="ends"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("CHECKPOINT", "--calibrate", "ALBUM"), "6 photographs are left to fit the energy limit"),
        (("EXPORTED", "--calibrate", "ALBUM"), "is already exported. Calibrate its .safetensors"),
        (("CHECKPOINT", "--calibrate", "missing"), "missing does not exist"),
        (("CHECKPOINT", "--calibrate", "ALBUM", "--report", "r.html"), "--report needs labelled"),
        (("CHECKPOINT", "ALBUM", "--output", "o.safetensors"), "add --calibrate DATA"),
    ],
)
def test_calibrate_mistakes(
    cli: Cli,
    checkpoint: Path,
    exported: Path,
    album: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"CHECKPOINT": checkpoint, "EXPORTED": exported, "ALBUM": album}
    ran = cli("evaluate", *(names.get(argument, argument) for argument in arguments))
    assert (ran.code, ran.out) == (1, "")
    assert sentence in ran.err
    assert ran.err.count("\n") == 1


def test_the_report_is_one_page(calibrated: Path, album: Path, cli: Cli, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    ran = cli("evaluate", calibrated, album, "--report", page, "--json")
    assert ran.code == 0, ran.err
    figures = json.loads(ran.out)
    assert {row["change"] for row in figures["robustness"]} >= {"blur", "JPEG", "small subject"}
    assert list(figures["unsure"]) == list(KINDS)
    text = page.read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert "<script" not in text
    for heading in (
        "Results per class",
        "Calibration",
        "Out-of-distribution",
        "corruptions",
        "Worst errors",
    ):
        assert heading in text
    wrong = round((1 - figures["accuracy"]) * figures["n"])
    assert f"of {wrong:,} wrong predictions" in text
