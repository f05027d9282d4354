"""Training: it learns, it survives what happens to it, and it goes on bit for bit."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgecat.models.checkpoint import load_checkpoint
from edgecat.training.config import TrainConfig
from edgecat.training.history import Epoch
from edgecat.training.interruption import Interrupted
from edgecat.training.loop import train
from edgecat.training.run_folder import TrainResult, read_config
from edgecat.training.state import RunState
from edgecat.training.watcher import Watcher
from edgecat_runtime import Classifier, UserError, read_card

FILES = {"config.json", "confusion.png", "curves.png", "metrics.csv", "vgg16.safetensors"}


class InterruptedAt(Watcher):
    """Sends the process a signal after so many steps, as a person or a power cut would."""

    def __init__(self, steps: int, number: int = signal.SIGINT) -> None:
        self.steps, self.number = steps, number

    def stepped(self, pictures: int, loss: Callable[[], float]) -> None:
        self.steps -= 1
        if self.steps == 0:
            os.kill(os.getpid(), self.number)


class Noted(Watcher):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.rows: list[Epoch] = []

    def skipped(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def epoch_finished(self, row: Epoch, *, best: bool) -> None:
        self.rows.append(row)


def _figures(folder: Path) -> list[dict[str, str]]:
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    timed = ("seconds", "images_per_second", "data_wait")
    return [{key: value for key, value in row.items() if key not in timed} for row in rows]


def _same(one: Path, other: Path) -> None:
    assert (one / "vgg16.safetensors").read_bytes() == (other / "vgg16.safetensors").read_bytes()
    assert _figures(one) == _figures(other)


def test_it_learns_and_leaves_a_whole_run(config: TrainConfig) -> None:
    recipe = {"optimizer": "adamw", "lr": 3e-3, "augment": False, "label_smoothing": 0.0}
    result = train(replace(config, epochs=8, **recipe))
    assert {path.name for path in result.folder.iterdir()} == FILES
    assert result.evaluation.accuracy >= 0.9
    assert result.evaluation.n == 12
    assert len(_figures(result.folder)) == len(result.history) == 8
    assert read_config(result.folder).epochs == 8
    with Classifier.open(result.checkpoint) as classifier:
        assert classifier.card.accuracy == result.best.val_accuracy == result.evaluation.accuracy
        assert classifier.card.accuracy_n == 12
        assert classifier.labels == ("cat", "dog")


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adamw", "lr": 1e-3},
        {"head": "dense", "batch_norm": False},
        {"precision": "bf16"},
        {"fit": "letterbox", "dropout": 0.2},
    ],
    ids=str,
)
def test_variants_train(config: TrainConfig, options: dict[str, object]) -> None:
    result = train(replace(config, epochs=1, width=0.02, **options))
    model, card = load_checkpoint(result.checkpoint)
    assert card == read_card(result.checkpoint)
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "nag", "dropout": 0.3},
        {"optimizer": "adamw", "lr": 1e-3},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"progressive": "32:1,40:1", "ema": 0.9},
        {"optimizer": "gd", "clip": 0.5, "precision": "fp16"},
        {"accumulate": 2, "mixup": 0.4, "cutmix": 1.0, "erase": 0.5, "schedule": "one-cycle"},
    ],
    ids=str,
)
@pytest.mark.parametrize("steps", [2, 5, 7])
def test_resuming_after_ctrl_c_is_bit_for_bit(
    config: TrainConfig, options: dict[str, object], steps: int
) -> None:
    config = replace(config, epochs=2, **options)
    whole = train(replace(config, name="whole"))
    with pytest.raises(Interrupted, match="edgecat train --resume") as caught:
        train(config, watcher=InterruptedAt(steps))
    folder = caught.value.folder
    resumed = train(read_config(folder), resume=folder)
    assert not (folder / "resume.state").exists()
    _same(resumed.folder, whole.folder)


def test_two_interruptions_are_bit_for_bit_too(config: TrainConfig) -> None:
    whole = train(replace(config, name="whole"))
    with pytest.raises(Interrupted):
        train(config, watcher=InterruptedAt(3))
    folder = Path(config.output) / config.name
    with pytest.raises(Interrupted):
        train(read_config(folder), resume=folder, watcher=InterruptedAt(4))
    _same(train(read_config(folder), resume=folder).folder, whole.folder)


def test_resuming_after_kill_9_is_bit_for_bit(config: TrainConfig, tmp_path: Path) -> None:
    whole = train(replace(config, name="whole"))
    script = tmp_path / "killed.py"
    script.write_text(
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from edgecat.training.loop import train\n"
        "from edgecat.training.config import TrainConfig\n"
        "from edgecat.training.watcher import Watcher\n"
        "class Killed(Watcher):\n"
        "    steps = 7\n"
        "    def stepped(self, pictures, loss):\n"
        "        self.steps -= 1\n"
        "        if not self.steps:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "train(TrainConfig.from_json(Path(sys.argv[1]).read_text(), ''), watcher=Killed())\n"
    )
    (tmp_path / "config.json").write_text(config.to_json())
    command = [sys.executable, str(script), str(tmp_path / "config.json")]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    folder = Path(config.output) / config.name
    assert len(_figures(folder)) == 1  # five steps an epoch: killed in the second one
    load_checkpoint(folder / "vgg16.safetensors")
    _same(train(read_config(folder), resume=folder).folder, whole.folder)


def test_a_table_ahead_of_the_state_is_put_right(config: TrainConfig) -> None:
    with pytest.raises(Interrupted):
        train(config, watcher=InterruptedAt(6))
    folder = Path(config.output) / config.name
    with (folder / "metrics.csv").open("a") as file:
        file.write("2,0.1,9,9,9,9,9,9\n")
    train(read_config(folder), resume=folder)
    assert [row["epoch"] for row in _figures(folder)] == ["1", "2", "3"]


def _finished(folder: Path) -> None:
    train(read_config(folder), resume=folder)


def _other_images(folder: Path) -> None:
    Path(read_config(folder).data[0], "cat", "000.png").unlink()


def _torn_state(folder: Path) -> None:
    (folder / "resume.state").write_bytes(b"torn")


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _odd_config(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"epochs"', '"epoxies"'))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_finished, "is finished: there is nothing to resume"),
        (_other_images, "the images are not those"),
        (_torn_state, "is not a state of this run"),
        (_no_config, "is not a run of edgecat train"),
        (_odd_config, "unknown fields epoxies"),
    ],
)
def test_what_cannot_be_resumed(
    config: TrainConfig, tmp_path: Path, spoil: Callable[[Path], None], sentence: str
) -> None:
    shutil.copytree(config.data[0], tmp_path / "pictures")
    config = replace(config, data=(str(tmp_path / "pictures"),), epochs=1)
    with pytest.raises(Interrupted):
        train(config, watcher=InterruptedAt(2))
    folder = Path(config.output) / config.name
    spoil(folder)
    with pytest.raises(UserError, match=sentence) as caught:
        train(read_config(folder), resume=folder)
    assert "\n" not in str(caught.value)


def test_a_run_is_never_overwritten(config: TrainConfig, tmp_path: Path) -> None:
    notes = tmp_path / "runs" / "run" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    with pytest.raises(
        UserError, match="exists. Choose another --name, or continue it with --resume"
    ):
        train(config)
    assert list(notes.parent.iterdir()) == [notes]


def test_the_best_epoch_is_kept_and_patience_ends_the_run(config: TrainConfig) -> None:
    noted = Noted()
    config = replace(config, epochs=40, patience=2, lr=0.3, warmup=0.0)
    result = train(config, watcher=noted)
    best = max(noted.rows, key=lambda row: (row.val_accuracy, -row.val_loss))
    assert result.best == best
    assert len(result.history) == best.epoch + 2 < 40
    assert result.evaluation.accuracy == best.val_accuracy
    assert result.evaluation.loss == pytest.approx(best.val_loss, rel=1e-3)


def test_the_way_on_can_be_pasted_into_a_shell() -> None:
    said = str(Interrupted(Path("runs/my run")))
    assert shlex.split(said.split(": ")[1]) == ["edgecat", "train", "--resume", "runs/my run"]


def test_broken_pictures_are_named_once(config: TrainConfig, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    shutil.copytree(config.data[0], pictures)
    for i in range(3):
        (pictures / "cat" / f"torn{i}.jpg").write_bytes(b"\xff\xd8\xff torn")
    noted = Noted()
    result = train(replace(config, data=(str(pictures),), epochs=2), watcher=noted)
    assert len(result.skipped) == len(noted.sentences) == 3
    assert all("torn" in sentence for sentence in noted.sentences)


@pytest.mark.parametrize(
    ("count", "torn", "sentence"),
    [
        (2, False, None),
        (1, False, "no training images left"),
        (4, True, "class 'cat' has no usable training images: none of 3 can be decoded"),
    ],
)
def test_few_pictures(
    config: TrainConfig,
    draw_stripes: Callable[..., Path],
    tmp_path: Path,
    count: int,
    torn: bool,
    sentence: str | None,
) -> None:
    pictures = draw_stripes(tmp_path / "few", count)
    if torn:
        for path in pictures.glob("*/*"):
            path.write_text("torn")
    config = replace(config, data=(str(pictures),), epochs=1)
    if sentence is None:
        assert train(config).evaluation.n == 2
        return
    with pytest.raises(UserError, match=sentence):
        train(config)


def test_a_diverged_loss_says_so(config: TrainConfig) -> None:
    with pytest.raises(UserError, match="diverged. Start again with a lower --lr than 100"):
        train(replace(config, lr=100.0, warmup=0.0, batch_norm=False, epochs=5))


def test_a_full_disk_leaves_the_last_good_checkpoint(config: TrainConfig, full_disk: Path) -> None:
    class Filled(Watcher):
        def epoch_finished(self, row: Epoch, *, best: bool) -> None:
            left = shutil.disk_usage(full_disk).free
            (full_disk / f"filler{row.epoch}").write_bytes(bytes(max(left - 20_000, 0)))

    with pytest.raises(UserError, match=r"cannot write .*the disk is full"):
        train(replace(config, output=str(full_disk), width=0.02), watcher=Filled())
    folder = full_disk / "run"
    with Classifier.open(folder / "vgg16.safetensors") as classifier:
        assert classifier.card.accuracy is not None
    for path in full_disk.glob("filler*"):
        path.unlink()
    train(read_config(folder), resume=folder)
    assert {path.name for path in folder.iterdir()} == FILES


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": 31}, "--size is 31; expected 32 to 1024"),
        ({"lr": float("nan")}, "--lr is nan"),
        ({"epochs": 0}, "--epochs is 0; expected 1 to"),
        ({"batch_size": 1}, "--batch-size is 1; expected 2 to"),
        ({"optimizer": "sgdm"}, "optimizer is 'sgdm'; expected one of gd, sgd, momentum, nag"),
        ({"head": "none"}, "head is 'none'; expected one of dense, gap"),
        ({"name": "a/b"}, "expected a plain name"),
        ({"threads": 0}, "--threads is 0"),
    ],
)
def test_options_out_of_range(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        TrainConfig(data=("x",), **options)


@pytest.mark.parametrize(
    ("option", "least", "most"),
    [
        ("size", 32, 1024),
        ("epochs", 1, 100_000),
        ("batch_size", 2, 65_536),
        ("accumulate", 1, 65_536),
        ("dropout", 0, 0.95),
        ("weight_decay", 0, 10),
        ("warmup", 0, 1),
        ("label_smoothing", 0, 0.9),
        ("ema", 0, 0.99999),
        ("erase", 0, 1),
        ("teacher_weight", 0, 1),
        ("lr_decay", 0.01, 1),
        ("seed", 0, 2**32 - 1),
        ("patience", 1, 100_000),
    ],
)
def test_options_accept_their_limits_and_nothing_beyond(
    option: str, least: float, most: float
) -> None:
    step = 1 if isinstance(most, int) and most > 10 else 1e-3
    for value in (least, most):
        assert getattr(TrainConfig(data=("x",), **{option: value}), option) == value
    for value in (least - step, most + step):
        with pytest.raises(UserError, match=f"--{option.replace('_', '-')} is {value}; expected"):
            TrainConfig(data=("x",), **{option: value})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"freeze": "2"}, "--freeze keeps initial weights. Give --weights"),
        ({"unfreeze_at": 3}, "--unfreeze-at needs frozen stages. Add --freeze features"),
        ({"progressive": "31:2"}, "--progressive is '31:2'; expected sizes from 32 to 1024"),
        ({"progressive": "64:0"}, "--progressive is '64:0'"),
    ],
)
def test_options_that_depend_on_others(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        TrainConfig(data=("x",), **options)


def test_size_and_frozen_stages_of_each_epoch() -> None:
    config = TrainConfig(
        data=("x",), progressive="32:2,64:1,1024:1", weights="w.pth", freeze="3", unfreeze_at=3
    )
    assert [config.size_at(epoch) for epoch in range(6)] == [32, 32, 64, 1024, 1024, 1024]
    assert [config.frozen_at(epoch) for epoch in range(4)] == ["3", "3", "0", "0"]
    still = TrainConfig(data=("x",), size=48, weights="w.pth", freeze="3")
    assert (still.size_at(7), still.frozen_at(7)) == (48, "3")
    assert TrainConfig(data=("x",), lr=0.5).peak_rate == 0.5


def test_a_run_keeps_the_rules_it_was_started_with(config: TrainConfig) -> None:
    assert config.version == 2
    values = json.loads(config.to_json())
    assert values.pop("version") == 2
    old = TrainConfig.from_json(json.dumps(values), "config.json")
    assert old == replace(config, version=1)
    with pytest.raises(UserError, match="was written by a newer edgecat. Upgrade edgecat"):
        TrainConfig.from_json(json.dumps({**values, "version": 3}), "config.json")


def test_a_run_of_version_1_is_resumed_bit_for_bit(config: TrainConfig) -> None:
    """From a folder as an older edgecat left it: without a version in its configuration."""
    config = replace(config, epochs=2, version=1)
    whole = train(replace(config, name="whole"))
    with pytest.raises(Interrupted):
        train(config, watcher=InterruptedAt(7))
    path = Path(config.output) / config.name / "config.json"
    values = json.loads(path.read_text())
    del values["version"]
    path.write_text(json.dumps(values))
    _same(train(read_config(path.parent), resume=path.parent).folder, whole.folder)
    new = train(replace(config, name="new", version=2))
    assert new.checkpoint.read_bytes() != whole.checkpoint.read_bytes()


def test_the_configuration_survives_its_file(config: TrainConfig) -> None:
    assert TrainConfig.from_json(config.to_json(), "config.json") == config


def test_a_state_knows_how_long_it_is_stale() -> None:
    state = RunState("digest")
    for number, accuracy in enumerate((0.5, 0.7, 0.6, 0.7), 1):
        better = state.next_epoch(Epoch(number, 0.1, 1.0, 0.5, 1.0, accuracy, 1.0, 1.0))
        assert better is (number <= 2)
    assert (state.epoch, state.stale_for(), state.best) == (4, 2, state.history[1])


def test_results_name_their_parts(config: TrainConfig) -> None:
    result = train(replace(config, epochs=1, name=""))
    assert isinstance(result, TrainResult)
    assert result.folder.name.startswith("vgg16-20")
    assert result.checkpoint == result.folder / "vgg16.safetensors"
