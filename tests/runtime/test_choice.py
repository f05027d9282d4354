"""Which of several ways of running a model is taken, and what is remembered of that."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from edgecat_runtime import BackendMissing, Classifier, DeviceError, GateError, UserError, read_card
from edgecat_runtime.backends import base, register_backend
from edgecat_runtime.backends.choice_cache import _MOST_KEPT
from edgecat_runtime.errors import InvalidModel
from edgecat_runtime.model.artifact import seal_onnx
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.system import machine


class Paced:
    """A backend that answers the golden frames, as fast as it is told."""

    def __init__(self, way: Way, clock: list[float], golden: np.ndarray) -> None:
        self.name = way.name
        self._way, self._clock = way, clock
        self._golden = golden

    def infer(self, frames: np.ndarray) -> np.ndarray:
        self._way.batches += 1
        if self._way.breaks:
            raise self._way.breaks
        self._clock[0] += self._way.seconds
        return (-self._golden if self._way.wrong else self._golden)[: len(frames)]

    def close(self) -> None:
        self._way.closed += 1


@dataclass
class Way:
    """A registered backend: what it does, and how often it did it."""

    name: str
    seconds: float = 1.0
    wrong: bool = False
    breaks: Exception | None = None
    refuses: Exception | None = None
    module: str = "numpy"
    device: str = "cpu"
    opened: int = 0
    closed: int = 0
    batches: int = field(default=0)


Register = Callable[..., list[Way]]


@pytest.fixture
def ways(tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> Register:
    """Let the given ways, or ways of the given seconds, be all that is registered for ONNX files.

    Negative seconds are a way that answers wrongly, at once.
    """
    golden, clock = np.asarray(read_card(tiny_onnx).golden, np.float32), [0.0]
    monkeypatch.setattr("edgecat_runtime.classifier.perf_counter", lambda: clock[0])

    def register(*given: Way | float) -> list[Way]:
        monkeypatch.setattr(base, "_REGISTRY", {})
        made = [
            way if isinstance(way, Way) else Way(f"b{i}", abs(way), wrong=way < 0)
            for i, way in enumerate(given)
        ]
        for way in made:

            def opener(path: Path, card: ModelCard, threads: int | None, way: Way = way) -> Paced:
                way.opened += 1
                if way.refuses:
                    raise way.refuses
                return Paced(way, clock, golden)

            register_backend(way.name, (".onnx",), way.module, opener, device=way.device)
        return made

    return register


@pytest.mark.parametrize(
    ("seconds", "taken"),
    [
        ((1.0, 0.5, 2.0), "b1"),
        ((1.0, 0.9), "b0"),  # not enough to prefer it
        ((-0.1, 1.0), "b1"),  # fastest, and wrong
        ((3.0,), "b0"),
    ],
)
def test_auto_takes_the_fastest_that_passes(
    ways: Register, tiny_onnx: Path, seconds: tuple[float, ...], taken: str
) -> None:
    made = ways(*seconds)
    classifier = Classifier.open(tiny_onnx)
    assert classifier.backend == taken
    assert [way.closed for way in made] == [int(way.name != taken) for way in made]
    choice = classifier.choice
    assert choice is not None
    assert choice.best.backend == taken
    assert not choice.cached
    timed = [second for second in seconds if second > 0 and len(seconds) > 1]
    found = [trial.seconds for trial in choice.trials if trial.seconds]
    assert found == pytest.approx(timed)
    assert ("rejected" in str(choice)) == (min(seconds) < 0)


def test_one_alone_is_tested_but_not_timed(ways: Register, tiny_onnx: Path) -> None:
    (only,) = ways(1.0)
    classifier = Classifier.open(tiny_onnx)
    assert only.batches == 2
    assert str(classifier.choice) == "tiny.onnx with b0 on cpu, the only candidate"


def test_the_sentence_names_every_way(ways: Register, tiny_onnx: Path) -> None:
    ways(1.0, -0.1, 0.5, Way("b3", refuses=BackendMissing("b3 needs OpenCV 5")))
    assert str(Classifier.open(tiny_onnx).choice) == (
        "tiny.onnx with b2 on cpu 500 ms, the fastest that passes its self-test here "
        "(measured now); "
        "tiny.onnx with b0 on cpu 1e+03 ms; tiny.onnx with b1 on cpu rejected: logits of the "
        "golden frames differ by 1.2e+00 of their spread (limit 1e-04); tiny.onnx with b3 on cpu "
        "rejected: b3 needs OpenCV 5"
    )


@pytest.mark.parametrize("part", ["refuses", "breaks"])
def test_whatever_a_library_raises_refuses_one_way_only(
    ways: Register, tiny_onnx: Path, part: str
) -> None:
    broken = Way("b0", **{part: RuntimeError("no such layer: Einsum\nat 0x1")})  # type: ignore[arg-type]
    ways(broken, 1.0)
    with Classifier.open(tiny_onnx) as classifier:
        assert classifier.backend == "b1"
        assert "cannot run" in str(classifier.choice)
        assert "Einsum" in str(classifier.choice)
        assert "0x1" not in str(classifier.choice)
    assert broken.closed == (part == "breaks")
    ways(broken)
    with pytest.raises(UserError, match=r"b0 on cpu cannot run .*tiny\.onnx: no such layer"):
        Classifier.open(tiny_onnx)
    ways(replace(broken, device="cuda"))
    with pytest.raises(DeviceError, match="b0 on cuda cannot run"):
        Classifier.open(tiny_onnx)


def test_a_file_that_one_backend_finds_invalid_is_not_given_to_the_next(
    ways: Register, tiny_onnx: Path, tmp_path: Path
) -> None:
    first, second = ways(Way("b0", refuses=InvalidModel("invalid graph")), 1.0)
    with pytest.raises(InvalidModel, match="invalid graph"):
        Classifier.open(tiny_onnx)
    assert (first.opened, second.opened) == (1, 0)


def test_ctrl_c_is_no_refusal(ways: Register, tiny_onnx: Path) -> None:
    (way, _) = ways(Way("b0", breaks=KeyboardInterrupt()), 1.0)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        Classifier.open(tiny_onnx)
    assert way.closed == 1


WRONG = Way("wrong", wrong=True)
MISSING = Way("missing", refuses=BackendMissing("missing is not installed"))
BUSY = Way("busy", refuses=DeviceError("the GPU is busy"))
ODD = Way("odd", refuses=UserError("odd cannot open it"))


@pytest.mark.parametrize(
    ("refused", "kind"),
    [
        ([WRONG, MISSING, BUSY], GateError),
        ([MISSING, BUSY, ODD], DeviceError),
        ([MISSING, ODD], UserError),
        ([MISSING, Way("also", refuses=BackendMissing("nor is also"))], BackendMissing),
    ],
)
def test_where_none_passes_all_are_named(
    ways: Register, tiny_onnx: Path, refused: list[Way], kind: type[Exception]
) -> None:
    ways(*refused)
    with pytest.raises(kind) as raised:
        Classifier.open(tiny_onnx)
    assert type(raised.value) is kind
    sentence = str(raised.value)
    assert sentence.startswith("no backend here runs tiny.onnx correctly: ")
    for way in refused:
        assert f"tiny.onnx with {way.name} on cpu rejected: {way.refuses or ''}" in sentence
    assert ("The file is intact" in sentence) == (WRONG in refused)
    assert "another backend" not in sentence


def test_what_all_say_alike_is_said_once(ways: Register, tiny_onnx: Path) -> None:
    ways(*(Way(f"b{i}", refuses=UserError("no such opset")) for i in range(3)))
    with pytest.raises(UserError, match="^no such opset$"):
        Classifier.open(tiny_onnx)


# What is remembered.


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "choices"


def _counts(made: list[Way]) -> list[int]:
    """How often each was opened since this was asked last."""
    counts = [way.opened for way in made]
    for way in made:
        way.opened = 0
    return counts


def test_a_choice_is_measured_once(ways: Register, tiny_onnx: Path, cache: Path) -> None:
    made = ways(1.0, 0.5, -1.0)
    seen: list[tuple[int, int]] = []
    with Classifier.open_fastest(
        [tiny_onnx], cache=cache, told=lambda *now: seen.append(now)
    ) as first:
        assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
        assert first.choice is not None
        assert (first.choice.cached, [first.choice.kept_at]) == (False, [*cache.iterdir()])
        assert _counts(made) == [1, 1, 1]
        with first.open_again() as again:
            assert again.choice == replace(first.choice, cached=True)
            assert again.backend == "b1"
        assert _counts(made) == [0, 1, 0]
    batches = made[1].batches
    with Classifier.open_fastest([tiny_onnx], cache=cache, told=lambda *now: seen.append(now)):
        assert made[1].batches == batches + 2, "self-tested, not timed"
    assert len(seen) == 4, "nothing was measured"
    assert "measured before, cached in" in str(again.choice)


def test_several_forms_are_one_choice(
    ways: Register, tiny_onnx: Path, tmp_path: Path, tiny_card: ModelCard, cache: Path
) -> None:
    other = tmp_path / "other.onnx"
    golden = read_card(tiny_onnx).golden
    payload = tiny_onnx.read_bytes()[: read_card(tiny_onnx).payload_bytes]
    other.write_bytes(seal_onnx(payload + b"\x12\x01x", replace(tiny_card, golden=golden)))
    made = ways(1.0, 0.5)
    with Classifier.open_fastest([tiny_onnx, other], cache=cache) as classifier:
        assert classifier.choice is not None
        assert [trial.model for trial in classifier.choice.trials] == [
            *("tiny.onnx", "tiny.onnx", "other.onnx", "other.onnx")
        ]
        assert (classifier.path, classifier.backend) == (tiny_onnx, "b1")
        assert classifier.stamp is not None
    assert _counts(made) == [2, 2]
    with Classifier.open_fastest([tiny_onnx, other], cache=cache):
        assert _counts(made) == [0, 1]
    with Classifier.open_fastest([other, tiny_onnx], cache=cache) as classifier:
        assert classifier.path == other
    assert _counts(made) == [2, 2], "another order is another question"


def _threads(ways: Register, patch: pytest.MonkeyPatch, made: list[Way]) -> dict[str, int]:
    return {"threads": 3}


def _version(ways: Register, patch: pytest.MonkeyPatch, made: list[Way]) -> None:
    patch.setattr("edgecat_runtime.backends.choice_cache.__version__", "99.0")


def _cores(ways: Register, patch: pytest.MonkeyPatch, made: list[Way]) -> None:
    patch.setattr(machine, "cores", lambda: 999)


def _processor(ways: Register, patch: pytest.MonkeyPatch, made: list[Way]) -> None:
    patch.setattr(machine, "processor", lambda: "Another")


def _flags(ways: Register, patch: pytest.MonkeyPatch, made: list[Way]) -> None:
    patch.setattr(machine, "processor_flags", lambda: frozenset({"sse2"}))


def _path(ways: Register, patch: pytest.MonkeyPatch, made: list[Way]) -> None:
    patch.setattr(machine, "int8_path", lambda: "none")


def _library(ways: Register, patch: pytest.MonkeyPatch, made: list[Way]) -> None:
    stub = Path(os.environ["STUB"]) / "stub_of_a_library.py"
    os.utime(stub, ns=(1, 1))


def _wheel(ways: Register, patch: pytest.MonkeyPatch, made: list[Way]) -> None:
    patch.setattr("edgecat_runtime.system.packages.version", lambda name: "77.7")


def _backend(ways: Register, patch: pytest.MonkeyPatch, made: list[Way]) -> None:
    made.append(Way("b2", 9.0))
    made[:] = ways(*made)


@pytest.mark.parametrize(
    "change",
    [_threads, _version, _cores, _processor, _flags, _path, _library, _wheel, _backend],
)
def test_another_machine_or_library_is_measured_again(
    ways: Register,
    tiny_onnx: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[..., dict[str, int] | None],
) -> None:
    (tmp_path / "stub_of_a_library.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("STUB", str(tmp_path))
    made = ways(Way("b0", 1.0, module="stub_of_a_library"), Way("b1", 0.5))
    for expected in ([1, 1], [0, 1]):
        Classifier.open_fastest([tiny_onnx], cache=cache).close()
        assert _counts(made) == expected
    options = change(ways, monkeypatch, made) or {}
    Classifier.open_fastest([tiny_onnx], cache=cache, **options).close()  # type: ignore[arg-type]
    assert _counts(made) == [1] * len(made)


def test_another_file_is_measured_again(
    ways: Register, tiny_onnx: Path, tmp_path: Path, cache: Path, tiny_card: ModelCard
) -> None:
    made = ways(1.0, 0.5)
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(tiny_onnx.read_bytes())
    for path, expected in ((tiny_onnx, [1, 1]), (copy, [0, 1])):
        with Classifier.open_fastest([path], cache=cache) as classifier:
            assert classifier.choice is not None
            assert {trial.model for trial in classifier.choice.trials} == {path.name}
        assert _counts(made) == expected, "the same contents, by whatever name"
    card = read_card(copy)
    payload = copy.read_bytes()[: card.payload_bytes] + b"\x12\x01x"  # another producer's name
    copy.write_bytes(seal_onnx(payload, replace(tiny_card, golden=card.golden)))
    Classifier.open_fastest([copy], cache=cache).close()
    assert _counts(made) == [1, 1]


def _edited(**changes: object) -> Callable[[bytes], bytes]:
    return lambda kept: json.dumps(json.loads(kept) | changes).encode()


_TRIAL = {"model": "m", "backend": "b", "device": "cpu", "seconds": 1.0, "refusal": ""}


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: b"",
        lambda kept: kept[: len(kept) // 2],
        lambda kept: b"\xff\xfe\0",
        lambda kept: b"[" * 100_000,
        lambda kept: b"[]",
        lambda kept: b"null",
        lambda kept: b"{}",
        _edited(key={}),
        _edited(taken=2),
        _edited(taken=-1),
        _edited(taken=True),
        _edited(taken="1"),
        _edited(trials=[]),
        _edited(trials=[_TRIAL]),
        _edited(trials=[_TRIAL | {"seconds": "x"}] * 2),
        _edited(trials=[_TRIAL | {"model": 3}] * 2),
        _edited(trials=[_TRIAL | {"refusal": "no"}] * 2),
        _edited(trials=[_TRIAL | {"more": 1}] * 2),
        _edited(trials=[[]] * 2),
        _edited(trials=7),
    ],
)
def test_a_damaged_choice_is_measured_again(
    ways: Register, tiny_onnx: Path, cache: Path, damage: Callable[[bytes], bytes]
) -> None:
    made = ways(1.0, 0.5)
    Classifier.open_fastest([tiny_onnx], cache=cache).close()
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    _counts(made)
    with Classifier.open_fastest([tiny_onnx], cache=cache) as classifier:
        assert classifier.backend == "b1"
    assert _counts(made) == [1, 1]
    assert kept.read_bytes() == whole, "and written again"


@pytest.mark.parametrize("place", ["a file in the way", "a folder in its place"])
def test_where_nothing_can_be_kept_it_is_measured_each_time(
    ways: Register, tiny_onnx: Path, cache: Path, place: str
) -> None:
    made = ways(1.0, 0.5)
    if place == "a file in the way":
        cache.write_text("")
    else:
        Classifier.open_fastest([tiny_onnx], cache=cache).close()
        (kept,) = cache.iterdir()
        kept.unlink()
        kept.mkdir()
        _counts(made)
    for _ in range(2):
        with Classifier.open_fastest([tiny_onnx], cache=cache) as classifier:
            assert classifier.backend == "b1"
            assert classifier.choice is not None
            assert (classifier.choice.cached, classifier.choice.kept_at) == (False, None)
        assert _counts(made) == [1, 1]


@pytest.mark.parametrize("now", ["wrong", "refuses", "breaks"])
def test_a_remembered_choice_that_no_longer_passes_is_dropped(
    ways: Register, tiny_onnx: Path, cache: Path, now: str
) -> None:
    made = ways(1.0, 0.5)
    Classifier.open_fastest([tiny_onnx], cache=cache).close()
    error = RuntimeError("the driver is gone")
    setattr(made[1], now, True if now == "wrong" else error)
    _counts(made)
    with Classifier.open_fastest([tiny_onnx], cache=cache) as classifier:
        assert classifier.backend == "b0"
        assert classifier.choice is not None
        assert not classifier.choice.cached
    assert _counts(made) == [1, 2]
    with Classifier.open_fastest([tiny_onnx], cache=cache) as classifier:
        assert classifier.backend == "b0"
    assert _counts(made) == [1, 0], "the new choice is remembered"


def test_nothing_is_remembered_where_none_passes(
    ways: Register, tiny_onnx: Path, cache: Path
) -> None:
    ways(-1.0, -2.0)
    with pytest.raises(GateError, match="no backend here runs"):
        Classifier.open_fastest([tiny_onnx], cache=cache)
    assert not cache.exists()


def test_what_has_no_hash_is_not_remembered(
    ways: Register, tiny_onnx: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = replace(read_card(tiny_onnx), payload_sha256="")
    monkeypatch.setattr("edgecat_runtime.backends.choice.read_card", lambda path, trust: card)
    ways(1.0, 0.5)
    Classifier.open_fastest([tiny_onnx], cache=cache).close()
    assert not cache.exists()


def test_open_by_itself_writes_nothing(
    ways: Register, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EDGECAT_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    ways(1.0, 0.5)
    Classifier.open(tiny_onnx).close()
    assert not [*tmp_path.iterdir()]


def test_the_oldest_choices_are_forgotten(ways: Register, tiny_onnx: Path, cache: Path) -> None:
    ways(1.0, 0.5)
    cache.mkdir()
    for i in range(_MOST_KEPT + 5):
        old = cache / f"{i:032}.json"
        old.write_text("{}")
        os.utime(old, (i, i))
    with Classifier.open_fastest([tiny_onnx], cache=cache) as classifier:
        assert classifier.choice is not None
        kept = {*cache.iterdir()}
        assert len(kept) == _MOST_KEPT
        assert classifier.choice.kept_at in kept
    assert cache / f"{5:032}.json" not in kept
    assert cache / f"{6:032}.json" in kept
