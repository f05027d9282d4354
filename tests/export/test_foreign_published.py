"""Published architectures as the onnx wheel carries them, their constant weights drawn anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from edgecat_export.graph.foreign import card_for_foreign, onnx_from_foreign
from edgecat_export.publish import save_onnx
from edgecat_runtime import Classifier, GateError, UserError

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
LABELS = tuple(f"class {number}" for number in range(1000))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def with_he_weights(path: Path) -> onnx.ModelProto:
    """The model with weights of He's scale for its constants, and scales and variances near 1."""
    model, rng = onnx.load(path), np.random.default_rng(0)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    drawn = [node for node in model.graph.node if node.op_type == "ConstantOfShape"]
    for node in drawn:
        shape = tuple(shapes[node.input[0]])
        values = rng.uniform(0.5, 1.5, shape)
        if len(shape) > 1:
            values = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
        model.graph.node.remove(node)
        model.graph.initializer.append(
            numpy_helper.from_array(values.astype(np.float32), node.output[0])
        )
    return model


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_a_published_network_is_wrapped_and_served(name: str, tmp_path: Path) -> None:
    path = LIGHT / f"light_{name}.onnx"
    if not path.is_file():
        pytest.skip("this onnx wheel has no light models")
    model = with_he_weights(path)
    data = model.SerializeToString()
    card = card_for_foreign(data, name=name, labels=LABELS, size=(224, 224), mean=MEAN, std=STD)
    found = onnx_from_foreign(data, card)
    save_onnx(found.payload, found.card, tmp_path / "served.onnx")

    image = np.random.default_rng(5).integers(0, 256, (224, 224, 3), np.uint8)
    values = ((image[..., ::-1] / 255 - MEAN) / STD).astype(np.float32).transpose(2, 0, 1)[None]
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    known = {tensor.name for tensor in model.graph.initializer}
    (given,) = {i.name for i in session.get_inputs()} - known
    expected = session.run(None, {given: values})[0].reshape(-1)
    with Classifier.open(tmp_path / "served.onnx", backend="onnxruntime") as classifier:
        served = np.array([*classifier.classify(image).probabilities.values()])
    assert np.ptp(expected) > 1e-4, "the weights are not constant"
    np.testing.assert_allclose(served, expected, atol=1e-4)


def test_a_network_of_constant_weights_gives_one_answer() -> None:
    path = LIGHT / "light_squeezenet.onnx"
    if not path.is_file():
        pytest.skip("this onnx wheel has no light models")
    data = path.read_bytes()
    card = card_for_foreign(data, name="light", labels=LABELS, size=(224, 224), mean=MEAN, std=STD)
    with pytest.raises((UserError, GateError), match="the same output"):
        onnx_from_foreign(data, card)
