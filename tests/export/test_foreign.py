"""Foreign classifiers: wrapped, proved against themselves, served."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from edgecat_export.graph.foreign import (
    card_for_foreign,
    foreign_input,
    normalised,
    onnx_from_foreign,
)
from edgecat_export.precision.conversion import convert
from edgecat_export.precision.scan import answer
from edgecat_export.publish import save_onnx
from edgecat_runtime import Classifier, GateError, UserError
from edgecat_runtime.model.card import CardError
from edgecat_runtime.model.golden import golden_frames

LABELS = ("ant", "bee", "cat", "dog", "eel")
COLOURS = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.25)}


class Net(nn.Module):
    """A little of what foreign classifiers hold: batch norm, ReLU6, a shortcut, a fixed view."""

    def __init__(self, *, softmax: bool = False, last: bool = False) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8))
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8 * 16, 5)
        self.softmax, self.last = softmax, last

    def forward(self, images: Tensor) -> Tensor:
        images = images.permute(0, 3, 1, 2) if self.last else images
        maps = nn.functional.relu6(self.first(images))
        maps = nn.functional.max_pool2d(torch.relu(self.second(maps) + maps), 4)
        logits: Tensor = self.head(maps.reshape(images.shape[0], -1))
        return logits.softmax(1) if self.softmax else logits


def exported(
    path: Path, *, batch: int = 1, dynamic: bool = False, legacy: bool = False, **options: bool
) -> bytes:
    """A foreign file, as PyTorch's exporters write it."""
    torch.manual_seed(0)
    net = Net(**options).eval()
    shape = (batch, 32, 32, 3) if options.get("last") else (batch, 3, 32, 32)
    kind = {"opset_version": 13, "dynamo": False} if legacy else {"opset_version": 18}
    if dynamic:
        kind["dynamic_shapes"] = ({0: torch.export.Dim("n")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(shape),),
            str(path),
            input_names=["frames"],
            output_names=["logits"],
            external_data=False,
            verbose=False,
            **kind,
        )
    return path.read_bytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return exported(tmp_path_factory.mktemp("foreign") / "net.onnx", legacy=True)


@pytest.mark.parametrize(
    "form",
    [
        {"legacy": True},
        {"batch": 3, "legacy": True},
        {"softmax": True, "legacy": True},
        {"last": True, "legacy": True},
        {"batch": 1},
        {"batch": 2, "dynamic": True},
    ],
    ids=str,
)
def test_a_foreign_classifier_is_wrapped_and_served(tmp_path: Path, form: dict) -> None:
    payload = exported(tmp_path / "net.onnx", **form)
    card = card_for_foreign(payload, name="net", labels=LABELS, **COLOURS)
    found = onnx_from_foreign(payload, card)
    pairs = save_onnx(found.payload, found.card, tmp_path / "wrapped.onnx")
    assert all(pair.passed for pair in pairs)
    torch.manual_seed(0)
    net = Net(last=form.get("last", False)).eval()
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    images = torch.from_numpy(normalised(frames, card))
    with torch.inference_mode():
        expected = net(images.permute(0, 2, 3, 1) if net.last else images).numpy()
    with Classifier.open(tmp_path / "wrapped.onnx", backend="onnxruntime") as classifier:
        np.testing.assert_allclose(classifier.infer(frames), expected, atol=1e-4)
        np.testing.assert_allclose(classifier.infer(frames[:1]), expected[:1], atol=1e-4)
        assert classifier.labels == LABELS
        top = classifier.classify(frames[0])
        assert top.label == LABELS[expected[0].argmax()]


def test_a_class_named_as_a_status_is_refused(plain: bytes) -> None:
    labels = ("no signal", *LABELS[1:])
    with pytest.raises(UserError, match="class name 'no signal' is a reserved word"):
        card_for_foreign(plain, name="net", labels=labels, **COLOURS)


def test_colours_are_taken_in_the_order_of_opencv(plain: bytes) -> None:
    card = card_for_foreign(plain, name="net", labels=LABELS, **COLOURS)
    blue = np.zeros((1, 32, 32, 3), np.uint8)
    blue[..., 0] = 255
    assert normalised(blue, card)[0, :, 0, 0] == pytest.approx([-2.5, -4 / 3, 2.8])
    found = onnx_from_foreign(plain, card)
    wrapped, card = found.payload, found.card
    graph = onnx.load_from_string(wrapped).graph
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    golden = np.asarray(card.golden)
    assert golden.shape == (4, 5)
    np.testing.assert_allclose(answer(wrapped, golden_frames(32, 32)), golden, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_wrapped_classifier_converts(plain: bytes, precision: str) -> None:
    card = card_for_foreign(plain, name="net", labels=LABELS, **COLOURS)
    found = onnx_from_foreign(plain, card)
    wrapped, card = found.payload, found.card
    frames = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
    seen = np.concatenate([frames, golden_frames(32, 32)])
    done = convert(wrapped, card, precision, calibration=seen)  # type: ignore[arg-type]
    assert done.gate.passed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": (64, 64)}, "has a fixed size of 32x32; got --size 64x64"),
        ({"std": (0.2, 0.0, 0.2)}, "expected three numbers above 0"),
    ],
)
def test_what_does_not_fit_is_a_sentence(plain: bytes, options: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        card_for_foreign(plain, **{"name": "net", "labels": LABELS, **COLOURS, **options})


def test_another_number_of_labels_is_refused(plain: bytes) -> None:
    card = card_for_foreign(plain, name="net", labels=LABELS[:3], **COLOURS)
    with pytest.raises(CardError, match="has 5 classes; got 3 labels"):
        onnx_from_foreign(plain, card)


@pytest.mark.parametrize("data", [b"", b"no model at all", b"\x08\x0a"])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match="not an ONNX model"):
        foreign_input(data)


def test_what_takes_no_picture_is_refused(plain: bytes) -> None:
    model = onnx.load_from_string(plain)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
    with pytest.raises(UserError, match="expected one image input"):
        foreign_input(model.SerializeToString())


def test_a_batch_that_cannot_be_freed_is_refused(plain: bytes) -> None:
    model = onnx.load_from_string(plain)
    node = model.graph.node.add(op_type="Expand", name="fixed")
    node.input.extend([model.graph.output[0].name, "shape"])
    node.output.append("fixed")
    constant = onnx.numpy_helper.from_array(np.array([4, 5], np.int64), "shape")
    model.graph.initializer.append(constant)
    model.graph.output[0].name = "fixed"
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    data = model.SerializeToString()
    card = card_for_foreign(data, name="net", labels=LABELS, **COLOURS)
    with pytest.raises((GateError, UserError)):
        onnx_from_foreign(data, card)


def test_another_tool_s_model_is_wrapped_without_torch() -> None:
    program = (
        "import sys\nsys.modules['torch'] = None\n"
        "import edgecat_export.graph.foreign, edgecat_export.precision.conversion\n"
        "try:\n    from edgecat_export.graph import onnx_from_model\n"
        "except ModuleNotFoundError as error:\n    print(error.name)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "torch\n"), ran.stderr
