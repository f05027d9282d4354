"""`edgecat verify` in depth: backends, layers and the report."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgecat.models import build_model
from edgecat.models.checkpoint import save_checkpoint
from edgecat_runtime import UserError
from edgecat_runtime.backends import base
from edgecat_runtime.model.artifact import read_card, seal_onnx
from edgecat_runtime.model.card import ModelCard

Cli = Callable[..., "object"]


@pytest.fixture
def pair(tmp_path: Path, tiny_onnx: Path, make_tiny: Callable[..., bytes]) -> tuple[Path, Path]:
    """A good model, and one whose convolution is negated."""
    good, bad = tmp_path / "good.onnx", tmp_path / "bad.onnx"
    shutil.copy(tiny_onnx, good)
    bad.write_bytes(make_tiny(negate=True))
    return good, bad


def break_one_weight(path: Path, name: str) -> None:
    """Change one weight of a sealed model, and seal it again."""
    card = read_card(path)
    model = onnx.load(path)
    del model.metadata_props[:]
    weight = next(w for w in model.graph.initializer if name in w.name)
    values = numpy_helper.to_array(weight).copy()
    values.flat[0] += 0.3
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    path.write_bytes(seal_onnx(model.SerializeToString(), card))


def test_layers_names_where_they_part(cli: Cli, pair: tuple[Path, Path]) -> None:
    ran = cli("verify", *pair, "--backend", "onnxruntime", "--layers")
    assert ran.code == 3
    assert "starts to drift" in ran.out
    assert re.search(r"^maps +Conv +1\.\de\+00 +1\.\de\+00$", ran.out, re.M), ran.out
    assert "--layers" not in ran.err


def test_a_failure_suggests_layers(cli: Cli, pair: tuple[Path, Path]) -> None:
    assert "Add --layers" in cli("verify", *pair).err
    alone = cli("verify", pair[1])
    assert (alone.code, "Put the checkpoint or ONNX file" in alone.err) == (3, True)


def test_json_has_layers_only_when_asked(cli: Cli, pair: tuple[Path, Path]) -> None:
    plain = json.loads(cli("verify", *pair, "--json").out)
    assert list(plain) == ["passed", "pairs"]
    ran = cli("verify", *pair, "--layers", "--backend", "onnxruntime", "--json")
    (drift,) = json.loads(ran.out)["layers"]
    assert drift["first"] == "maps"
    assert [layer["name"] for layer in drift["layers"]] == ["maps", "logits"]
    assert drift["split"] < 1e-6


def test_layers_looks_at_all_where_none_failed(cli: Cli, pair: tuple[Path, Path]) -> None:
    ran = cli("verify", pair[0], "--layers")
    assert ran.code == 0, ran.err
    assert "every layer of" in ran.out
    alone = cli("verify", pair[0], "--layers", "--backend", "onnxruntime")
    assert (alone.code, "--layers needs two" in alone.err) == (0, True)


def test_layers_that_cannot_be_compared_do_not_hide_the_failure(
    cli: Cli, pair: tuple[Path, Path]
) -> None:
    card = read_card(pair[1])
    model = onnx.load(pair[1])
    del model.metadata_props[:]
    operators = {node.op_type: node for node in model.graph.node}
    operators["Conv"].output[0] = operators["Relu"].input[0] = "x"
    operators["Relu"].output[0] = operators["GlobalAveragePool"].input[0] = "y"
    operators["Gemm"].input[0] = "doubled"
    extra = onnx.helper.make_node("MatMul", ["flat", "eye"], ["doubled"])
    model.graph.node.insert(len(model.graph.node) - 1, extra)
    model.graph.initializer.append(numpy_helper.from_array(np.eye(8, dtype=np.float32), "eye"))
    pair[1].write_bytes(seal_onnx(model.SerializeToString(), card))
    ran = cli("verify", *pair, "--backend", "onnxruntime", "--layers")
    assert (ran.code, "no names in common" in ran.err) == (3, True), ran.err


def test_backend_limits_what_is_compared(cli: Cli, pair: tuple[Path, Path]) -> None:
    def backends(*options: str) -> list[str]:
        answer = json.loads(cli("verify", pair[0], *options, "--json").out)
        return [item["backend"] for item in answer["pairs"]]

    assert backends("--backend", "opencv") == ["opencv"]
    both = backends("--backend", "opencv", "--backend", "onnxruntime")
    assert sorted(both) == ["onnxruntime", "opencv"]
    ran = cli("verify", pair[0], "--backend", "abacus")
    assert (ran.code, "backend 'abacus' cannot open any of the models" in ran.err) == (1, True)


def test_a_backend_that_cannot_run_a_model_is_left_out(
    cli: Cli, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> base.Backend:
        raise UserError("broken cannot open it")

    entry = base.BackendEntry("broken", "cpu", (".onnx",), "numpy", refuse, lambda: True)
    monkeypatch.setitem(base._REGISTRY, ("broken", "cpu"), entry)
    for models in ([pair[0]], [pair[0], pair[0]]):
        ran = cli("verify", *models)
        assert (ran.code, "skipped: broken cannot open it" in ran.err) == (0, True), ran.err
    ran = cli("verify", pair[0], "--backend", "broken", "--backend", "onnxruntime")
    assert (ran.code, "broken cannot open it" in ran.err) == (1, True), "it was asked for"


def test_the_report_names_the_right_photographs(
    cli: Cli, pair: tuple[Path, Path], album: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(album, photos)
    (photos / "cat" / "1.png").write_bytes(b"no picture")
    report = tmp_path / "out" / "verify.html"
    options = ("--data", photos, "--backend", "onnxruntime", "--report", report, "--layers")
    ran = cli("verify", *pair, *options)
    assert ran.code == 3, "the report does not hide the failure"
    html = report.read_text(encoding="utf-8")
    assert "11 photographs" in html
    assert "Layer by layer" in html
    shown = re.findall(r"<span>[^<]*?(\w+)/(\d)\.png</span> <small>actual: (\w+)", html)
    assert shown
    assert all(folder == label for folder, _, label in shown)
    assert ("cat", "1") not in {(folder, number) for folder, number, _ in shown}
    assert html.count("data:image/jpeg") == len(shown)


def test_of_data_with_a_test_level_only_that_counts(
    cli: Cli, pair: tuple[Path, Path], album: Path, tmp_path: Path
) -> None:
    for part in ("train", "test"):
        shutil.copytree(album, tmp_path / "photos" / part)
    (tmp_path / "photos" / "test" / "cat" / "0.png").unlink()
    ran = cli("verify", pair[0], pair[0], "--data", tmp_path / "photos", "--json")
    assert {item["n"] for item in json.loads(ran.out)["pairs"]} == {11}


def test_a_report_that_cannot_be_written_is_the_users_mistake(
    cli: Cli, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    ran = cli("verify", pair[0], "--report", tmp_path / "file" / "r.html")
    assert (ran.code, "r.html" in ran.err) == (1, True)


def test_a_checkpoints_layers_have_pytorchs_names(
    cli: Cli, tiny_card: ModelCard, tmp_path: Path
) -> None:
    checkpoint, exported = tmp_path / "vgg16.safetensors", tmp_path / "vgg16.onnx"
    shape = {"architecture": "vgg16", "layers": (8, "M", 8, "M"), "head": "gap"}
    card = replace(tiny_card, **shape, batch_norm=True)
    save_checkpoint(checkpoint, build_model(card), card)
    assert cli("export", checkpoint).code == 0
    break_one_weight(exported, "features.4.weight")
    options = ("--backend", "onnxruntime", "--layers", "--json")
    ran = cli("verify", checkpoint, exported, *options)
    (drift,) = json.loads(ran.out)["layers"]
    assert (ran.code, drift["first"]) == (3, "features.4")
    assert drift["reference"] == f"{checkpoint} on onnxruntime"
    assert [layer["name"] for layer in drift["layers"]] == [
        *("features.0", "features.4", "classifier.1")
    ]
    assert drift["apart"] is False
    ran = cli("verify", checkpoint, exported, *options[:-1])
    assert "the checkpoint is represented by its ONNX export" in ran.out


def test_two_trainings_blame_no_layer(
    cli: Cli, tiny_card: ModelCard, checkpoint: Path, tmp_path: Path
) -> None:
    own, other = tmp_path / "own.safetensors", tmp_path / "other.onnx"
    card = replace(read_card(checkpoint), golden=(), payload_bytes=0, payload_sha256="")
    save_checkpoint(own, build_model(card), card)
    assert cli("export", checkpoint, "--output", other).code == 0
    for options in ((), ("--json",)):
        ran = cli("verify", own, other, "--backend", "onnxruntime", "--layers", *options)
        assert ran.code == 3, ran.err
        assert "these come from two different training runs" in ran.out
        assert "starts to drift" not in ran.out
    (drift,) = json.loads(ran.out)["layers"]
    assert (drift["apart"], drift["first"]) == (True, None)
