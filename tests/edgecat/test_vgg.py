"""VGG16 as published: names, shapes, counts, pooling, and a graph that exports cleanly."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from edgecat.models import VGG, architecture, build_model
from edgecat.models.frames import input_from_frames
from edgecat.models.parts import AdaptiveAveragePool, averaging_matrix, scaled
from edgecat.models.vgg import DENSE, VGG16
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import CardError, ModelCard

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions and their width
CARD = ModelCard(
    "vgg16", ("cat", "dog"), 32, 32, layers=scaled(VGG16, 0.05), head="gap", batch_norm=True
)


def published(*, batch_norm: bool, classes: int) -> dict[str, tuple[int, ...]]:
    """Torchvision's state dict: a convolution takes 2 places (3 with norm), a pool 1."""
    shapes: dict[str, tuple[int, ...]] = {}
    place, channels = 0, 3
    for count, width in BLOCKS:
        for _ in range(count):
            shapes[f"features.{place}.weight"] = (width, channels, 3, 3)
            shapes[f"features.{place}.bias"] = (width,)
            if batch_norm:
                for name in ("weight", "bias", "running_mean", "running_var"):
                    shapes[f"features.{place + 1}.{name}"] = (width,)
                shapes[f"features.{place + 1}.num_batches_tracked"] = ()
            place, channels = place + (3 if batch_norm else 2), width
        place += 1
    for index, (inputs, outputs) in {
        0: (512 * 7 * 7, 4096),
        3: (4096, 4096),
        6: (4096, classes),
    }.items():
        shapes[f"classifier.{index}.weight"] = (outputs, inputs)
        shapes[f"classifier.{index}.bias"] = (outputs,)
    return shapes


@pytest.mark.parametrize(
    ("batch_norm", "classes", "parameters"),
    [(False, 1000, 138_357_544), (True, 1000, 138_365_992), (False, 2, 134_268_738)],
)
def test_names_shapes_and_count_are_torchvisions(
    batch_norm: bool, classes: int, parameters: int
) -> None:
    with torch.device("meta"):
        model = VGG(VGG16 + DENSE, classes, batch_norm=batch_norm)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes == published(batch_norm=batch_norm, classes=classes)
    assert list(shapes) == list(published(batch_norm=batch_norm, classes=classes))
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_the_order_of_layers_is_configuration_d() -> None:
    with torch.device("meta"):
        features = VGG(VGG16 + DENSE, 1000).features
    expected = []
    for count, _ in BLOCKS:
        expected += ["Conv2d", "ReLU"] * count + ["MaxPool2d"]
    assert [type(layer).__name__ for layer in features] == expected
    forms = {(m.kernel_size, m.stride, m.padding) for m in features if isinstance(m, nn.Conv2d)}
    assert forms == {((3, 3), (1, 1), (1, 1))}


@pytest.mark.parametrize(
    ("head", "factor", "dense"),
    [("gap", 1, [512, 2]), ("gap", 0.5, [256, 2]), ("dense", 0.5, [256 * 49, 2048, 2048, 2])],
)
def test_variants(head: str, factor: float, dense: list[int]) -> None:
    widths = [3, *(int(width * factor) for count, width in BLOCKS for _ in range(count))]
    parameters = sum((9 * i + 1) * o + 2 * o for i, o in itertools.pairwise(widths))
    parameters += sum((i + 1) * o for i, o in itertools.pairwise(dense))
    layers = architecture("vgg16").widths(head=head, factor=factor)
    with torch.device("meta"):
        model = VGG(layers, 2, head=head, batch_norm=True)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("head", ["dense", "gap"])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 65), (96, 64), (100, 256)])
def test_any_input_from_32(head: str, height: int, width: int) -> None:
    layers = architecture("vgg16").widths(head=head, factor=0.02)
    model = VGG(layers, 3, height=height, width=width, head=head, batch_norm=True).eval()
    logits = model(torch.randn(2, 3, height, width))
    assert logits.shape == (2, 3)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("height", [*range(1, 12), 14, 16])
@pytest.mark.parametrize("width", [1, 3, 7, 10])
def test_pooling_is_pytorchs(height: int, width: int) -> None:
    maps = torch.randn(2, 5, height, width)
    expected = nn.AdaptiveAvgPool2d(7)(maps)
    torch.testing.assert_close(AdaptiveAveragePool(height, width, 7)(maps), expected)


