from __future__ import annotations

import argparse
import csv
import hashlib
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgecat.models import ARCHITECTURES, architecture, build_model
from edgecat.models.checkpoint import load_checkpoint
from edgecat.models.weights import OFFICIAL, described, official, read_weights
from edgecat.training.assembly import assemble
from edgecat.training.config import TrainConfig
from edgecat.training.interruption import Interrupted
from edgecat.training.loop import train
from edgecat.training.optim import make_optimizer, set_learning_rate
from edgecat.training.run_folder import read_config
from edgecat.training.transfer import freeze, load_matching, set_stage_rates, stages_of
from edgecat.training.watcher import Watcher
from edgecat_runtime.errors import UserError

LABELS = ("cat", "dog")
THIN = (8, "M", 8, "M", 8, 8, "M", 8, 8, "M", 8, 8, "M")


@pytest.fixture
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A VGG11 that is thin by publication, so that its official file is small."""
    known = replace(ARCHITECTURES["vgg11"], layers=THIN, dense=(16, 16))
    monkeypatch.setitem(ARCHITECTURES, "vgg11", known)


@pytest.fixture
def site(thin: None, web: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A mirror that has `vgg11_bn` as torchvision saved it, under a name with its hash."""
    torch.manual_seed(7)
    card = architecture("vgg11").card(tuple(map(str, range(1000))), size=32, batch_norm=True)
    state = build_model(card).state_dict()
    old = {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}
    path = web.folder / "new.pth"
    torch.save(old, path)
    name = f"vgg11_bn-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    path.rename(web.folder / name)
    monkeypatch.setitem(OFFICIAL, "vgg11_bn", name)
    monkeypatch.setenv("EDGECAT_WEIGHTS_URL", f"{web.address}/")
    web.name, web.tensors = name, old
    return web


def config(album: Path, tmp_path: Path, **changes: Any) -> TrainConfig:
    values = {
        "data": (str(album),),
        "name": "run",
        "output": str(tmp_path / "runs"),
        "arch": "vgg11",
        "size": 32,
        "width": 1.0,
        "epochs": 1,
        "batch_size": 4,
        "val": 0.34,
        "threads": 1,
        "device": "cpu",
        "precision": "fp32",
    }
    return TrainConfig(**{**values, **changes})


