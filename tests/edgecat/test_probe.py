"""Looking into networks: gradients, the two other ways back, Grad-CAM, receptive fields."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgecat.deepvis import PROPAGATIONS, Probe, open_probe
from edgecat.deepvis.layers import Axis
from edgecat.models import ARCHITECTURES, architecture, build_model
from edgecat.models.checkpoint import load_checkpoint
from edgecat.models.frames import input_from_frames
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard


@pytest.fixture(scope="module")
def probe(checkpoint: Path) -> Probe:
    return open_probe(checkpoint)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (48, 70, 3), np.uint8)


def _plain_probe(model: nn.Module, side: int) -> Probe:
    """A probe whose network sees a frame's own values, as RGB."""
    std = (1 / 255,) * 3
    card = ModelCard("plain", ("a", "b"), side, side, mean=(0.0, 0.0, 0.0), std=std)
    return Probe(model, card)


def _only_green(bias: float) -> nn.Conv2d:
    """A convolution that takes the green value, plus a bias."""
    conv = nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1))
        conv.bias.fill_(bias)
    return conv


def _dense(weights: list[float]) -> nn.Linear:
    dense = nn.Linear(len(weights), 2)
    with torch.no_grad():
        dense.weight.copy_(torch.tensor([weights, [0.0] * len(weights)]))
    return dense


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("gradient", [[-2, 0, -1], [6, 0, 0], [0, -1, 3]]),
        ("deconv", [[0, 3, 0], [6, 0, 1], [2, 0, 3]]),
        ("guided", [[0, 0, 0], [6, 0, 0], [0, 0, 3]]),
    ],
)
def test_ways_back_through_a_relu(how: str, expected: list[list[int]]) -> None:
    """The example of Springenberg et al., 2014, figure 1b."""
    forward = np.array([[1, -1, 5], [2, -5, -7], [-3, 2, 4]])
    model = nn.Sequential(
        _only_green(-10), nn.ReLU(), nn.Flatten(), _dense([-2, 3, -1, 6, -3, 1, 2, -1, 3])
    )
    frame = np.zeros((3, 3, 3), np.uint8)
    frame[..., 1] = forward + 10
    back = _plain_probe(model, 3).backprop(frame, "3", 0, how=how)
    assert back[..., 1].tolist() == expected
    assert not back[..., [0, 2]].any()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("gradient", {(0, 1): 5, (1, 3): -4, (2, 0): 0, (3, 2): 2}),
        ("deconv", {(0, 1): 5, (1, 3): 0, (2, 0): 3, (3, 2): 2}),
        ("guided", {(0, 1): 5, (1, 3): 0, (2, 0): 0, (3, 2): 2}),
    ],
)
def test_ways_back_through_the_switches(how: str, expected: dict[tuple[int, int], int]) -> None:
    """Max pooling sends back to where the maximum was; the third one is switched off (7 - 10)."""
    frame = np.zeros((4, 4, 3), np.uint8)
    frame[..., 1] = [[1, 20, 2, 3], [0, 4, 1, 30], [7, 1, 5, 6], [2, 3, 40, 0]]
    model = nn.Sequential(
        _only_green(-10), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), _dense([5, -4, 3, 2])
    )
    back = _plain_probe(model, 4).backprop(frame, "4", 0, how=how)[..., 1]
    wanted = np.zeros((4, 4))
    for place, value in expected.items():
        wanted[place] = value
    assert back.tolist() == wanted.tolist()


