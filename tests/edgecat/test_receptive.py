"""Receptive fields: the formula against known figures, and against gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgecat.models import architecture, build_model
from edgecat.models.receptive import Axis, Field, receptive_fields

SIZE = 320


@pytest.mark.parametrize(
    ("name", "layer", "expected"),
    [
        ("vgg16", "features.0", Axis(3, 1, -1)),
        ("vgg16", "features.2", Axis(5, 1, -2)),
        ("vgg16", "features.4", Axis(6, 2, -2)),
        ("vgg16", "features.30", Axis(212, 32, -90)),
        ("alexnet", "features.0", Axis(11, 4, -2)),
        ("alexnet", "features.12", Axis(195, 32, -66)),
        ("resnet18", "layer1.1.conv2", Axis(43, 4, -21)),
    ],
)
def test_known_figures(name: str, layer: str, expected: Axis) -> None:
    """As published in https://doi.org/10.23915/distill.00021 or worked out by hand."""
    model = build_model(architecture(name).card(("a", "b"), size=64, head="gap", factor=0.1))
    field = receptive_fields(model)[layer]
    assert field.rows == field.columns == expected


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("vgg16", "features.16"),
        ("vgg16", "features.23"),
        ("googlenet", "inception3b.branch4.1.active"),
        ("inception_v3", "Mixed_6b.branch7x7_2.conv"),
        ("resnet18", "layer3.0.active"),
    ],
)
def test_a_gradient_sees_as_much(name: str, layer: str) -> None:
    """Through weights that are all alike, no gradient can vanish by chance."""
    model = build_model(architecture(name).card(("a", "b"), size=SIZE, factor=0.01)).double().eval()
    _smooth(model)
    field = receptive_fields(model)[layer]
    rows, columns, place = _seen(model, layer)
    assert (rows, columns) == (field.rows.span(place), field.columns.span(place))


def test_what_comes_after_the_whole_picture_is_left_out() -> None:
    """A dense layer's units have no places."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2), nn.ReLU())
    assert list(receptive_fields(model)) == ["0"]
    assert receptive_fields(model)["0"] == Field(Axis(3), Axis(3))


def test_two_ways_see_what_either_sees() -> None:
    """The wider one decides, wherever it lies."""
    assert Axis(3, 2, -1).joined(Axis(5, 2, 0)) == Axis(6, 2, -1)


def _smooth(model: nn.Module) -> None:
    """Even weights that neither grow nor shrink a map, and average pools for max pools."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        for child, inside in module.named_children():
            if isinstance(inside, nn.MaxPool2d):
                pool = nn.AvgPool2d(inside.kernel_size, inside.stride, inside.padding)
                pool.ceil_mode = inside.ceil_mode
                setattr(module, child, pool)


def _seen(model: nn.Module, layer: str) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Rows and columns of pixels on which the middle place of a map depends, and that place."""
    maps: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda m, i, out: maps.append(out))
    picture = torch.ones(1, 3, SIZE, SIZE, dtype=torch.float64, requires_grad=True)
    model(picture)
    handle.remove()
    place = maps[-1].shape[2] // 2
    (gradient,) = torch.autograd.grad(maps[-1][0, 0, place, place], picture)
    lit = gradient[0].abs().sum(0) > 0
    rows, columns = lit.any(1).nonzero(), lit.any(0).nonzero()
    return (
        (int(rows[0]), int(rows[-1]) + 1),
        (int(columns[0]), int(columns[-1]) + 1),
        place,
    )
