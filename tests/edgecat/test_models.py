"""Every architecture: as published, and all the way from a training step to an engine."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from edgecat.models import ARCHITECTURES, architecture, build_model
from edgecat.models.auxiliary import TrainingOutput, training_loss
from edgecat.models.checkpoint import load_checkpoint, save_checkpoint
from edgecat.models.cost import cost_of
from edgecat.models.frames import input_from_frames
from edgecat.models.parts import ACTIVATIONS
from edgecat.training.config import TrainConfig
from edgecat.training.loop import train
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import CardError, ModelCard

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
IMAGENET = tuple(str(number) for number in range(1000))
# Parameters, those of auxiliary classifiers, and 1e9 multiply-adds, as torchvision states them.
PUBLISHED = {
    "alexnet": (61_100_840, 0, 0.71),
    "googlenet": (13_004_888, 6_379_984, 1.50),
    "inception_v3": (27_161_264, 3_326_696, 5.71),
    "resnet18": (11_689_512, 0, 1.81),
    "resnet34": (21_797_672, 0, 3.66),
    "resnet50": (25_557_032, 0, 4.09),
    "vgg11": (132_863_336, 0, 7.61),
    "vgg11_bn": (132_868_840, 0, 7.61),
    "vgg13": (133_047_848, 0, 11.31),
    "vgg13_bn": (133_053_736, 0, 11.31),
    "vgg16": (138_357_544, 0, 15.47),
    "vgg16_bn": (138_365_992, 0, 15.47),
    "vgg19": (143_667_240, 0, 19.63),
    "vgg19_bn": (143_678_248, 0, 19.63),
}
# Some of torchvision's names and shapes, and how many tensors its state dict has.
NAMES: dict[str, tuple[int, dict[str, tuple[int, ...]]]] = {
    "alexnet": (
        16,
        {
            "features.0.weight": (64, 3, 11, 11),
            "features.3.weight": (192, 64, 5, 5),
            "features.6.weight": (384, 192, 3, 3),
            "features.10.bias": (256,),
            "classifier.1.weight": (4096, 256 * 36),
            "classifier.4.weight": (4096, 4096),
            "classifier.6.weight": (1000, 4096),
        },
    ),
    "vgg19": (
        38,
        {"features.34.weight": (512, 512, 3, 3), "classifier.0.weight": (4096, 512 * 49)},
    ),
    "vgg11_bn": (62, {"features.26.running_var": (512,), "classifier.6.bias": (1000,)}),
    "googlenet": (
        57 * 6 + 2 + 2 * (6 + 4),
        {
            "conv1.conv.weight": (64, 3, 7, 7),
            "conv3.bn.running_mean": (192,),
            "inception3a.branch1.conv.weight": (64, 192, 1, 1),
            "inception3a.branch3.1.conv.weight": (32, 16, 3, 3),
            "inception4e.branch4.1.bn.weight": (128,),
            "inception5b.branch2.1.conv.weight": (384, 192, 3, 3),
            "aux1.conv.conv.weight": (128, 512, 1, 1),
            "aux2.conv.conv.weight": (128, 528, 1, 1),
            "aux2.fc1.weight": (1024, 2048),
            "aux2.fc2.weight": (1000, 1024),
            "fc.weight": (1000, 1024),
        },
    ),
    "inception_v3": (
        94 * 6 + 2 + 2 * 6 + 2,
        {
            "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
            "Conv2d_4a_3x3.bn.bias": (192,),
            "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
            "Mixed_5d.branch5x5_2.conv.weight": (64, 48, 5, 5),
            "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
            "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
            "Mixed_6b.branch7x7dbl_5.conv.weight": (192, 128, 1, 7),
            "Mixed_6c.branch7x7dbl_2.conv.weight": (160, 160, 7, 1),
            "AuxLogits.conv0.conv.weight": (128, 768, 1, 1),
            "AuxLogits.conv1.conv.weight": (768, 128, 5, 5),
            "AuxLogits.fc.weight": (1000, 768),
            "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
            "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
            "Mixed_7c.branch3x3dbl_1.conv.weight": (448, 2048, 1, 1),
            "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
            "fc.weight": (1000, 2048),
        },
    ),
    "resnet18": (
        122,
        {
            "conv1.weight": (64, 3, 7, 7),
            "layer1.1.conv2.weight": (64, 64, 3, 3),
            "layer2.0.downsample.0.weight": (128, 64, 1, 1),
            "layer4.0.downsample.1.running_mean": (512,),
            "fc.weight": (1000, 512),
        },
    ),
    "resnet34": (218, {"layer3.5.bn2.weight": (256,), "layer4.2.conv1.weight": (512, 512, 3, 3)}),
    "resnet50": (
        320,
        {
            "layer1.0.downsample.0.weight": (256, 64, 1, 1),
            "layer3.5.conv3.weight": (1024, 256, 1, 1),
            "layer4.0.conv1.weight": (512, 1024, 1, 1),
            "layer4.2.bn3.bias": (2048,),
            "fc.weight": (1000, 2048),
        },
    ),
}


def on_meta(card: ModelCard) -> nn.Module:
    with torch.device("meta"):
        return build_model(card)


def thin(name: str, *, activation: str = "relu") -> ModelCard:
    known = architecture(name)
    return known.card(
        ("cat", "dog"), size=known.smallest, head="gap", factor=0.05, activation=activation
    )


def test_the_table_names_all() -> None:
    assert {name.removesuffix("_bn") for name in PUBLISHED} == set(ARCHITECTURES)
    assert all(re.search(r"\d{4}, https://\S+$", known.paper) for known in ARCHITECTURES.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_multiply_adds_are_the_published_ones(name: str) -> None:
    card = architecture(name).card(IMAGENET)
    parameters = dict(on_meta(card).named_parameters())
    auxiliary = [p.numel() for n, p in parameters.items() if n.lower().startswith("aux")]
    cost = cost_of(card)
    assert cost is not None
    assert (sum(p.numel() for p in parameters.values()), sum(auxiliary)) == PUBLISHED[name][:2]
    assert round(cost.macs / 1e9, 2) == PUBLISHED[name][2]


@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_are_torchvisions(name: str) -> None:
    tensors, some = NAMES[name]
    state = on_meta(architecture(name).card(IMAGENET)).state_dict()
    assert len(state) == tensors
    assert {key: tuple(state[key].shape) for key in some} == some


@pytest.mark.parametrize(
    ("name", "block", "stages"),
    [
        ("googlenet", "inception3a inception4a inception5a", (28, 14, 7)),
        ("inception_v3", "Mixed_5b Mixed_6b Mixed_7b", (35, 17, 8)),
        ("resnet50", "layer1.0.conv2 layer2.0.conv2 layer4.0.conv2", (56, 28, 7)),
        ("alexnet", "features.2 features.5 features.12", (27, 13, 6)),
    ],
)
def test_maps_have_the_published_sizes(name: str, block: str, stages: tuple[int, ...]) -> None:
    card = architecture(name).card(IMAGENET)
    model, seen = on_meta(card).eval(), []
    for layer in block.split():
        model.get_submodule(layer).register_forward_hook(lambda *args: seen.append(args[2].shape))
    model(torch.empty(1, 3, card.height, card.width, device="meta"))
    assert [tuple(shape[2:]) for shape in seen] == [(side, side) for side in stages]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_smallest_input_is_the_smallest(name: str) -> None:
    card = thin(name)
    logits = build_model(card).eval()(torch.randn(2, 3, card.height, card.width))
    assert torch.isfinite(logits).all()
    less = replace(card, height=card.height - 1)
    if name.startswith(("googlenet", "resnet")):  # 32 is what edgecat trains at least
        assert cost_of(less)
    else:
        with pytest.raises(CardError, match=f"cannot build the {name}"):
            build_model(less)


@pytest.mark.parametrize("height", [75, 299])
def test_auxiliary_classifiers_answer_in_training_only(height: int) -> None:
    for name, exits in (("googlenet", 2), ("inception_v3", 1)):
        card = replace(thin(name), height=height, width=height + 10)
        model = on_meta(card)
        images = torch.empty(2, 3, card.height, card.width, device="meta")
        output = model.train()(images)
        assert isinstance(output, TrainingOutput)
        assert [tuple(o.shape) for o in (output.logits, *output.auxiliary)] == [(2, 2)] * (
            1 + exits
        )
        assert model.eval()(images).shape == (2, 2)


def test_the_loss_counts_auxiliary_classifiers_by_their_share() -> None:
    logits, side = torch.randn(2, 4, 3, dtype=torch.bfloat16)
    labels = torch.tensor([0, 1, 2, 0])
    loss = partial(cross_entropy, target=labels)
    plain, seen = training_loss(logits, loss)
    assert seen.dtype == torch.float32
    torch.testing.assert_close(plain, loss(logits.float()))
    total, seen = training_loss(TrainingOutput(logits, (side, side), 0.3), loss)
    torch.testing.assert_close(seen, logits.float())
    torch.testing.assert_close(total, plain + 0.6 * loss(side.float()))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_hidden_layer_has_the_activation(name: str) -> None:
    kinds = {active: type(make()) for active, make in ACTIVATIONS.items()}
    for active in ACTIVATIONS:
        modules = [type(module) for module in on_meta(thin(name, activation=active)).modules()]
        assert [kind for kind in kinds.values() if kind in modules] == [kinds[active]]
    with pytest.raises(CardError, match="activation 'swish'; expected one of relu, leaky_relu"):
        build_model(thin(name, activation="swish"))


def test_the_command_line_offers_every_activation() -> None:
    for active in ACTIVATIONS:
        TrainConfig(("photos",), activation=active)
    with pytest.raises(UserError, match=f"'swish'; expected one of {', '.join(ACTIVATIONS)}"):
        TrainConfig(("photos",), activation="swish")


def test_bn_in_a_name_is_batch_norm_in_the_card() -> None:
    described = {
        name: architecture(name).card(("cat", "dog"))
        for name in ("vgg16", "vgg16_bn", "alexnet", "resnet18")
    }
    assert {name: (card.architecture, card.batch_norm) for name, card in described.items()} == {
        "vgg16": ("vgg16", False),
        "vgg16_bn": ("vgg16", True),
        "alexnet": ("alexnet", False),
        "resnet18": ("resnet18", True),
    }
    assert architecture("vgg16").card(("cat", "dog"), batch_norm=True) == described["vgg16_bn"]


@pytest.mark.parametrize(
    ("name", "wanted", "sentence"),
    [
        (
            "resnet18_bn",
            {},
            "unknown architecture 'resnet18_bn'; expected one of alexnet, googlenet",
        ),
        ("vgg12", {}, "unknown architecture 'vgg12'"),
        ("resnet18", {"head": "dense"}, "without a dense head. Use --head gap"),
        ("googlenet", {"batch_norm": False}, "always has batch norm. Omit --no-batch-norm"),
        ("vgg16_bn", {"batch_norm": False}, "always has batch norm. Omit --no-batch-norm"),
    ],
)
def test_what_there_is_not(name: str, wanted: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        architecture(name).card(("cat", "dog"), **wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_the_card_does_what_torchvisions_transform_input_does(name: str) -> None:
    frames = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    usual = input_from_frames(frames, ModelCard(name, ("a", "b"), 32, 32))
    scale = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1) / 0.5
    shift = (torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) - 0.5) / 0.5
    ours = input_from_frames(frames, architecture(name).card(("a", "b")))
    torch.testing.assert_close(ours, usual * scale + shift, atol=1e-5, rtol=1e-5)


def test_cost_leaves_out_what_only_training_uses() -> None:
    card = thin("googlenet")
    weights = {
        name: p.numel()
        for name, p in on_meta(card).named_parameters()
        if p.ndim > 1 and not name.startswith("aux")
    }
    cost = cost_of(card)
    assert cost is not None
    assert cost.weights == sum(weights.values())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of four small pictures."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / label).mkdir()
        for i in range(4):
            picture = random.integers(0, 256, (80, 80, 3), np.uint8)
            cv2.imwrite(str(folder / label / f"{i}.png"), picture)
    return folder


def ends_in_an_engine(checkpoint: Path) -> None:
    """Export to fp32, convert to fp16, build for TensorRT-RTX where it is installed."""
    pytest.importorskip("onnxscript", reason="needs edgecat-export[torch]")
    from edgecat_export.engine.builder import EngineOptions
    from edgecat_export.engine.export import engine_from_onnx
    from edgecat_export.graph.deployed import card_for_onnx, onnx_from_model
    from edgecat_export.parity.comparison import golden_parity
    from edgecat_export.precision.conversion import convert
    from edgecat_export.publish import save_onnx
    from edgecat_runtime.model.engine_card import card_in_plan

    model, card = load_checkpoint(checkpoint)
    payload, exported = onnx_from_model(model, card), checkpoint.with_suffix(".onnx")
    assert all(pair.passed for pair in save_onnx(payload, card_for_onnx(card), exported))
    pair = golden_parity(exported, "onnxruntime", name=exported.name)
    assert pair.passed
    assert pair.max_logit_error < 1e-4
    half = convert(payload, card_for_onnx(card), "fp16")
    pytest.importorskip(
        "tensorrt_rtx_bindings", reason="needs TensorRT-RTX: pip install '.[tensorrt-rtx]'"
    )
    plan = engine_from_onnx(
        half.payload, half.card, flavour="tensorrt_rtx", options=EngineOptions()
    )
    found = card_in_plan(plan)
    assert found is not None
    assert (found.architecture, found.precision) == (card.architecture, "fp16")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_from_a_training_step_to_an_engine(name: str, pictures: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        data=(str(pictures),),
        output=str(tmp_path),
        arch=name,
        size=ARCHITECTURES[name].smallest,
        width=0.05,
        epochs=1,
        batch_size=8,
        val=0.25,
        threads=1,
        device="cpu",
        precision="fp32",
    )
    result = train(config)
    assert np.isfinite(result.best.train_loss)
    ends_in_an_engine(result.checkpoint)


@pytest.mark.parametrize("active", [name for name in ACTIVATIONS if name != "relu"])
def test_every_activation_ends_in_an_engine(active: str, tmp_path: Path) -> None:
    card = replace(thin("vgg11", activation=active), layers=(8, "M", 8, "M"))
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "vgg11.safetensors", build_model(card), card)
    ends_in_an_engine(tmp_path / "vgg11.safetensors")


def test_the_page_of_models_is_right() -> None:
    rows = {
        cells[0].strip(" `"): [cell.strip() for cell in cells[1:]]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and len(cells := line.strip("|").split("|")) == 5
    }
    assert set(rows) == set(ARCHITECTURES)
    for name, (paper, parameters, macs, smallest) in rows.items():
        known = ARCHITECTURES[name]
        assert known.paper.rpartition(", ")[2] in paper
        total, auxiliary, giga = PUBLISHED[name]
        more = f", in training {auxiliary:,} more" if auxiliary else ""
        assert parameters == f"{total - auxiliary:,}{more}"
        assert macs == f"{giga:.2f}"
        assert smallest == f"{known.smallest}"