class Lines(Watcher):
    def __init__(self) -> None:
        self.said: list[str] = []

    def on_message(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.mark.parametrize("name", sorted(OFFICIAL))
def test_every_official_file_has_an_architecture_and_a_hash(name: str) -> None:
    known = architecture(name)
    norm = known.batch_norm is not None or name.endswith("_bn")
    card = known.card(LABELS, batch_norm=norm if known.batch_norm is None else None)
    assert official(card) == OFFICIAL[name]
    digits = Path(OFFICIAL[name]).stem.rpartition("-")[2]
    assert len(digits) == 8
    assert int(digits, 16)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"width": 0.5}, r"have full width; got another --width\. Use --width 1"),
        ({"activation": "tanh"}, "trained with relu; got --activation tanh"),
        ({"arch": "alexnet", "size": 64}, "no official weights for alexnet with batch norm"),
        ({"weights": "there.pth"}, "there.pth: No such file"),
        ({"weights": "there.safetensors"}, "there.safetensors"),
        ({"weights": "there.bin"}, r"expected shipped, imagenet, none, a \.safetensors file"),
        ({"freeze": "6"}, "expected features, or 0 to 5, counting the stages of vgg11"),
        ({"freeze": "-1"}, "expected features, or 0 to 5"),
        ({"freeze": "features", "weights": ""}, "Give --weights too"),
        ({"unfreeze_at": 2}, "--unfreeze-at needs frozen stages"),
        ({"lr_decay": 0.0}, "--lr-decay is 0.0; expected 0.01 to 1"),
    ],
)
def test_refusals(album: Path, tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        assemble(config(album, tmp_path, **{"weights": "imagenet", **changes}), watcher=Watcher())
    assert not (tmp_path / "runs").exists()


def test_imagenet_weights_are_fetched_once_and_taken(
    site: Any, album: Path, tmp_path: Path
) -> None:
    lines = Lines()
    trainer = assemble(config(album, tmp_path, weights="imagenet"), watcher=lines)
    assert site.asked == [(f"/{site.name}", "")]
    assert (trainer.run.card.mean, trainer.run.card.std) == (
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    )
    for name, tensor in trainer.learner.model.state_dict().items():
        if name in site.tensors and name.startswith("features"):
            assert torch.equal(tensor, site.tensors[name])
    (line,) = lines.said
    assert line == (
        f"loaded 48 tensors from {site.name}; new: classifier.1; "
        "ignored: classifier.0, classifier.3, classifier.6"
    )
    assemble(config(album, tmp_path, weights="imagenet"), watcher=Watcher())
    assert len(site.asked) == 1


def test_a_dense_head_keeps_all_but_its_last_layer(site: Any, album: Path, tmp_path: Path) -> None:
    lines = Lines()
    source = str(site.folder / site.name)
    assemble(config(album, tmp_path, weights=source, head="dense"), watcher=lines)
    assert lines.said == [
        f"loaded 52 tensors from {site.name}; replaced for the new classes: classifier.6"
    ]


def test_without_a_network(
    thin: None, web: Any, album: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECAT_WEIGHTS_URL", "http://127.0.0.1:9")
    ran = cli("train", album, "--arch", "vgg11", "--width", 1, "--weights", "imagenet")
    assert ran.code == 1
    assert "manually to" in ran.err
    assert "pass it: --weights FILE" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("arch", "batch_norm", "sentence"),
    [
        ("vgg13", True, "does not fit this vgg13 with batch norm"),
        ("vgg11", False, "does not fit this vgg11 without batch norm"),
    ],
)
def test_another_networks_file(
    site: Any, album: Path, tmp_path: Path, arch: str, batch_norm: bool, sentence: str
) -> None:
    changes = {"arch": arch, "batch_norm": batch_norm, "weights": str(site.folder / site.name)}
    with pytest.raises(UserError, match=sentence):
        assemble(config(album, tmp_path, **changes), watcher=Watcher())


class Trap:
    """Runs code where its pickle is loaded without care."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('ran')",))


@pytest.mark.parametrize(
    "content",
    [Trap(), {"a": 1}, {"state_dict": {}, "epoch": 3}, nn.Linear(2, 2), b"not a pickle at all"],
    ids=["trap", "numbers", "training state", "module", "noise"],
)
def test_only_plain_tensors_are_read(thin: None, tmp_path: Path, content: Any) -> None:
    path = tmp_path / "bad.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(UserError, match=r"bad\.pth (is damaged, or holds more|holds no weights)"):
        read_weights(str(path), architecture("vgg11").card(LABELS))


def _prefixed(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "saved",
    [
        lambda state: state,
        lambda state: _prefixed("module.", state),
        lambda state: _prefixed("_orig_mod.", state),
        lambda state: _prefixed("_orig_mod.module.", state),
        lambda state: _prefixed("model.", state),
        lambda state: {"state_dict": _prefixed("module.", state), "epoch": 3},
        lambda state: {
            "model": state,
            "model_ema": {name: tensor + 1 for name, tensor in state.items()},
            "args": argparse.Namespace(lr=0.1),
        },
        lambda state: {"model_ema": {"n_averaged": torch.tensor(9), **_prefixed("module.", state)}},
        lambda state: {"model_state_dict": {"state_dict": state}, "optimizer": {}},
    ],
    ids=["plain", "parallel", "compiled", "both", "lightning", "nested", "ema", "averaged", "deep"],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_are_taken_as_training_scripts_save_them(
    tmp_path: Path, saved: Callable[[dict[str, torch.Tensor]], Any], suffix: str
) -> None:
    card = replace(architecture("resnet18").card(LABELS), layers=(4, 4, 4, 4, 8, 8))
    state = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).state_dict()
    path, content = tmp_path / f"weights{suffix}", saved(state)
    if suffix == ".pth":
        torch.save(content, path)
    elif all(map(torch.is_tensor, content.values())):  # as timm publishes them
        save_file(content, path)
    else:
        return
    assert described(str(path), card) == card
    tensors = read_weights(str(path), card).tensors
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[name], state[name].to(tensors[name].dtype)) for name in state)


def test_a_checkpoint_decides_the_network(checkpoint: Path, album: Path, tmp_path: Path) -> None:
    lines = Lines()
    model, card = load_checkpoint(checkpoint)
    wanted = config(album, tmp_path, arch="vgg16", weights=str(checkpoint))
    trainer = assemble(wanted, watcher=lines)
    assert trainer.run.card.layers == card.layers
    for name, tensor in model.state_dict().items():
        assert torch.equal(trainer.learner.model.state_dict()[name], tensor), name
    assert lines.said == [f"loaded 93 tensors from {checkpoint.name}"]


def test_other_labels_draw_the_head_anew(checkpoint: Path) -> None:
    card = replace(load_checkpoint(checkpoint)[1], labels=("dog", "cat"))
    loaded = load_matching(read_weights(str(checkpoint), card), build_model(card), card)
    assert loaded.initialised == loaded.ignored == ("classifier.1",)


def test_a_checkpoint_of_another_architecture(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="contains a vgg16; expected a vgg11. Use --arch vgg16"):
        described(str(checkpoint), architecture("vgg11").card(LABELS))


def test_options_that_a_checkpoint_decides(
    checkpoint: Path, album: Path, cli: Callable[..., Any]
) -> None:
    ran = cli("train", album, "--weights", checkpoint, "--width", 1, "--head", "gap")
    assert ran.code == 1
    assert "already defines the network. Omit --width, --head" in ran.err


@pytest.mark.parametrize(
    ("name", "stages"),
    [("vgg11", 5), ("alexnet", 3), ("resnet18", 5), ("googlenet", 4), ("inception_v3", 4)],
)
def test_stages_hold_every_weight_once(name: str, stages: int) -> None:
    with torch.device("meta"):
        model = build_model(architecture(name).card(LABELS))
    found = stages_of(model)
    assert len(found) == stages + 1
    inside = [id(p) for parts in found for part in parts for p in part.parameters()]
    assert sorted(inside) == sorted(map(id, model.parameters()))
    assert all(list(parts[-1].parameters()) for parts in found[-1:])


def test_frozen_stages_stand_still_and_the_rest_learns(
    checkpoint: Path, album: Path, tmp_path: Path
) -> None:
    wanted = config(album, tmp_path, arch="vgg16", weights=str(checkpoint), freeze="2", lr=0.1)
    result = train(wanted)
    before, after = (load_checkpoint(p)[0].state_dict() for p in (checkpoint, result.checkpoint))
    moved = {
        name.rpartition(".")[0] for name in before if not torch.equal(before[name], after[name])
    }
    frozen = {f"features.{n}" for n in range(14)}
    assert not moved & frozen
    assert {"features.14", "features.15", "classifier.1"} <= moved


def test_thawed_stages_learn(checkpoint: Path, album: Path, tmp_path: Path) -> None:
    options = {"weights": str(checkpoint), "freeze": "features", "unfreeze_at": 2}
    trainer = assemble(config(album, tmp_path, arch="vgg16", **options), watcher=Watcher())
    features = trainer.learner.model.get_submodule("features")
    learns = []
    for trainer.state.epoch in range(3):
        trainer.learner.model.train()
        trainer.freeze_for_epoch()
        learns.append((features[0].weight.requires_grad, features[1].training))
    assert learns == [(False, False), (True, True), (True, True)]


def test_freeze_says_when_something_changed() -> None:
    with torch.device("meta"):
        model = build_model(architecture("resnet18").card(LABELS)).train()
    assert [freeze(model, count) for count in (0, 2, 2, 0)] == [False, True, False, True]
    freeze(model.train(), 2)
    still = {name for name, m in model.named_modules() if not m.training}
    assert {"conv1", "bn1", "layer1.1.bn2"} <= still
    assert not any(name.startswith("layer2") for name in still)


def test_each_stage_takes_its_share_of_the_rate() -> None:
    with torch.device("meta"):
        model = build_model(architecture("vgg11").card(LABELS))
    optimizer = make_optimizer(model, "nag", lr=1.0, weight_decay=0.1)
    set_stage_rates(optimizer, model, 0.5)
    set_learning_rate(optimizer, 0.8)
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    expected = [0.8 * 0.5**depth for depth in (5, 4, 3, 2, 1, 0)]
    for parts, rate in zip(stages_of(model), expected, strict=True):
        assert {rates[id(p)] for part in parts for p in part.parameters()} == {rate}
    assert optimizer.param_groups[0]["lr"] == 0.8
    decays = {p.ndim > 1: g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert decays == {True: 0.1, False: 0.0}


class CtrlC(Watcher):
    """Presses Ctrl-C after so many steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def stepped(self, pictures: int, loss: Callable[[], float]) -> None:
        self.left -= 1
        if not self.left:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("after", [1, 3], ids=["while frozen", "while thawed"])
def test_resume_is_bit_for_bit(checkpoint: Path, album: Path, tmp_path: Path, after: int) -> None:
    source = tmp_path / "start.safetensors"
    source.write_bytes(checkpoint.read_bytes())
    wanted = config(
        album,
        tmp_path,
        arch="vgg16",
        weights=str(source),
        freeze="features",
        unfreeze_at=2,
        lr_decay=0.8,
        epochs=3,
        ema=0.5,
    )
    plain = train(replace(wanted, name="plain"))
    with pytest.raises(Interrupted) as interrupted:
        train(wanted, watcher=CtrlC(after))
    folder = interrupted.value.folder
    resumed = train(read_config(folder), resume=folder)
    for column in ("train_loss", "val_loss"):
        rows = [
            [row[column] for row in csv.DictReader((r.folder / "metrics.csv").open())]
            for r in (plain, resumed)
        ]
        assert rows[0] == rows[1]
    one, other = (load_checkpoint(r.checkpoint)[0].state_dict() for r in (plain, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
