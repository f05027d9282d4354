"""What a refusal says: by how much, whether the file is intact, and what to use in its place."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgecat_runtime import Classifier, GateError, read_card
from edgecat_runtime.backends import base, register_backend
from edgecat_runtime.backends.refusal import WrongAnswer, advice
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.system import machine

HASHED = ModelCard(
    architecture="vgg16", labels=("cat", "dog"), height=32, width=32, payload_sha256="1" * 64
)


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the processor have the given flags."""

    def set_flags(flags: str) -> None:
        (tmp_path / "proc").mkdir(exist_ok=True)
        text = f"model name\t: Some CPU\nflags\t: {flags}\n"
        (tmp_path / "proc/cpuinfo").write_text(text)
        monkeypatch.setattr(machine, "ROOT", tmp_path)
        monkeypatch.setattr(sys, "platform", "linux")

    return set_flags


@pytest.mark.parametrize(
    ("precision", "flags", "here", "form"),
    [
        (
            "int8",
            "sse2 avx2",
            "(Some CPU; int8 path: avx2, which saturates where weights use all 8 bits)",
            "or the fp16 or fp32 version, or export it",
        ),
        ("int8", "sse2 avx2 avx_vnni", "(Some CPU; int8 path: vnni)", "the fp16 or fp32 version"),
        ("fp16", "sse2 avx2", "(Some CPU)", "or the fp32 version, or export"),
        ("fp32", "sse2 avx2", "(Some CPU)", "openvino, opencv), or export it again with edgecat"),
    ],
)
def test_a_refusal_says_what_is_known(
    tmp_path: Path,
    make_tiny: Callable[..., bytes],
    tiny_card: ModelCard,
    processor: Callable[[str], None],
    precision: str,
    flags: str,
    here: str,
    form: str,
) -> None:
    pytest.importorskip("openvino")
    path = tmp_path / "wrong.onnx"
    path.write_bytes(make_tiny(negate=True, card=replace(tiny_card, precision=precision)))  # type: ignore[arg-type]
    processor(flags)
    with pytest.raises(WrongAnswer) as refused:
        Classifier.open(path, backend="onnxruntime")
    sentence = str(refused.value)
    assert refused.value.exit_code == GateError.exit_code == 3
    assert f"{path} on onnxruntime: logits of the golden frames differ by " in sentence
    known = f"either it is computed differently on this processor {here}, or it was wrong when it"
    assert "The file is intact (its hash matches): " in sentence
    assert known in sentence
    assert "Use another backend (openvino, opencv)" in sentence
    assert form in sentence
    assert "damaged" not in sentence
    assert "of their spread (limit" in refused.value.reason


def test_what_has_no_hash_may_be_damaged(tmp_path: Path, tiny_onnx: Path) -> None:
    """An engine, which no other machine can check, and a model that comes from no file."""
    with Classifier.open(tiny_onnx) as classifier:
        golden = tuple(tuple(-value for value in row) for row in classifier.card.golden)
        classifier.card = replace(classifier.card, golden=golden, payload_sha256="")
        with pytest.raises(WrongAnswer) as refused:
            classifier.self_test("vgg16.trt")
    sentence = str(refused.value)
    assert "It has no hash to verify: it is damaged, foreign, badly built, or" in sentence
    assert "intact" not in sentence
    assert sentence.endswith("Export it again with edgecat 0.1.0 or later")


@pytest.mark.parametrize(
    ("models", "devices", "said"),
    [
        ([("a.onnx", HASHED)], {"cuda"}, "computed differently on this machine's cuda, or"),
        ([("a.onnx", HASHED)], {"cuda", "cpu"}, "on this machine's cpu and cuda, or"),
        ([("a.safetensors", HASHED)], {"cpu"}, "written. Train it again with edgecat"),
        ([("a.onnx", HASHED)] * 2, {"cpu"}, "The file is intact (its hash matches): either"),
        (
            [("a.onnx", replace(HASHED, precision="int8")), ("b.onnx", HASHED)],
            {"cpu"},
            "The files are intact (their hashes match): either",
        ),
        (
            [(f"{p}.onnx", replace(HASHED, precision=p)) for p in ("int8", "fp16")],  # type: ignore[arg-type]
            {"cpu"},
            "written. Use the fp32 version, or export it again",
        ),
    ],
)
def test_the_advice_is_of_what_was_tried(
    models: list[tuple[str, ModelCard]], devices: set[str], said: str
) -> None:
    assert said in advice([(Path(name), card) for name, card in models], devices)


def test_auto_refused_by_all_gives_the_advice_once(
    tmp_path: Path,
    make_tiny: Callable[..., bytes],
    tiny_card: ModelCard,
    processor: Callable[[str], None],
) -> None:
    path = tmp_path / "wrong.onnx"
    path.write_bytes(make_tiny(negate=True, card=replace(tiny_card, precision="int8")))
    processor("sse2 avx2")
    with pytest.raises(GateError) as refused:
        Classifier.open(path)
    sentence = str(refused.value)
    for name in base.available_backends(path):
        assert (
            f"wrong.onnx with {name} on cpu rejected: logits of the golden frames differ by"
            in sentence
        )
    assert sentence.count("The file is intact") == sentence.count("int8 path: avx2") == 1
    assert "another backend" not in sentence


def test_only_backends_that_open_it_are_advised(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = read_card(tiny_onnx).golden

    class Wrong:
        name = "wrong"

        def infer(self, frames):  # type: ignore[no-untyped-def]
            import numpy as np

            return -np.asarray(golden, np.float32)[: len(frames)]

        def close(self) -> None:
            pass

    monkeypatch.setattr(base, "_REGISTRY", {})
    register_backend("wrong", (".onnx",), "numpy", lambda *given: Wrong())
    register_backend("absent", (".onnx",), "no_such_library", lambda *given: Wrong())
    with pytest.raises(WrongAnswer, match=r"written\. Export it again with edgecat"):
        Classifier.open(tiny_onnx)


def test_a_refusal_can_be_copied() -> None:
    error = WrongAnswer("it is wrong. Export it", "by much")
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(other), other.reason) == (str(error), "by much")
