"""Everything that runs an engine: skipped, with the reason, where none can."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecat_export.engine.builder import EngineOptions
from edgecat_export.engine.export import engine_from_onnx, export_engine, save_engine
from edgecat_runtime import Classifier, GateError, ModelCard, read_card
from edgecat_runtime.backends.tensorrt import EngineMismatch, TensorRTBackend
from edgecat_runtime.errors import EdgecatError, UserError
from edgecat_runtime.nvidia.cuda import open_gpu
from edgecat_runtime.nvidia.tensorrt import KINDS, Flavour, tensorrt

CYCLES = 10_000


@pytest.fixture(scope="module", params=list(KINDS))
def flavour(request: pytest.FixtureRequest) -> Flavour:
    try:
        tensorrt(request.param)
        open_gpu()
    except EdgecatError as error:
        pytest.skip(str(error))
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def engine(flavour: Flavour, tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engine") / f"tiny{KINDS[flavour].suffix}"
    options = EngineOptions(max_batch=4)
    report = export_engine(tiny_onnx, path, flavour=flavour, options=options)
    if report.engine is None:
        pytest.skip(report.unrun)
    return path


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def backend(path: Path) -> TensorRTBackend:
    flavour: Flavour = "tensorrt" if path.suffix == ".trt" else "tensorrt_rtx"
    return TensorRTBackend(path, read_card(path), flavour=flavour)


def test_the_engine_is_served_and_keeps_its_card(engine: Path) -> None:
    with Classifier.open(engine) as classifier:
        assert classifier.backend in ("tensorrt", "tensorrt-rtx")
        assert classifier.labels == ("cat", "dog")


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 11])
def test_batches_of_any_size_answer_as_the_graph_does(
    count: int, engine: Path, tiny_onnx: Path
) -> None:
    with Classifier.open(tiny_onnx, backend="onnxruntime", device="cpu") as reference:
        expected = reference.infer(frames(count)) if count else np.empty((0, 2), np.float32)
    run = backend(engine)
    for _ in range(5):  # queued at first, then replayed as a graph
        np.testing.assert_allclose(run.infer(frames(count)), expected, rtol=0, atol=1e-4)
    run.close()
    run.close()


def test_a_graph_is_replayed_and_follows_a_change_of_size(engine: Path) -> None:
    run = backend(engine)
    first, second = frames(1), frames(2)
    once = run.infer(first)
    for _ in range(4):
        np.testing.assert_array_equal(run.infer(first), once)
    assert run._graph is not None
    twice = run.infer(second)
    assert run._graph is None
    np.testing.assert_array_equal(run.infer(second), twice)
    np.testing.assert_array_equal(run.infer(first), once)
    assert run.gpu_ms > 0
    run.close()


def test_another_thread_may_infer(engine: Path) -> None:
    run, answers = backend(engine), []
    worker = threading.Thread(target=lambda: answers.append(run.infer(frames(1))))
    worker.start()
    worker.join()
    np.testing.assert_array_equal(answers[0], run.infer(frames(1)))
    run.close()


@pytest.mark.parametrize("wrong", [np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 32, 32, 3))])
def test_wrong_frames(wrong: np.ndarray, engine: Path) -> None:
    run = backend(engine)
    with pytest.raises(UserError, match="expected uint8"):
        run.infer(wrong)
    run.close()


def test_a_smaller_batch_than_the_smallest_is_padded(
    flavour: Flavour, engine: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    path = tmp_path / engine.name
    options = EngineOptions(min_batch=2, opt_batch=2, max_batch=4)
    save_engine(engine_from_onnx(tiny_onnx, flavour=flavour, options=options), path)
    padded, plain = backend(path), backend(engine)
    np.testing.assert_allclose(padded.infer(frames(1)), plain.infer(frames(1)), atol=1e-4)
    padded.close()
    plain.close()


def test_an_engine_that_answers_differently_is_not_served(
    flavour: Flavour, engine: Path, make_tiny: Callable[..., bytes], tmp_path: Path
) -> None:
    source, path = tmp_path / "wrong.onnx", tmp_path / engine.name
    source.write_bytes(make_tiny(negate=True))
    save_engine(engine_from_onnx(source, flavour=flavour), path)
    with pytest.raises(GateError, match="golden frames"):
        Classifier.open(path)


def test_a_damaged_engine_is_one_sentence(engine: Path, tmp_path: Path) -> None:
    path = tmp_path / engine.name
    path.write_bytes(engine.read_bytes()[: engine.stat().st_size // 2])
    with pytest.raises(EngineMismatch, match="Rebuild it here: edgecat export"):
        Classifier.open(path)


def test_a_version_compatible_engine_runs(
    flavour: Flavour, engine: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    options = EngineOptions(version_compatible=True)
    report = export_engine(tiny_onnx, tmp_path / engine.name, flavour=flavour, options=options)
    assert report.engine is not None, report.unrun


def test_another_card_is_refused(engine: Path) -> None:
    card: ModelCard = replace(read_card(engine), labels=("a", "b", "c"))
    flavour: Flavour = "tensorrt" if engine.suffix == ".trt" else "tensorrt_rtx"
    with pytest.raises(EdgecatError, match="its card expects"):
        TensorRTBackend(engine, card, flavour=flavour)


@pytest.mark.timeout(3600)
def test_ten_thousand_cycles_are_flat_in_memory(engine: Path) -> None:
    """`EDGECAT_CYCLES` runs fewer of them."""
    cycles = int(os.environ.get("EDGECAT_CYCLES", CYCLES))
    gpu, one = open_gpu(), frames(1)

    def cycle(count: int) -> tuple[int, int]:
        for _ in range(count):
            run = backend(engine)
            run.infer(one)
            run.close()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return gpu.free_memory(), pages * os.sysconf("SC_PAGE_SIZE")

    free, resident = cycle(cycles // 20 + 1)
    free_after, resident_after = cycle(cycles)
    assert free - free_after < 16 << 20
    assert resident_after - resident < 32 << 20
