"""The repository for Triton, read by Triton's own description of a configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edgecat_export.triton import TritonOptions, triton_config, write_repository
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.golden import golden_frames


def parsed(text: str) -> Any:
    """The configuration as Triton reads it."""
    service = pytest.importorskip(
        "tritonclient.grpc.model_config_pb2", reason="needs pip install 'tritonclient[grpc]'"
    )
    from google.protobuf import text_format

    return text_format.Parse(text, service.ModelConfig())


def test_the_repository_has_tritons_layout(tiny_onnx: Path, tmp_path: Path) -> None:
    folder = write_repository(tiny_onnx, tmp_path / "repository", name="pets")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    place = "repository/pets"
    assert found == {f"{place}/config.pbtxt", f"{place}/labels.txt", f"{place}/1/model.onnx"}
    assert (folder / "labels.txt").read_text() == "cat\ndog\n"
    assert read_card(folder / "1/model.onnx") == read_card(tiny_onnx)


def test_triton_reads_the_configuration(tiny_onnx: Path, tiny_card: ModelCard) -> None:
    card = replace(read_card(tiny_onnx), labels=('a "cat"', "개 “dog”"))
    options = TritonOptions("openvino", max_batch=4, delay=0.005, instances=2)
    config = parsed(triton_config("pets", card, options))
    assert (config.name, config.backend, config.max_batch_size) == ("pets", "openvino", 4)
    assert list(config.input[0].dims) == [32, 32, 3]
    assert config.input[0].data_type == 2, "TYPE_UINT8"
    assert list(config.output[0].dims) == [2]
    assert config.output[0].label_filename == "labels.txt"
    assert config.dynamic_batching.max_queue_delay_microseconds == 5000
    assert config.instance_group[0].count == 2
    assert ModelCard.from_json(config.parameters["edgecat_card"].string_value) == card


def test_the_tensors_of_the_configuration_are_those_of_the_model(tiny_onnx: Path) -> None:
    config = parsed(triton_config("pets", read_card(tiny_onnx), TritonOptions()))
    session = onnxruntime.InferenceSession(tiny_onnx)
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, list(taken.shape[1:])) == (config.input[0].name, [32, 32, 3])
    assert (given.name, given.shape[1]) == (config.output[0].name, config.output[0].dims[0])
    frames = np.repeat(golden_frames(32, 32), 2, axis=0)[: config.max_batch_size]
    assert session.run(None, {taken.name: frames})[0].shape == (8, 2)


def test_what_does_not_fit_is_a_sentence(tiny_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a \.trt file"):
        write_repository(tiny_onnx, tmp_path, options=TritonOptions("tensorrt"))
    write_repository(tiny_onnx, tmp_path)
    with pytest.raises(UserError, match="tiny exists"):
        write_repository(tiny_onnx, tmp_path)
    with pytest.raises(UserError, match="expected 1 to 4096"):
        TritonOptions(max_batch=0)


def test_the_command_writes_it(tiny_onnx: Path, tmp_path: Path, cli: Callable) -> None:
    command = ["export", tiny_onnx, "--to", "triton", "--output", tmp_path / "r", "--batch"]
    ran = cli(*command, "1,1,4", "--json")
    assert ran.code == 0, ran
    assert json.loads(ran.out)["files"][0]["path"] == str(tmp_path / "r" / "tiny")
    assert parsed((tmp_path / "r/tiny/config.pbtxt").read_text()).max_batch_size == 4
    ran = cli(*command, "1,1,4", "--precision", "fp16")
    assert (ran.code, "tiny exists" in ran.err) == (1, True), ran
    ran = cli(
        "export", tiny_onnx, "--to", "triton", "--output", tmp_path / "h", "--precision", "fp16"
    )
    assert ran.code == 0, ran
    assert read_card(tmp_path / "h/tiny/1/model.onnx").precision == "fp16"
