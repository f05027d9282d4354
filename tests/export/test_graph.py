from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edgecat.models import architecture, build_model
from edgecat.models.backend import TorchBackend
from edgecat.models.checkpoint import golden_logits
from edgecat_export.graph.deployed import export_onnx, onnx_from_model
from edgecat_runtime import Classifier, GateError, UserError, read_card
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.golden import preprocess_fingerprint

Built = tuple[torch.nn.Module, ModelCard]


@pytest.fixture(scope="module")
def build() -> Callable[..., Built]:
    """Build a thin VGG16 with statistics as after training, and its card."""

    def make(
        head: str = "gap", batch_norm: bool = True, height: int = 32, width: int = 48
    ) -> Built:
        card = ModelCard(
            architecture="vgg16",
            labels=("cat", "dog", "cow"),
            height=height,
            width=width,
            layers=architecture("vgg16").widths(head=head, factor=0.125),
            head=head,
            batch_norm=batch_norm,
            preprocess_golden=preprocess_fingerprint(height, width, "crop"),
        )
        torch.manual_seed(0)
        model = build_model(card)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 2)
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.uniform_(module.bias, -0.2, 0.2)
        return model.eval(), replace(card, golden=golden_logits(model, card))

    return make


@pytest.mark.parametrize(
    ("head", "batch_norm", "height", "width"),
    [
        ("gap", True, 32, 48),
        ("gap", False, 32, 32),
        ("dense", False, 64, 32),
        ("dense", True, 224, 224),
    ],
)
def test_the_deployed_graph_is_lean_and_right(
    build: Callable[..., Built], head: str, batch_norm: bool, height: int, width: int
) -> None:
    model, card = build(head, batch_norm, height, width)
    proto = onnx.load_from_string(onnx_from_model(model, card))
    kinds = Counter(node.op_type for node in proto.graph.node)
    assert kinds["Conv"] == 13
    assert kinds["MaxPool"] == 5
    assert not kinds.keys() & {"BatchNormalization", "Gather", "Slice", "Shape", "Div", "Dropout"}
    assert [node.op_type for node in proto.graph.node][:2] == ["Cast", "Transpose"]
    assert (proto.opset_import[0].version, proto.ir_version) == (20, 10)
    (frames,), (logits,) = proto.graph.input, proto.graph.output
    assert (frames.name, frames.type.tensor_type.elem_type) == ("frames", onnx.TensorProto.UINT8)
    assert (logits.name, logits.type.tensor_type.elem_type) == ("logits", onnx.TensorProto.FLOAT)
    assert frames.type.tensor_type.shape.dim[0].dim_param
    assert [d.dim_value for d in frames.type.tensor_type.shape.dim[1:]] == [height, width, 3]
    assert __file__.rpartition("/")[0] not in str(proto.graph.node), "no path of this machine"

    session = onnxruntime.InferenceSession(proto.SerializeToString())
    for n in (1, 3):
        batch = np.random.default_rng(n).integers(0, 256, (n, height, width, 3), np.uint8)
        expected = TorchBackend(model, card).infer(batch)
        assert np.abs(session.run(None, {"frames": batch})[0] - expected).max() < 1e-4


def test_exporting_leaves_the_module_as_it_was(build: Callable[..., Built]) -> None:
    model, card = build()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    onnx_from_model(model, card)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_what_is_exported_proves_itself(build: Callable[..., Built], tmp_path: Path) -> None:
    model, card = build()
    pairs = export_onnx(model, card, tmp_path / "vgg16.onnx")
    assert {"onnxruntime", "opencv"} <= {pair.backend for pair in pairs}
    assert all(pair.passed and pair.n == 4 for pair in pairs)
    assert read_card(tmp_path / "vgg16.onnx").golden == card.golden
    Classifier.open(tmp_path / "vgg16.onnx").close()


def test_golden_logits_that_a_card_lacks_are_computed(tmp_path: Path) -> None:
    from edgecat_runtime.model.artifact import read_card
    from edgecat_runtime.model.card import ModelCard

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.Dropout(), torch.nn.Flatten(), torch.nn.LazyLinear(2)
    ).train()
    model(torch.zeros(1, 3, 32, 32))
    card = ModelCard("own", labels=("cat", "dog"), height=32, width=32)
    pairs = export_onnx(model, card, tmp_path / "own.onnx")
    assert pairs
    assert all(pair.passed for pair in pairs)
    written = read_card(tmp_path / "own.onnx")
    assert len(written.golden) == 4
    assert written.preprocess_golden
    assert model.training
    wrong = ModelCard("own", labels=("cat", "dog", "cow"), height=32, width=32)
    with pytest.raises(UserError, match=r"\(4, 2\) for 4 images; expected \(4, 3\)"):
        export_onnx(model, wrong, tmp_path / "wrong.onnx")
    assert not (tmp_path / "wrong.onnx").exists()


class _Own(torch.nn.Module):
    def __init__(self, *, softmax: bool = False) -> None:
        super().__init__()
        self.convolution, self.softmax = torch.nn.Conv2d(3, 2, 3), softmax

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.convolution(images).mean((2, 3))
        return logits.softmax(1) if self.softmax else logits


class _OfOneSize(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.dense = torch.nn.Conv2d(3, 2, 3), torch.nn.Linear(2 * 62 * 62, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.dense(self.convolution(images).flatten(1))


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (_Own(), {"mean": (123.7, 116.3, 103.5)}, "of pixel values in 0..255; .* mean 0.4851,"),
        (_Own(), {"std": (58.4, 57.1, 57.4)}, "of pixel values in 0..255"),
        (_Own(), {"mean": (0.5, 0.5)}, "expected three finite numbers"),
        (_Own(), {"std": (0.2, 0.0, 0.2)}, "expected three numbers above 0"),
        (_Own(softmax=True), {}, "returns probabilities: .* leave the module's softmax out"),
        (
            _OfOneSize(),
            {},
            "fails on images of the card's size, 32x32: mat1 and mat2 .* was made for",
        ),
        (_Own().state_dict(), {}, "got an object of OrderedDict; .* module.load_state_dict"),
        (_Own, {}, r"got the class _Own; expected a torch module. Make an instance: _Own\(\)"),
    ],
)
def test_what_the_command_refuses_is_refused_for_a_module_too(
    tmp_path: Path, model: Any, changes: dict[str, Any], message: str
) -> None:
    from edgecat_runtime.model.card import ModelCard

    card = replace(ModelCard("own", labels=("cat", "dog"), height=32, width=32), **changes)
    with pytest.raises(UserError, match=message):
        export_onnx(model, card, tmp_path / "own.onnx")
    assert not list(tmp_path.iterdir())


def test_what_answers_differently_is_not_written(
    build: Callable[..., Built], tmp_path: Path
) -> None:
    model, card = build()
    path = tmp_path / "vgg16.onnx"
    path.write_bytes(b"the last good one")
    with torch.no_grad():
        next(model.parameters()).neg_()
    with pytest.raises(GateError, match=r"vgg16\.onnx was not written: FAIL .* worst logit error"):
        export_onnx(model, card, path)
    assert path.read_bytes() == b"the last good one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_model_without_a_colour_convolution_is_refused(
    build: Callable[..., Built], tmp_path: Path
) -> None:
    _, card = build()
    with pytest.raises(UserError, match="no first convolution over three colour channels"):
        onnx_from_model(torch.nn.Linear(3, 3), card)
