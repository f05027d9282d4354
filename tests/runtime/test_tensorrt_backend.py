"""The TensorRT backend as far as it goes without a GPU; tests/gpu runs engines."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgecat_runtime import Classifier, DeviceError, ModelCard
from edgecat_runtime.backends.tensorrt import EngineMismatch, _deserialised, here, mismatch
from edgecat_runtime.errors import BackendMissing, EdgecatError, UserError
from edgecat_runtime.model.engine_card import card_in_plan
from edgecat_runtime.nvidia.cuda import Gpu, open_gpu
from edgecat_runtime.nvidia.tensorrt import KINDS, TensorRT, kind_of, plainly, tensorrt

ORIN = Gpu(0, "Orin", 87)


def engine(path: Path, card: ModelCard) -> Path:
    """A file that carries a card as an engine does, and is none."""
    path.write_bytes(b"plan\0" + card.to_json().encode() + b"\0weights")
    return path


@pytest.fixture
def rtx() -> None:
    pytest.importorskip(
        "tensorrt_rtx_bindings", reason="needs TensorRT-RTX: pip install '.[tensorrt-rtx]'"
    )
    pytest.importorskip("cuda.bindings", reason="needs cuda-bindings")


def test_importing_the_backend_imports_neither_tensorrt_nor_cuda() -> None:
    code = (
        "import sys; import edgecat_runtime.backends.tensorrt, edgecat_runtime.model.engine_card; "
        "print([m for m in sys.modules if m.startswith(('tensorrt', 'cuda'))])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.usefixtures("rtx")
def test_no_gpu_is_one_sentence_and_a_device_error(tiny_card: ModelCard, tmp_path: Path) -> None:
    try:
        open_gpu()
    except DeviceError:
        pass
    else:
        pytest.skip("there is a GPU here")
    with pytest.raises(DeviceError, match="no NVIDIA") as caught:
        Classifier.open(engine(tmp_path / "tiny.rtx", tiny_card))
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_a_missing_tensorrt_is_named(tiny_card: ModelCard, tmp_path: Path) -> None:
    try:
        tensorrt("tensorrt")
    except BackendMissing:
        with pytest.raises(BackendMissing, match="TensorRT is not installed: on a Jetson"):
            Classifier.open(engine(tmp_path / "tiny.trt", tiny_card))
    else:
        pytest.skip("TensorRT is installed")


def test_an_unknown_flavour() -> None:
    with pytest.raises(UserError, match="expected one of tensorrt, tensorrt_rtx"):
        kind_of("tensorflow")


@pytest.mark.usefixtures("rtx")
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"tensorrt-rtx": "1.2.0"},
            "built with TensorRT-RTX 1.2.0; this machine has TensorRT-RTX 1.",
        ),
        ({"gpu": "Thor (sm_110)"}, "built with Thor (sm_110); this machine has Orin (sm_87)"),
        ({"platform": "Windows AMD64"}, "built with Windows AMD64; this machine has "),
        ({}, "was rejected by TensorRT-RTX "),
    ],
)
def test_a_refused_engine_names_both_sides_and_the_command(
    changed: dict[str, str], said: str, tiny_card: ModelCard, tmp_path: Path
) -> None:
    api = tensorrt("tensorrt_rtx")
    tools = {**here(api, ORIN), "source": "tiny fp16.onnx", **changed}
    path = tmp_path / "tiny.rtx"
    error = mismatch(path, replace(tiny_card, tools=tools), api, ORIN, "bad plan")
    assert isinstance(error, EngineMismatch)
    assert said in str(error)
    command = str(error).partition("Rebuild it here: ")[2]
    source = tmp_path / "tiny fp16.onnx"
    assert shlex.split(command)[2:] == [str(source), "--to", "trt-rtx", "--output", str(path)]
    assert error.source is None
    source.touch()
    assert mismatch(path, replace(tiny_card, tools=tools), api, ORIN, "").source == source


@pytest.mark.usefixtures("rtx")
def test_a_gpu_that_is_not_served_is_sent_to_the_onnx_file(
    tiny_card: ModelCard, tmp_path: Path
) -> None:
    """TensorRT-RTX, which deserialises nothing without a GPU, is the real one."""
    api = tensorrt("tensorrt_rtx")
    assert {86, 89, 120} <= set(api.served)
    card = replace(tiny_card, tools={"source": "tiny.fp16.onnx"})
    path = engine(tmp_path / "tiny.rtx", card)
    with pytest.raises(DeviceError, match=r"NVIDIA H100 \(sm_90\) is not served by") as caught:
        _deserialised(path, card, api, Gpu(0, "NVIDIA H100", 90))
    assert str(caught.value).endswith(str(tmp_path / "tiny.fp16.onnx"))
    assert "ebuild" not in str(caught.value)
    assert "8.6, 8.9" in str(caught.value)
    with pytest.raises(EngineMismatch, match="Rebuild it here"):
        _deserialised(path, card, api, Gpu(0, "NVIDIA GeForce RTX 4090", 89))


def test_what_tensorrt_rtx_says_of_a_plan_counts_before_its_log(
    tiny_card: ModelCard, tmp_path: Path
) -> None:
    """Where it names the compute capability itself, no list is asked."""
    runtime = SimpleNamespace(
        deserialize_cuda_engine=lambda plan: None,
        get_engine_validity=lambda plan: ("INVALID", 2),
    )
    causes = {"VERSION_MISMATCH": 1, "UNSUPPORTED_CC": 2}
    trt = SimpleNamespace(
        __version__="9",
        ILogger=type(
            "ILogger", (), {"Severity": SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2)}
        ),
        Runtime=lambda logger: runtime,
        EngineInvalidityDiagnostics=SimpleNamespace(__members__=causes),
    )
    path = engine(tmp_path / "tiny.rtx", tiny_card)
    with pytest.raises(DeviceError, match=r"Orin \(sm_87\) is not served by TensorRT-RTX 9. Use"):
        _deserialised(path, tiny_card, TensorRT(KINDS["tensorrt_rtx"], trt), ORIN)


@pytest.mark.parametrize(
    ("words", "plain"),
    [
        (
            "ITensor::f: Error Code 4: API Usage Error (tr: bad type. In g at /_src/a.cpp:4)",
            "tr: bad type",
        ),
        ("Assertion failed: no shape.", "no shape"),
        (
            "Invalid Node - x\nA::b: Error Code 4: X (why. In f at /a.cpp:1)\n[catchCudaError] y",
            "why",
        ),
        ("", ""),
    ],
)
def test_plain_words(words: str, plain: str) -> None:
    assert plainly(words) == plain


@pytest.mark.parametrize("before", [0, 612, 1 << 22])
def test_the_card_is_found_wherever_it_lies(before: int, tiny_card: ModelCard) -> None:
    plan = bytes(before) + tiny_card.to_json().encode() + b'{"architecture":"' + bytes(9)
    assert card_in_plan(plan) == tiny_card
    assert card_in_plan(bytes(before)) is None


def test_kinds_are_told_apart_by_their_files() -> None:
    assert {kind.suffix for kind in KINDS.values()} == {".trt", ".rtx"}
    assert issubclass(EngineMismatch, EdgecatError)


def test_an_engine_full_of_beginnings_of_cards_is_searched_once(tiny_card: ModelCard) -> None:
    """8 MB of them took half a minute while each began a search of its own."""
    beginnings = b'{"architecture":' * (1 << 19)
    ends = b',"digest":"' + b"0" * 64 + b'"}'
    assert card_in_plan(beginnings) is None
    assert card_in_plan(ends * (1 << 16)) is None
    assert card_in_plan(beginnings + tiny_card.to_json().encode()) == tiny_card
