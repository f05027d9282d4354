"""A hostile file's names reach no terminal through another library's message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from edgecat_runtime.backends import open_backend
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.artifact import read_card, seal_onnx
from edgecat_runtime.system.foreign_text import one_line


@pytest.mark.parametrize(
    ("said", "last", "shown"),
    [
        ("one\ntwo", False, "one"),
        ("one\ntwo\n", True, "two"),
        ("\n\n a \x1b]0;owned\x07 b\n", False, "a ?]0;owned? b"),
        ("", False, ""),
        ("x" * 5000, False, "x" * 600),
    ],
)
def test_one_line_is_printable(said: str, last: bool, shown: str) -> None:
    assert one_line(said, last=last) == shown


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_no_backend_quotes_control_characters(
    backend: str, make_tiny: Callable[..., bytes], tmp_path: Path
) -> None:
    pytest.importorskip(backend)
    good = tmp_path / "good.onnx"
    good.write_bytes(make_tiny())
    model = onnx.load(good)
    node = model.graph.node[0]
    node.attribute.append(onnx.helper.make_attribute("re\x1b[2J\rdims", 1))
    model.graph.output[0].name = "logits\x07"
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(seal_onnx(model.SerializeToString(), read_card(good)))
    with pytest.raises(UserError) as refused:
        open_backend(bad, read_card(bad), name=backend, device="cpu")
    assert str(refused.value).isprintable()
