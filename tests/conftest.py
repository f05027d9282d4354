"""Fixtures that several houses' tests share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecat_runtime.model.artifact import seal_onnx
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.golden import golden_frames, golden_rows, preprocess_fingerprint

os.environ.setdefault("COLUMNS", "120")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # `make test &`: children would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)
SIZE = 32


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what is fetched and measured, here and in children, out of the user's own cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECAT_CACHE", str(folder))
        yield folder


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run `edgecat ARGS...` in this process."""

    def run(*arguments: object) -> Ran:
        from edgecat.cli import main

        monkeypatch.setattr(sys, "argv", ["edgecat", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
            raise SystemExit(0)
        captured = capsys.readouterr()
        code = exit_.value.code
        return Ran(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB; mounting one needs root."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here (not root)")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for all tests; each opens pages of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="it leads the browser")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no chromium on this machine")
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def photos() -> Path:
    """The folder with `train-*.tar` and `test.tar`, named by EDGECAT_PHOTOS."""
    folder = os.environ.get("EDGECAT_PHOTOS", "")
    if not folder:
        pytest.skip("EDGECAT_PHOTOS is unset: it names the folder with train-*.tar and test.tar")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_card() -> ModelCard:
    """The card of `tiny_onnx`, before sealing."""
    return ModelCard(
        architecture="tiny",
        labels=("cat", "dog"),
        height=SIZE,
        width=SIZE,
        preprocess_golden=preprocess_fingerprint(SIZE, SIZE, "crop"),
    )


@pytest.fixture(scope="session")
def make_tiny(tiny_card: ModelCard) -> Callable[..., bytes]:
    """Make the bytes of a small sealed classifier: a convolution, a ReLU, a mean and a dense layer.

    `make_tiny(negate=True)` negates the convolution but keeps the golden logits of the original.
    """

    def make(*, negate: bool = False, card: ModelCard = tiny_card) -> bytes:
        good = _payload(card, negate=False)
        card = replace(card, golden=golden_rows(_answer(good, card)))
        return seal_onnx(_payload(card, negate=True) if negate else good, card)

    return make


@pytest.fixture(scope="session")
def tiny_onnx(make_tiny: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a small sealed ONNX classifier, 32 x 32, labels cat and dog."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    path.write_bytes(make_tiny())
    return path


def _payload(card: ModelCard, *, negate: bool) -> bytes:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    kernel = rng.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32)
    constants = {
        "scale": np.float32(1 / 255),
        "kernel": -kernel if negate else kernel,
        "dense": rng.normal(0, 1, (card.classes, 8)).astype(np.float32),
        "bias": np.zeros(card.classes, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["frames"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["nchw", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "kernel"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense", "bias"], ["logits"], transB=1),
    ]
    shape = ["batch", card.height, card.width, 3]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", card.classes])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _answer(payload: bytes, card: ModelCard) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(payload, providers=["CPUExecutionProvider"])
    return session.run(None, {"frames": golden_frames(card.height, card.width)})[0]


@pytest.fixture(scope="session")
def in_threads() -> Callable[[int, Callable[[int], None]], None]:
    """`in_threads(count, work)` runs work(0), work(1), ... at once; what one raises is raised."""

    def start(count: int, work: Callable[[int], None]) -> None:
        raised: list[BaseException] = []

        def run(number: int) -> None:
            try:
                work(number)
            except BaseException as error:
                raised.append(error)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        if raised:
            raise raised[0]

    return start
