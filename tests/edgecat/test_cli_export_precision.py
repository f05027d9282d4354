"""`edgecat export --precision`, `--to` and foreign models, as typed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from edgecat_runtime import Classifier, read_card

Cli = Callable[..., Any]
FOREIGN = ("--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25")


def write_album(folder: Path, count: int, *, contrast: float = 1.0) -> None:
    """Reddish cats and bluish dogs with stripes, in class folders."""
    rng = np.random.default_rng(len(str(folder)))
    y, x = np.mgrid[0:48, 0:64]
    for label, colour in (("cat", (40, 90, 200)), ("dog", (200, 110, 30))):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            wave = np.sin(x * rng.uniform(0.1, 0.5) + y * rng.uniform(0.1, 0.5))[..., None]
            picture = np.array(colour) + wave * 70 + rng.normal(0, 15, (48, 64, 3))
            picture = (np.clip(picture, 0, 255) - 128) * contrast + 128
            cv2.imwrite(str(folder / label / f"{i}.png"), picture.astype(np.uint8))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve of each class under train/, eight under test/."""
    folder = tmp_path_factory.mktemp("photographs")
    write_album(folder / "train", 12)
    write_album(folder / "test", 8)
    return folder


@pytest.fixture
def model(tiny_onnx: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(tiny_onnx, tmp_path / "net.onnx"))


@pytest.fixture
def foreign(model: Path) -> Path:
    """A classifier of another origin: float (1, 3, 32, 32) in, no card."""
    proto = onnx.load(model)
    graph = proto.graph
    del proto.metadata_props[:]
    kept = [node for node in graph.node if node.op_type not in ("Cast", "Transpose", "Mul")]
    kept[0].input[0] = "image"
    del graph.node[:], graph.input[:]
    graph.node.extend(kept)
    shape = [1, 3, 32, 32]
    graph.input.append(onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape))
    path = model.with_name("foreign.onnx")
    onnx.save(proto, path)
    model.with_name("labels.txt").write_text("ant\nbee\n\n")
    return path


