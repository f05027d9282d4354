"""`edgecat verify ORIGINAL WRAPPED`: a foreign file as the reference of its wrapped form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgecat
from edgecat.pets.synthetic import write_pets
from edgecat_runtime.model.artifact import read_card, seal_onnx
from edgecat_runtime.model.golden import golden_rows

Cli = Callable[..., "object"]
NORMALISED = ("--mean", "0.5,0.4,0.3", "--std", "0.2,0.3,0.25")
GREY = ("--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25")


def write_original(path: Path, *, last: str = "", channels: int = 3, values: int = 2) -> Path:
    """A classifier as another tool writes it: float32 (1, channels, 32, 32), no metadata."""
    random = np.random.default_rng(0)
    constants = {
        "kernel": random.normal(0, 0.5, (8, channels, 3, 3)).astype(np.float32),
        "dense": random.normal(0, 1, (values, 8)).astype(np.float32),
        "bias": np.zeros(values, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense", "bias"], ["scores"], transB=1),
        *([helper.make_node(last, ["scores"], ["out"])] if last else []),
    ]
    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "original",
        [helper.make_tensor_value_info("image", kind, [1, channels, 32, 32])],
        [helper.make_tensor_value_info("out" if last else "scores", kind, [1, values])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    path.with_name("labels.txt").write_text("cat\ndog\n")
    return path


def wrapped(cli: Cli, original: Path, *options: str) -> Path:
    ran = cli("export", original, "--labels", original.with_name("labels.txt"), *options)
    assert ran.code == 0, ran.err
    return original.with_name(f"{original.stem}.edgecat.onnx")


@pytest.mark.parametrize(
    ("form", "options", "fed"),
    [
        ({}, NORMALISED, "RGB, mean 0.5,0.4,0.3, std 0.2,0.3,0.25"),
        ({}, (*NORMALISED, "--colour", "bgr"), "BGR, mean 0.5,0.4,0.3"),
        ({"last": "Softmax"}, NORMALISED, "RGB"),
        ({"last": "Sigmoid"}, NORMALISED, "RGB"),
        ({"last": "Sigmoid", "values": 1}, NORMALISED, "RGB"),
        ({"values": 1}, (*NORMALISED, "--colour", "bgr"), "BGR"),
        ({"channels": 1}, GREY, "grey, mean 0.5,0.5,0.5"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_a_wrapped_model_answers_as_its_original(
    cli: Cli, tmp_path: Path, form: dict, options: tuple[str, ...], fed: str
) -> None:
    original = write_original(tmp_path / "original.onnx", **form)
    file = wrapped(cli, original, *options)
    ran = cli("verify", original, file)
    assert ran.code == 0, ran.err
    assert f"against {original}: worst logit error" in ran.out
    assert "agreement 100.00% of 12" in ran.out
    assert f"{original} was given frames as {file} states: {fed}" in ran.out
    assert f"labelled images show: edgecat evaluate {file} DATA" in ran.out


def test_photographs_json_page_and_converted_files(cli: Cli, tmp_path: Path) -> None:
    original = write_original(tmp_path / "original.onnx", last="Softmax")
    file = wrapped(cli, original, *NORMALISED)
    assert cli("export", file, "--precision", "fp16").code == 0
    pets = write_pets(tmp_path / "pets", count=6, seed=1, size=48)
    half, page = tmp_path / "original.edgecat.fp16.onnx", tmp_path / "page.html"
    ran = cli("verify", original, file, half, "--data", pets, "--json", "--report", page)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert {pair["n"] for pair in found["pairs"]} == {6}
    assert {pair["precision"] for pair in found["pairs"]} == {"fp32", "fp16"}
    assert found["reference_fed"].startswith("RGB")
    shown = re.findall(r"(\d+\.\d)\s?%", page.read_text(encoding="utf-8"))
    assert any(50 <= float(share) < 100 for share in shown)


def test_another_model_fails(cli: Cli, tmp_path: Path) -> None:
    original = write_original(tmp_path / "original.onnx")
    file = wrapped(cli, original, *NORMALISED)
    card, model = read_card(file), onnx.load(file)
    del model.metadata_props[:]
    weight = next(w for w in model.graph.initializer if list(w.dims) == [8, 3, 3, 3])
    values = numpy_helper.to_array(weight).copy()
    values.flat[0] += 0.05
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    file.write_bytes(seal_onnx(model.SerializeToString(), card))
    ran = cli("verify", original, file, "--backend", "onnxruntime")
    assert ran.code == 3
    assert f"Is {original} the file that {file} was made from?" in ran.err
    assert "was given frames" not in ran.out, "no colour order can be found out"


def test_a_wrapped_file_that_was_modified_is_refused(cli: Cli, tmp_path: Path) -> None:
    file = wrapped(cli, write_original(tmp_path / "original.onnx"), *NORMALISED)
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    ran = cli("export", file, "--labels", tmp_path / "labels.txt")
    assert (ran.code, "was modified after it was written" in ran.err) == (3, True), ran.err


def test_a_wrapped_file_is_not_wrapped_again(cli: Cli, tmp_path: Path) -> None:
    file = wrapped(cli, write_original(tmp_path / "original.onnx"), *NORMALISED)
    ran = cli("export", file, "--labels", tmp_path / "labels.txt")
    assert ran.code == 1
    assert f"{file} has a model card, which says all of it. Leave them out" in ran.err
    assert sorted(path.name for path in tmp_path.glob("*.onnx")) == [
        "original.edgecat.onnx",
        "original.onnx",
    ]


def test_a_card_that_states_another_normalisation_fails(cli: Cli, tmp_path: Path) -> None:
    original = write_original(tmp_path / "original.onnx")
    file = wrapped(cli, original, *NORMALISED)
    card, model = read_card(file), onnx.load(file)
    del model.metadata_props[:]
    golden = golden_rows(np.asarray(card.golden, np.float32))
    lying = replace(card, mean=(0.5, 0.5, 0.5), golden=golden)
    file.write_bytes(seal_onnx(model.SerializeToString(), lying))
    assert cli("verify", file, "--backend", "onnxruntime").code == 0
    assert cli("verify", original, file, "--backend", "onnxruntime").code == 3


def test_a_file_that_cannot_be_signed_is_refused_where_signatures_are_required(
    cli: Cli, tmp_path: Path
) -> None:
    pytest.importorskip("cryptography", reason="keys need it")
    original = write_original(tmp_path / "original.onnx")
    file = wrapped(cli, original, *NORMALISED)
    assert cli("key", "new", tmp_path / "key").code == 0
    assert cli("sign", file, "--key", tmp_path / "key").code == 0
    ran = cli("verify", original, file, "--trust", tmp_path / "key.pub")
    assert (ran.code, "no signature by a key in" in ran.err) == (3, True), ran.err


def test_in_python_too(cli: Cli, tmp_path: Path) -> None:
    original = write_original(tmp_path / "original.onnx")
    report = edgecat.verify(original, wrapped(cli, original, *NORMALISED))
    assert report
    assert report.fed == "RGB, mean 0.5,0.4,0.3, std 0.2,0.3,0.25"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("verify original.onnx", "describe it: edgecat export original.onnx --labels labels.txt"),
        ("verify original.onnx original.onnx", "has no model card. If it is another tool's"),
        ("verify wrapped.onnx original.onnx", "verify original.onnx wrapped.onnx"),
        ("verify original.onnx wrapped.onnx --layers", "leave out --layers"),
        ("inspect original.onnx", "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --size 224"),
        ("classify pet.png --model original.onnx", "--labels labels.txt --mean 0.485"),
        ("camera --source pet.png --headless --model original.onnx", "--labels labels.txt"),
        ("benchmark original.onnx", "--labels labels.txt --mean 0.485"),
        ("classify pet.png --model net.pt", "torch.jit.load, then dynamo=False"),
        ("inspect net.torchscript", "torch.onnx.export"),
        ("verify wrapped.onnx net.pth", "torch.onnx.export"),
    ],
)
def test_a_file_without_a_card_says_what_to_do(
    cli: Cli,
    tmp_path: Path,
    tiny_onnx: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_original(Path("original.onnx"))
    Path("wrapped.onnx").write_bytes(tiny_onnx.read_bytes())
    for name in ("net.pt", "net.pth", "net.torchscript"):
        Path(name).write_bytes(b"PK")
    pet = next(write_pets(tmp_path / "pets", count=2, seed=0, size=32).glob("*/*"))
    Path("pet.png").write_bytes(pet.read_bytes())
    ran = cli(*arguments.split())
    assert ran.code == 1, ran.err
    assert sentence in ran.err
    assert ran.err.count("\n") == 1