@pytest.mark.parametrize("layer", ["features.12", "features.40", "classifier.1"])
def test_gradient_is_the_slope(checkpoint: Path, probe: Probe, layer: str) -> None:
    """Against central differences of an independent forward pass in float64."""
    frame = np.random.default_rng(2).integers(0, 256, (32, 32, 3), np.uint8)
    model, card = load_checkpoint(checkpoint)
    exact = copy.deepcopy(model).double()
    outputs: list[torch.Tensor] = []
    exact.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: outputs.append(output.clone())
    )
    back = probe.backprop(frame, layer, 1, place="strongest")
    largest = np.stack(np.unravel_index(np.abs(back).argsort(None)[-3:], back.shape), 1)
    assert back[tuple(largest.T)].all()
    steps = np.zeros((1 + 2 * len(largest), 32, 32, 3))
    for number, (y, x, c) in enumerate(largest):
        steps[1 + 2 * number, y, x, c], steps[2 + 2 * number, y, x, c] = 1e-3, -1e-3
    images = ((frame + steps)[..., ::-1] / 255 - card.mean) / np.array(card.std)
    with torch.no_grad():
        exact(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    values = outputs[0][:, 1].numpy().reshape(len(steps), -1)
    if layer == "classifier.1":  # explained as log odds
        values = values - outputs[0][:, :1].numpy()
    values = values[:, values[0].argmax()]
    slopes = (values[1::2] - values[2::2]) / 2e-3
    assert back[tuple(largest.T)] == pytest.approx(slopes, rel=2e-3)


def test_gradcam_is_the_papers_equation(
    checkpoint: Path, probe: Probe, picture: np.ndarray
) -> None:
    """Global average pooling and one dense layer: equation 1 is the dense weight over the places.

    The last max pool sends each window's slope to one place, so their sum, and mean, is the same.
    """
    layer = probe.last_maps
    assert layer.name == "features.42"
    maps = probe.run(picture, [layer.name]).maps[layer.name].astype(np.float64)
    weights = load_checkpoint(checkpoint)[0].get_parameter("classifier.1.weight").detach().numpy()
    for label in (0, 1):
        odds = weights[label].astype(np.float64) - weights[1 - label]
        alphas = odds / maps[0].size
        expected = np.maximum(sum(a * m for a, m in zip(alphas, maps, strict=True)), 0)
        np.testing.assert_allclose(probe.gradcam(picture, label), expected, rtol=1e-4, atol=1e-9)


def test_derivatives_and_places(probe: Probe, picture: np.ndarray) -> None:
    frame = probe.fit(picture)
    own = probe.derivatives(frame, "features.9", 3, "features.9", place=(2, 5))
    assert np.argwhere(own).tolist() == [[3, 2, 5]]
    below = probe.derivatives(frame, "features.9", 3, "features.7", place=(2, 5))
    assert below.shape == probe.layer("features.7").shape
    assert not probe.derivatives(frame, "features.9", 3, "features.12").any()
    map_ = probe.run(frame, ["features.9"]).maps["features.9"][3]
    everywhere = probe.derivatives(frame, "features.9", 3, "features.9", place="all")
    np.testing.assert_allclose(everywhere[3], map_)


def test_a_batch_is_its_pictures(probe: Probe) -> None:
    frames = np.random.default_rng(3).integers(0, 256, (3, 32, 32, 3), np.uint8)
    batch = probe.backprop_batch(frames, "features.19", [0, 5, 2], ["all"] * 3, how="deconv")
    for frame, unit, back in zip(frames, (0, 5, 2), batch, strict=True):
        alone = probe.backprop(frame, "features.19", unit, how="deconv", place="all")
        np.testing.assert_allclose(back, alone, atol=1e-6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(name: str, picture: np.ndarray) -> None:
    known = architecture(name)
    head = "dense" if known.dense else "gap"
    card = known.card(("a", "b", "c"), size=max(known.smallest, 64), head=head, factor=0.05)
    torch.manual_seed(0)
    model = build_model(card)
    expected = model.eval()(input_from_frames(_fitted(card, picture), card))[0].detach().numpy()
    probe = Probe(model, card)
    assert len({layer.name for layer in probe.layers}) == len(probe.layers)
    seen = probe.run(picture, [layer.name for layer in probe.layers])
    np.testing.assert_allclose(seen.logits, expected, rtol=1e-4, atol=1e-5)
    assert [seen.maps[one.name].shape for one in probe.layers] == [o.shape for o in probe.layers]
    middle = [one for one in probe.layers if one.spatial][len(probe.layers) // 2]
    place = middle.shape[1] // 2, middle.shape[2] // 2
    top, left, bottom, right = middle.field.box(place, card.height, card.width)
    for how in PROPAGATIONS:
        back = probe.backprop(picture, middle.name, 0, how=how, place=place)
        assert back.shape == (card.height, card.width, 3)
        back[top:bottom, left:right] = 0
        assert not back.any()
    assert probe.gradcam(picture, 2).shape == probe.last_maps.shape[1:]
    assert probe.filters().shape[0] == probe.layers[0].units


def _fitted(card: ModelCard, picture: np.ndarray) -> torch.Tensor:
    from edgecat_runtime.model.preprocess import preprocess

    return torch.from_numpy(preprocess(picture, card.height, card.width, card.fit)[None])


@pytest.mark.parametrize(
    ("name", "layer", "size", "step"),
    [
        ("vgg16", "features.29", 196, 16),
        ("vgg16", "features.30", 212, 32),
        ("alexnet", "features.12", 195, 32),
        ("resnet18", "layer4.1.active:2", 435, 32),
        ("resnet50", "layer4.2.active:3", 427, 32),
        ("inception_v3", "Mixed_7c", 1311, 32),
    ],
)
def test_receptive_fields_as_published(name: str, layer: str, size: int, step: int) -> None:
    """Araujo et al., 2019; ResNet 50 is torchvision's, whose 3x3 convolutions have the stride."""
    known = architecture(name)
    head = "dense" if known.dense else "gap"
    card = known.card(("a", "b"), size=128, head=head, factor=0.05)
    rows = Probe(build_model(card), card).layer(layer).field.rows
    assert (rows.size, rows.step) == (size, step)


def test_receptive_fields_are_what_the_gradient_sees() -> None:
    """With positive weights and mean pools each pixel of the field has a slope, and no other."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, (5, 3), stride=2, padding=(2, 0)),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.AvgPool2d(3, 2),
        nn.Flatten(),
        nn.LazyLinear(2),
    )
    model(torch.zeros(1, 3, 40, 40))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    probe = _plain_probe(model, 40)
    layer = probe.layer("3")
    frame = np.full((40, 40, 3), 9, np.uint8)
    for place in [(0, 0), (4, 3), (2, layer.shape[2] - 1)]:
        top, left, bottom, right = layer.field.box(place, 40, 40)
        seen = probe.backprop(frame, "3", 0, place=place)[..., 0] != 0
        expected = np.zeros((40, 40), bool)
        expected[top:bottom, left:right] = True
        assert (seen == expected).all()


def test_layers_go_by_the_names_of_their_papers(probe: Probe, picture: np.ndarray) -> None:
    """VGG16's are those of table 1; the module names are torchvision's, with batch norm."""
    alias = {layer.name: layer.alias for layer in probe.layers}
    assert {name: alias[name] for name in ("features.0", "features.5", "features.6")} == {
        "features.0": "conv1_1", "features.5": "relu1_2", "features.6": "pool1",
    }  # fmt: skip
    assert alias["features.40"] == "conv5_3"
    assert probe.layers[-1].alias == "fc6"
    assert probe.layer("relu5_3").name == "features.42"
    assert [one.name for one in probe.chosen(["relu5_*"])] == [
        f"features.{number}" for number in (36, 39, 42)
    ]
    seen = probe.run(picture, ["relu5_3"])
    np.testing.assert_array_equal(
        seen.maps["relu5_3"], probe.run(picture, ["features.42"]).maps["features.42"]
    )
    built = build_model(architecture("alexnet").card(("a", "b"), size=64))
    layers = Probe(built, architecture("alexnet").card(("a", "b"), size=64)).layers
    words = [layer.alias for layer in layers if layer.kind in ("convolution", "dense", "logits")]
    assert words == [*(f"conv{n}" for n in range(1, 6)), "fc6", "fc7", "fc8"]
    card = architecture("resnet18").card(("a", "b"), size=64)
    assert not any(layer.alias for layer in Probe(build_model(card), card).layers)


def test_the_layer_that_activates_a_convolution(probe: Probe) -> None:
    assert probe.layer("features.0").active == "features.2"
    assert probe.layer("features.6").active == "features.6"
    card = architecture("resnet18").card(("a", "b"), size=64, factor=0.05)
    resnet = Probe(build_model(card), card)
    assert resnet.layer("layer1.0.conv1").active == "layer1.0.active"
    # Between the norm and the activation a shortcut is added: these are other units.
    assert resnet.layer("layer1.0.conv2").active == "layer1.0.bn2"


def test_span_of_a_unit_that_sees_padding_only() -> None:
    assert Axis(start=-9, size=4, step=8).span(0, 16) == (0, 1)
    assert Axis(start=-9, size=4, step=8).span(4, 16) == (15, 16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, x: p.run(x, ["features.99"]), "layer 'features.99' is not in this vgg16"),
        (lambda p, x: p.backprop(x, "features.2", 16), "unit 16 of features.2; expected 0 to 15"),
        (lambda p, x: p.backprop(x, "features.2", 0, how="magic"), "expected one of gradient"),
        (lambda p, x: p.backprop(x, "features.2", 0, place=(99, 0)), "expected a row and a column"),
        (lambda p, x: p.gradcam(x, 2), "unit 2 of classifier.1; expected 0 to 1"),
        (lambda p, x: p.gradcam(x, 0, "classifier.1"), "has no maps"),
        (lambda p, x: p.run(x[..., 0]), "frame has shape"),
    ],
)
def test_bad_requests(probe: Probe, picture: np.ndarray, call: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call(probe, picture)


def test_exported_models_need_their_checkpoint(exported: Path) -> None:
    with pytest.raises(
        UserError, match=r"is an exported model and cannot be inspected.*\.safetensors"
    ):
        open_probe(exported)