def test_fp16_is_written_beside_the_model(cli: Cli, model: Path, photographs: Path) -> None:
    ran = cli("export", model, "--precision", "fp16", "--gate", photographs, "--json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert report["files"][0]["path"] == str(model.with_name("net.fp16.onnx"))
    assert report["gate"]["passed"]
    assert report["gate"]["n"] == 40
    assert read_card(model.with_name("net.fp16.onnx")).precision == "fp16"


def test_fp16_without_photographs_invents_no_figures(cli: Cli, model: Path) -> None:
    ran = cli("export", model, "--precision", "fp16", "--json")
    assert ran.code == 0, ran.err
    gate = json.loads(ran.out)["gate"]
    assert (gate["n"], gate["passed"], gate["golden_error"] < 5e-3) == (0, True, True)
    figures = ("agreement", "reference_accuracy", "accuracy", "loss")
    assert {name: gate[name] for name in figures} == dict.fromkeys(figures)
    ran = cli("export", model, "--precision", "fp16")
    assert "no photographs, so only the golden frames were checked" in ran.out


def test_int8_calibrates_on_train_and_is_judged_on_test(
    cli: Cli, model: Path, photographs: Path
) -> None:
    ran = cli("export", model, "--precision", "int8", "--calibrate", photographs, "--json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert report["precision"] == "int8"
    assert report["gate"]["n"] == 16
    assert report["gate"]["loss"] <= 0.005
    assert report["int8_share"] == 1.0
    assert {pair["passed"] for pair in report["backends"]} == {True}
    card = read_card(model.with_name("net.int8.onnx"))
    assert (card.accuracy_n, card.precision) == (16, "int8")


def test_only_test_pictures_cannot_be_calibrated_on(
    cli: Cli, model: Path, photographs: Path, tmp_path: Path
) -> None:
    shutil.copytree(photographs / "test", tmp_path / "only" / "test")
    ran = cli("export", model, "--precision", "int8", "--calibrate", tmp_path / "only")
    assert ran.code == 1
    assert "no training images left" in ran.err
    assert not model.with_name("net.int8.onnx").exists()


def test_int8_without_photographs_is_one_sentence(cli: Cli, model: Path) -> None:
    ran = cli("export", model, "--precision", "int8")
    assert ran.code == 1
    assert ran.err.startswith("error: int8 needs photographs")
    assert ran.err.count("\n") == 1
    assert list(model.parent.glob("*int8*")) == []


def test_dull_pictures_are_refused_and_nothing_is_written(
    cli: Cli, model: Path, photographs: Path, tmp_path: Path
) -> None:
    write_album(tmp_path / "dull", 12, contrast=0.2)
    arguments = ("--precision", "int8", "--calibrate", tmp_path / "dull")
    for gate in ((), ("--gate", photographs)):
        ran = cli("export", model, *arguments, *gate)
        assert ran.code == 3
        assert "of 255 pixel values" in ran.err
    assert list(tmp_path.glob("*int8*")) == []


def test_a_checkpoint_goes_to_fp16_in_one_step(cli: Cli, checkpoint: Path, tmp_path: Path) -> None:
    source = shutil.copy(checkpoint, tmp_path)
    ran = cli("export", source, "--precision", "fp16")
    assert ran.code == 0, ran.err
    card = read_card(tmp_path / "vgg16.fp16.onnx")
    assert card.checkpoint_sha256 == read_card(checkpoint).payload_sha256
    assert not (tmp_path / "vgg16.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("net.onnx", "is already ONNX; specify the conversion"),
        ("net.onnx --precision fp16 --output net.txt", r"does not end in \.onnx"),
        ("net.onnx --precision fp16 --output net.onnx", "is the model itself"),
        ("net.onnx --precision fp16 --size 32", "describe a foreign"),
        ("net.onnx --to trt-rtx --output net.trt", r"does not end in \.rtx"),
        ("net.onnx --to trt-rtx --batch 8", "--batch 8; expected minimum"),
        ("net.pt", r"net\.pt is a torch file, .*export_onnx"),
        ("net.trt", r"net\.trt cannot be exported|does not exist"),
        ("foreign.onnx --precision fp16", "has no model card. Describe it: --labels FILE"),
        ("foreign.onnx --labels labels.txt --mean 1 --std 1,1,1", "--mean 1; expected three"),
        ("foreign.onnx --labels labels.txt --mean 0,0,0 --std 1,1,1 --size big", "--size big;"),
        ("foreign.onnx --labels missing.txt --mean 0,0,0 --std 1,1,1", r"missing\.txt"),
        ("foreign.onnx --labels net.onnx --mean 0,0,0 --std 1,1,1", "one label per line"),
    ],
)
def test_what_does_not_go_together_is_a_sentence(
    cli: Cli, foreign: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, sentence: str
) -> None:
    import re

    monkeypatch.chdir(foreign.parent)
    before = sorted(foreign.parent.iterdir())
    ran = cli("export", *arguments.split())
    assert (ran.code, ran.err.count("\n")) == (1, 1), ran.err
    assert re.search(sentence, ran.err)
    assert sorted(foreign.parent.iterdir()) == before


def test_a_foreign_model_is_wrapped_and_served(cli: Cli, foreign: Path, photographs: Path) -> None:
    ran = cli("export", foreign, "--labels", foreign.with_name("labels.txt"), *FOREIGN)
    assert ran.code == 0, ran.err
    wrapped = foreign.with_name("foreign.edgecat.onnx")
    with Classifier.open(wrapped) as classifier:
        assert classifier.labels == ("ant", "bee")
        assert classifier.card.std == (0.25, 0.25, 0.25)
    assert cli("verify", wrapped).code == 0
    picture = next((photographs / "test" / "cat").iterdir())
    assert cli("classify", picture, "--engine", wrapped).code == 0


def test_an_engine_is_built_by_way_of_its_onnx_file(cli: Cli, model: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="needs TensorRT-RTX")
    ran = cli("export", model, "--to", "trt-rtx", "--precision", "fp16", "--batch", "1,2,4")
    assert ran.code == 0, ran.err
    assert read_card(model.with_name("net.rtx")).precision == "fp16"
    assert read_card(model.with_name("net.fp16.onnx")).precision == "fp16"
    again = cli("export", model.with_name("net.fp16.onnx"), "--to", "trt-rtx", "--json")
    assert [Path(f["path"]).name for f in json.loads(again.out)["files"]] == ["net.fp16.rtx"]


def test_as_many_of_each_class_are_chosen() -> None:
    from edgecat.data.folder import ImageSet, LabelledImage
    from edgecat.workflows.export_sources import _stratified

    labels = [0] * 90 + [1] * 10 + [2] * 50
    pictures = tuple(
        LabelledImage(f"{i}", label, Path(), 0, 0, "") for i, label in enumerate(labels)
    )
    chosen = _stratified(ImageSet(("a", "b", "c"), pictures), 60)
    assert [sum(p.label == label for p in chosen) for label in range(3)] == [20, 10, 20]
    assert len({p.name for p in chosen}) == len(chosen)
    assert chosen[19].name == "85"  # spread over all of them
