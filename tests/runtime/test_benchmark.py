from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

from edgecat_runtime import BackendMissing, Classifier, DeviceError, GateError
from edgecat_runtime.backends import Backend, BackendEntry, backend_entries
from edgecat_runtime.benchmark.measuring import ROUNDS, Result, measure
from edgecat_runtime.benchmark.opening import Subject, opened
from edgecat_runtime.model.card import ModelCard

KEYS = [
    *("model", "backend", "device", "precision", "batch", "n", "fps"),
    *("latency_ms", "stages_ms", "warmup", "memory_mb"),
]


class Time:
    """A clock that moves only when something is said to take time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now


class Timed:
    """A network whose every answer takes as long as a list says."""

    name = "timed"

    def __init__(self, time: Time, name: str, seconds: Iterator[float]) -> None:
        self._time, self._name, self._seconds = time, name, seconds
        self.gpu_ms = 0.0

    def infer(self, frames: np.ndarray) -> np.ndarray:
        taken = next(self._seconds)
        self._time.now += taken
        self._time.calls.append(self._name)
        self.gpu_ms = 500 * taken
        return np.zeros((len(frames), 2), np.float32)

    def close(self) -> None:
        pass


class Fitted(Classifier):
    """A classifier whose preprocessing takes 2 ms a frame."""

    time: Time

    def preprocess(self, frame: np.ndarray) -> np.ndarray:
        assert frame.shape == (720, 1280, 3)
        self.time.now += 0.002
        return np.zeros((32, 32, 3), np.uint8)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def subject(time: Time, tiny_card: ModelCard) -> Callable[..., Subject]:
    """`subject("a", durations)`; a number is a duration that never changes."""

    def make(name: str, seconds: float | Iterator[float], *, gpu: bool = False) -> Subject:
        backend = Timed(time, name, repeat(seconds) if isinstance(seconds, float) else seconds)
        classifier = Fitted(backend, tiny_card)
        classifier.time = time
        return Subject(name, classifier, (lambda: backend.gpu_ms) if gpu else None)

    return make


def _falling(first: float, last: float, calls: int) -> Iterator[float]:
    for i in range(calls):
        yield first + (last - first) * i / calls
    yield from repeat(last)


def test_figures_are_of_a_batch_and_host_to_host(time: Time, subject: Callable) -> None:
    (result,) = measure([subject("a", 0.010, gpu=True)], batch=4, seconds=1.0, clock=time)
    assert list(result.to_dict()) == KEYS
    assert (result.n, result.batch, result.fps) == (100, 4, 400.0)
    assert result.latency_ms == pytest.approx({"mean": 10, "p50": 10, "p90": 10, "p99": 10})
    assert result.stages_ms == pytest.approx({"preprocess": 8, "infer": 10, "gpu": 5})
    assert result.to_dict()["device"].startswith("cpu (")
    assert (result.precision, result.backend, result.steady) == ("fp32", "timed", True)


def test_percentiles_are_of_every_answer(time: Time, subject: Callable) -> None:
    times = (value for _ in repeat(None) for value in [0.010] * 9 + [0.030])
    (result,) = measure([subject("a", times)], seconds=1.2, clock=time)
    assert result.n == len(result.samples_ms) == 100
    assert result.latency_ms["mean"] == pytest.approx(12)
    assert [result.latency_ms[p] for p in ("p50", "p99")] == pytest.approx([10, 30])
    assert "gpu" not in result.stages_ms


@pytest.mark.parametrize(
    ("durations", "steady"),
    [
        (lambda: repeat(0.010), True),
        (lambda: _falling(0.200, 0.010, 40), True),
        (lambda: (0.01 * 1.2**i for i in range(10**9)), False),
    ],
)
def test_warm_up_ends_when_three_windows_are_alike(
    time: Time, subject: Callable, durations: Callable, steady: bool
) -> None:
    (result,) = measure([subject("a", durations(), gpu=True)], seconds=2.0, clock=time)
    assert result.steady is steady
    if steady:  # nothing of the warm-up is in the figures
        assert set(np.round(result.samples_ms, 6)) == {10.0}
        assert result.stages_ms["gpu"] == pytest.approx(5)
    assert result.warmup >= 9


def test_rounds_are_interleaved_and_rotate(time: Time, subject: Callable) -> None:
    subjects = [subject(name, 0.010) for name in "abc"]
    results = measure(subjects, seconds=0.09, clock=time)
    told = time.calls[sum(result.warmup for result in results) :]
    # A turn is one answer that is not counted and one that is.
    assert "".join(told[::2]) == "".join(told[1::2]) == 3 * "abcbcacab" + "abc"
    assert [result.n for result in results] == [ROUNDS] * 3


def test_the_first_answer_of_a_turn_is_not_counted(time: Time, subject: Callable) -> None:
    def cold(name: str) -> Iterator[float]:
        while True:
            yield 0.010 if time.calls[-1:] == [name] else 0.100

    results = measure([subject(name, cold(name)) for name in "ab"], seconds=0.3, clock=time)
    assert [result.latency_ms["p99"] for result in results] == pytest.approx([10, 10])


def test_speed_is_that_of_the_same_round(time: Time, subject: Callable) -> None:
    def slowing(base: float) -> Iterator[float]:
        while True:  # the machine heats up: after 15 s it has half its speed
            yield base * (1 + time.now / 15)

    first, second = measure(
        [subject("a", slowing(0.020)), subject("b", slowing(0.010))], seconds=1.0, clock=time
    )
    assert first.speed == 1
    assert second.speed == pytest.approx(2, rel=0.03)


def test_progress_is_told_of_every_step(time: Time, subject: Callable) -> None:
    steps: list[int] = []
    subjects = [subject("a", 0.01), subject("b", 0.01)]
    measure(subjects, seconds=0.1, clock=time, advance=lambda: steps.append(1))
    assert len(steps) == len(subjects) + ROUNDS


def _entry(name: str, open_: Callable[..., Backend]) -> BackendEntry:
    return BackendEntry(name, "cpu", (".onnx",), "numpy", open_, lambda: True)


def _raises(error: Exception) -> Callable[..., Backend]:
    def open_(*_: object) -> Backend:
        raise error

    return open_


class Heavy:
    """Delegates, and holds 60 MB in small pieces."""

    name = "heavy"

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._held = [np.ones(60_000, np.uint8) for _ in range(1000)]
        self.closed = False

    def infer(self, frames: np.ndarray) -> np.ndarray:
        return self._backend.infer(frames)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def heavy(tiny_onnx: Path) -> BackendEntry:
    (best, *_) = backend_entries(tiny_onnx, name="onnxruntime", device="cpu")
    return _entry("heavy", lambda path, card, threads: Heavy(best.open(path, card, threads)))


def test_memory_is_what_opening_took(tiny_onnx: Path, heavy: BackendEntry) -> None:
    plain = backend_entries(tiny_onnx, name="onnxruntime", device="cpu")
    taken = [np.ones(60_000, np.uint8) for _ in range(3000)]
    del taken[:-1]  # free below one that is not: what is opened next must not hide there
    with opened([(tiny_onnx, plain), (tiny_onnx, [heavy])]) as (first, second):
        assert 55 < second.memory_mb < 110
        assert first.memory_mb < 55
        results = measure([first, second], seconds=0.05)
    assert all(isinstance(result, Result) and result.n >= ROUNDS for result in results)


def test_a_way_that_does_not_work_is_left_out(tiny_onnx: Path, heavy: BackendEntry) -> None:
    broken = _entry("broken", _raises(DeviceError("no GPU")))
    absent = _entry("absent", _raises(BackendMissing("not installed")))
    said: list[str] = []
    with opened([(tiny_onnx, [broken, heavy, absent])], skipped=said.append) as subjects:
        assert [subject.classifier.backend for subject in subjects] == ["heavy"]
    assert said == ["skipped: no GPU", "skipped: not installed"]


def test_a_model_that_nothing_opens_is_an_error(tiny_onnx: Path, heavy: BackendEntry) -> None:
    ways = [
        _entry("first", _raises(DeviceError("no GPU"))),
        _entry("second", _raises(BackendMissing("not installed"))),
    ]
    models = [(tiny_onnx, [heavy]), (tiny_onnx, ways)]
    with pytest.raises(DeviceError, match="no GPU"), opened(models):
        pass


def test_a_model_that_answers_differently_is_not_measured(
    tmp_path: Path, tiny_onnx: Path, make_tiny: Callable[..., bytes], heavy: BackendEntry
) -> None:
    path = tmp_path / "negated.onnx"
    path.write_bytes(make_tiny(negate=True))
    made: list[Heavy] = []

    def open_(*arguments: object) -> Backend:
        backend = heavy.open(*arguments)  # type: ignore[arg-type]
        made.append(backend)  # type: ignore[arg-type]
        return backend

    models = [(tiny_onnx, [_entry("kept", open_)]), (path, [_entry("kept", open_)])]
    with pytest.raises(GateError, match="golden frames"), opened(models):
        pass
    assert [backend.closed for backend in made] == [True, True]


def test_it_needs_numpy_alone_to_import() -> None:
    program = (
        "import sys, edgecat_runtime.benchmark\n"
        "heavy = {'torch', 'onnx', 'cv2', 'onnxruntime', 'typer', 'cuda'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