def test_pooling_seven_by_seven_is_the_identity() -> None:
    maps = torch.randn(1, 2, 7, 7)
    assert AdaptiveAveragePool(7, 7, 7)(maps) is maps
    assert torch.equal(averaging_matrix(7, 7), torch.eye(7))


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(1.0, (64, "M", 512)), (0.5, (32, "M", 256)), (0.3, (16, "M", 152)), (0.01, (8, "M", 8))],
)
def test_scaled(factor: float, expected: tuple[int | str, ...]) -> None:
    assert scaled((64, "M", 512), factor) == expected


def test_weights_are_drawn_as_torchvisions() -> None:
    torch.manual_seed(0)
    model = VGG(scaled(VGG16, 0.5), 100, head="gap", batch_norm=True)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            expected = math.sqrt(2 / (module.out_channels * 9))
            assert float(module.weight.detach().std()) == pytest.approx(expected, rel=0.1)
            assert not module.bias.any()
        elif isinstance(module, nn.Linear):
            assert float(module.weight.detach().std()) == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize(
    ("layers", "head", "size"),
    [
        (VGG16, "mean", 64),
        (VGG16 + DENSE, "gap", 64),
        (VGG16, "gap", 31),
        ((64, 64), "gap", 64),
    ],
)
def test_what_is_no_vgg(layers: tuple[int | str, ...], head: str, size: int) -> None:
    with torch.device("meta"), pytest.raises(ValueError):
        VGG(layers, 2, height=size, width=size, head=head)


def test_build_model_follows_the_card() -> None:
    model = build_model(CARD)
    assert isinstance(model, VGG)
    assert [m.out_channels for m in model.features if isinstance(m, nn.Conv2d)] == [
        w for w in CARD.layers if w != "M"
    ]
    with pytest.raises(UserError, match="unknown architecture 'vgg99'; expected one of alexnet"):
        build_model(ModelCard("vgg99", ("a", "b"), 32, 32))
    with pytest.raises(CardError, match="cannot build the vgg16"):
        build_model(ModelCard("vgg16", ("a", "b"), 32, 32, layers=(8, "M"), head="none"))


def test_input_from_frames_is_normalised_rgb() -> None:
    frames = np.zeros((1, 32, 32, 3), np.uint8)
    frames[..., 2] = 255  # red, in BGR
    images = input_from_frames(torch.from_numpy(frames), CARD)
    assert images.shape == (1, 3, 32, 32)
    for channel, value in enumerate((1, 0, 0)):
        expected = (value - CARD.mean[channel]) / CARD.std[channel]
        assert float(images[0, channel].mean()) == pytest.approx(expected, rel=1e-5)


class Operations(TorchDispatchMode):
    """Notes the operations that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.names.append(function.name())
        return function(*args, **(kwargs or {}))


def test_input_from_frames_copies_nothing_from_the_host_each_time() -> None:
    frames = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        first = input_from_frames(frames, CARD)
    with Operations() as seen:
        again = input_from_frames(frames, CARD)
    assert not {"aten::lift_fresh", "aten::new_empty", "aten::mul.Tensor"} & set(seen.names)
    assert torch.equal(first, again)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (CARD.mean, CARD.std))
    images = frames.permute(0, 3, 1, 2).flip(1).float()
    assert torch.equal(again, (images - 255 * mean) / (255 * std)), "bit for bit"


def test_gradients_pass_through_input_from_frames() -> None:
    card = replace(CARD, mean=(0.11, 0.22, 0.33))  # not met before
    pixels = torch.rand(1, 32, 32, 3, requires_grad=True)
    with torch.inference_mode():
        input_from_frames(torch.zeros(1, 32, 32, 3, dtype=torch.uint8), card)
    input_from_frames(pixels, card).sum().backward()
    assert pixels.grad is not None


@pytest.mark.parametrize(("head", "size"), [("gap", 32), ("dense", 64)])
def test_exports_without_debris(head: str, size: int) -> None:
    pytest.importorskip("onnxscript")
    layers = architecture("vgg16").widths(head=head, factor=0.02)
    model = VGG(layers, 2, height=size, width=size, head=head).eval()
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        model, (torch.zeros(2, 3, size, size),), dynamo=True, dynamic_shapes=({0: batch},),
        verbose=False,
    )  # fmt: skip
    assert program is not None
    operators = {node.op_type for node in program.model.graph}
    assert operators <= {
        *("Conv", "Relu", "MaxPool", "ReduceMean", "MatMul", "Gemm", "Reshape", "Flatten"),
        *("Shape", "Concat", "Squeeze"),
    }, operators
