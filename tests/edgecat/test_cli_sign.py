"""`edgecat key`, `edgecat sign` and `--trust`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from edgecat.cli.options.trust import TRUSTING
from edgecat.pets.synthetic import draw_pet
from edgecat_runtime.model.artifact import read_stored
from edgecat_runtime.model.trust import VARIABLE

pytest.importorskip("cryptography", reason="needs cryptography: pip install 'edgecat[sign]'")


@pytest.fixture
def signed(tmp_path: Path, cli: Callable, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a signed and an unsigned model, two keys and an image; the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    shutil.copy(tiny_onnx, "unsigned.onnx")
    shutil.copy(tiny_onnx, "model.onnx")
    cv2.imwrite("cat.png", draw_pet(1, 0, 64)[0])
    assert cli("key", "new", "ours", "--name", "us").code == 0
    assert cli("key", "new", "theirs").code == 0
    ran = cli("sign", "model.onnx", "--key", "ours")
    assert ran.out.startswith("model.onnx  signed by us (SHA256:")
    return tmp_path


def test_every_command_that_opens_a_model_refuses_an_unsigned_one(
    signed: Path, cli: Callable
) -> None:
    tried = {
        "benchmark": ["unsigned.onnx"],
        "camera": ["--source", "cat.png", "--model", "unsigned.onnx"],
        "classify": ["cat.png", "--model", "unsigned.onnx"],
        "evaluate": ["unsigned.onnx", "."],
        "export": ["unsigned.onnx", "--precision", "fp16"],
        "inspect": ["unsigned.onnx"],
        "predict": ["cat.png", "--model", "unsigned.onnx"],
        "verify": ["unsigned.onnx", "model.onnx"],
    }
    for command, arguments in tried.items():
        ran = cli(command, *arguments, "--trust", "ours.pub")
        assert (ran.code, "unsigned.onnx is not signed" in ran.err) == (3, True), (command, ran)
    assert set(tried) <= TRUSTING


def test_trusted_models_are_served_and_those_of_others_are_not(signed: Path, cli: Callable) -> None:
    assert cli("classify", "cat.png", "--model", "model.onnx", "--trust", "ours.pub").code == 0
    ran = cli("classify", "cat.png", "--model", "model.onnx", "--trust", "theirs.pub")
    assert ran.code == 3
    assert "expected a key in theirs.pub" in ran.err
    assert cli("classify", "cat.png", "--model", "unsigned.onnx").code == 0, "trust outlives it"


def test_an_export_signs_what_it_writes(signed: Path, cli: Callable) -> None:
    command = ["export", "model.onnx", "--precision", "fp16", "--trust", "ours.pub"]
    assert cli(*command, "--output", "small.onnx", "--sign", "ours").code == 0
    assert cli("inspect", "small.onnx", "--trust", "ours.pub").code == 0
    assert cli(*command, "--output", "plain.onnx").code == 0, "its own output is not refused"
    assert read_stored(Path("plain.onnx")).signature is None


def test_inspect_and_key_show_name_the_key(signed: Path, cli: Callable) -> None:
    shown = json.loads(cli("key", "show", "ours.pub", "--json").out)
    assert len(shown["keys"]) == 1
    assert shown == json.loads(cli("key", "show", "ours", "--json").out)
    fingerprint = cli("key", "show", "ours.pub").out.splitlines()[1].strip()
    assert f"signed by     {fingerprint}" in cli("inspect", "model.onnx").out
    assert "signed by     -" in cli("inspect", "unsigned.onnx").out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["sign", "model.onnx", "--key", "none"], 1, "cannot read the key none"),
        (["sign", "model.onnx", "--key", "cat.png"], 1, "is not a private key"),
        (["sign", "cat.png", "--key", "ours"], 1, "cat.png is not a model"),
        (["sign", "model.onnx"], 2, "--key"),
        (["sign", "model.onnx", "--key", "ours", "--output", "m.trt"], 1, "does not end in .onnx"),
        (["sign", *["model.onnx"] * 2, "--key", "ours", "--output", "m.onnx"], 1, "one model"),
        (["key", "new", "ours"], 1, "ours exists; a key is never overwritten"),
        (["inspect", "model.onnx", "--trust", "none"], 1, "cannot read the trusted keys none"),
    ],
)
def test_a_mistake_is_a_sentence(
    signed: Path, cli: Callable, arguments: list[str], code: int, said: str
) -> None:
    before = (signed / "model.onnx").read_bytes()
    ran = cli(*arguments)
    assert (ran.code, said in ran.err) == (code, True), ran
    assert (signed / "model.onnx").read_bytes() == before
