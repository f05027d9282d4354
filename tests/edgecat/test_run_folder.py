"""A run's folder: one process at a time, whole from the start, and no bit of its state changes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from edgecat.training.config import TrainConfig
from edgecat.training.lock import locked
from edgecat.training.loop import train
from edgecat.training.run_folder import new_folder, new_run, read_config
from edgecat.training.state import RunState, load_state, save_state
from edgecat.training.watcher import Watcher
from edgecat_runtime import UserError


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_resume_is_refused_and_changes_nothing(config: TrainConfig) -> None:
    folder = new_run(config)
    before = _files(folder)
    with (
        locked(folder),
        pytest.raises(UserError, match="another process is training .*run; expected"),
    ):
        train(read_config(folder), resume=folder)
    assert _files(folder) == before


def test_a_run_holds_its_lock_until_it_ends(config: TrainConfig) -> None:
    class Second(Watcher):
        refused = 0

        def stepped(self, images: int, loss: Callable[[], float]) -> None:
            with pytest.raises(UserError, match="another process"), locked(folder):
                pass
            self.refused += 1

    folder = Path(config.output) / config.name
    second = Second()
    train(replace(config, epochs=1), watcher=second)
    assert second.refused > 0
    with locked(folder):
        pass
    assert not [path for path in folder.iterdir() if "lock" in path.name]


def test_the_lock_of_a_killed_process_is_no_obstacle(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from edgecat.training.lock import locked\n"
        "with locked(Path(sys.argv[1])):\n print('held', flush=True); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another process"), locked(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
    with locked(tmp_path):
        pass


def test_a_folder_without_a_lock_is_used_all_the_same(tmp_path: Path) -> None:
    with locked(tmp_path / "missing"):
        pass


def test_a_new_run_can_be_resumed_from_its_first_moment(config: TrainConfig) -> None:
    """As `kill -9` leaves it before the first state: a folder with its configuration."""
    folder = new_run(config)
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert read_config(folder) == config
    assert train(replace(read_config(folder), epochs=1), resume=folder).folder == folder


def test_an_empty_folder_is_taken_and_a_used_one_is_not(config: TrainConfig) -> None:
    folder = Path(config.output) / config.name
    folder.mkdir(parents=True)
    assert new_folder(config) == folder
    assert new_run(config) == folder
    for again in (new_folder, new_run):
        with pytest.raises(UserError, match="run exists. Choose another --name, or continue it"):
            again(config)
    assert [path.name for path in folder.parent.iterdir()] == [config.name]


def _saved(path: Path) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    device = torch.device("cpu")
    state = RunState("digest", skipped=['"edgecat.sha256":"' + "0" * 64])
    save_state(path, state, {"model": model}, optimizer, GradScaler("cpu"), device=device)
    return model, optimizer


def test_every_flipped_bit_of_a_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "resume.state"
    model, optimizer = _saved(path)

    def load() -> RunState:
        scaler, device = GradScaler("cpu"), torch.device("cpu")
        return load_state(path, {"model": model}, optimizer, scaler, device=device)

    whole = path.read_bytes()
    assert load().pictures == "digest"
    places = range(len(whole)) if len(whole) < 3000 else [*range(1500), *range(1500, len(whole), 7)]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="is damaged|is not a state of this run"):
            load()
    path.write_bytes(whole)
    assert load().pictures == "digest"


def test_a_state_of_an_earlier_release_is_resumed(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = tmp_path / "resume.state"
    model, optimizer = _saved(path)
    with safe_open(path, "pt") as file:
        text = file.metadata()["edgecat.run"]
    save_file(load_file(path), path, {"edgecat.run": text})
    scaler, device = GradScaler("cpu"), torch.device("cpu")
    loaded = load_state(path, {"model": model}, optimizer, scaler, device=device)
    assert loaded.pictures == "digest"


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_class_that_cannot_be_decoded_is_named(
    config: TrainConfig, draw_stripes: Callable[..., Path], tmp_path: Path, split: str
) -> None:
    data = tmp_path / "data"
    for part in ("train", "val"):
        draw_stripes(data / part, 4)
    for path in (data / split / "dog").iterdir():
        path.write_text("<html>404</html>")
    role = {"train": "training", "val": "validation"}[split]
    with pytest.raises(UserError, match=f"class 'dog' has no usable {role} images: none of 4 can"):
        train(replace(config, data=(str(data),)))
    assert not Path(config.output).exists()


def test_a_class_that_is_missing_in_val_is_named(
    config: TrainConfig, draw_stripes: Callable[..., Path], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for part in ("train", "val"):
        draw_stripes(data / part, 4)
    for path in (data / "val" / "cat").iterdir():
        path.unlink()
    (data / "val" / "cat").rmdir()
    with pytest.raises(UserError, match="class 'cat' has no usable validation images: there are"):
        train(replace(config, data=(str(data),)))
