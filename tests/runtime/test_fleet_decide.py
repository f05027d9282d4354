"""What a board does about a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from edgecat_runtime.loop.fleet.decide import UpdateRefused, check_manifest, decide
from edgecat_runtime.loop.fleet.device import Device, board_id
from edgecat_runtime.loop.fleet.state import Installed, Refused, State, Statistics
from edgecat_runtime.model.channel import Manifest, Release, Target, rollout_position

LABELS, OTHER = "11" * 32, "22" * 32
NOW = datetime(2026, 2, 1, tzinfo=timezone.utc)
BOARD = "board-1"


def hash_of(version: int) -> str:
    return f"{version:064x}"


def release(version: int, percent: int = 100, **changes: object) -> Release:
    target = Target(10, hash_of(version), "onnx", "fp32")
    made = Release(version, "2026-01-31T12:00:00Z", percent, "ab" * 8, LABELS, (target,))
    return replace(made, **changes)  # type: ignore[arg-type]


def manifest(*releases: Release, **changes: object) -> Manifest:
    made = Manifest("yard", 5, "2026-01-31T12:00:00Z", releases)
    return replace(made, **changes)  # type: ignore[arg-type]


def having(version: int, **changes: object) -> State:
    current = Installed(version, hash_of(version), "onnx", LABELS, True) if version else None
    made = State("yard", 4, "cd" * 32, current=current)
    return replace(made, **changes)  # type: ignore[arg-type]


def everything(targets: Sequence[Target]) -> list[Target]:
    return list(targets)


REFUSED = (Refused(7, hash_of(7), "self-test", "it was wrong", "0.1 keys"),)
TABLE: list[tuple[str, Manifest, State, int, bool, list[str]]] = [
    ("the first model", manifest(release(7)), having(0), 7, False, []),
    ("newer", manifest(release(7)), having(6), 7, False, []),
    ("has it", manifest(release(7)), having(7), 0, False, []),
    ("older", manifest(release(6)), having(7), 0, False, []),
    ("a return", manifest(release(6), returns_from=7), having(7), 6, True, []),
    ("a return of others", manifest(release(6), returns_from=7), having(8), 0, False, []),
    ("a return from below", manifest(release(6), returns_from=7), having(5), 6, False, []),
    ("not in the share", manifest(release(7, 0)), having(6), 0, False, []),
    ("the one before", manifest(release(7, 0), release(6)), having(0), 6, False, []),
    ("catches up", manifest(release(7, 0), release(6)), having(2), 6, False, []),
    ("keeps its share", manifest(release(7, 0), release(6)), having(7), 0, False, []),
    ("two shares", manifest(release(8, 0), release(7, 0), release(6)), having(7), 0, False, []),
    ("refused", manifest(release(7)), having(6, refused=REFUSED), 0, False, ["self-test"]),
    ("the next best", manifest(release(7), release(6)), having(5, refused=REFUSED), 6, False,
     ["self-test"]),
    ("a newer edgecat", manifest(release(7, min_edgecat="99.1")), having(6), 0, False, ["edgecat"]),
    ("an old edgecat", manifest(release(7, min_edgecat="0.0.9")), having(6), 7, False, []),
    ("other classes", manifest(release(7, labels_sha256=OTHER)), having(6), 0, False, ["labels"]),
    ("first classes", manifest(release(7, labels_sha256=OTHER)), having(0), 7, False, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("offered", "state", "version", "returns", "causes"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_a_board_takes_the_first_release_that_is_meant_for_it(
    offered: Manifest, state: State, version: int, returns: bool, causes: list[str]
) -> None:
    found = decide(offered, state, BOARD, under="0.1 keys", suiting=everything)
    assert (found.release.version if found.release else 0) == version
    assert found.returns == returns
    assert [refused.refusal.cause for refused in found.passed_over] == causes


def test_a_refused_model_is_tried_again_by_another_edgecat_or_with_other_keys() -> None:
    state = having(6, refused=REFUSED)
    for under, version in (("0.1 keys", 0), ("0.2 keys", 7), ("0.1 others", 7)):
        found = decide(manifest(release(7)), state, BOARD, under=under, suiting=everything)
        assert (found.release.version if found.release else 0) == version
    lasting = state.with_refused(Refused(7, hash_of(7), "canary", "it departed"))
    assert len(lasting.refused) == 1
    found = decide(manifest(release(7)), lasting, BOARD, under="0.2", suiting=everything)
    assert found.release is None


def test_a_device_without_a_suitable_file_says_so() -> None:
    found = decide(manifest(release(7)), having(6), BOARD, under="", suiting=lambda _: [])
    assert [one.refusal.cause for one in found.passed_over] == ["target"]


def test_shares_are_by_the_release_s_salt() -> None:
    half = release(7, 50)
    inside = {f"b{n}" for n in range(50) if rollout_position(half.salt, f"b{n}") < 50}
    assert 10 < len(inside) < 40
    for board in (f"b{n}" for n in range(50)):
        found = decide(manifest(half), having(6), board, under="", suiting=everything)
        assert (found.release is not None) == (board in inside)


@pytest.mark.parametrize(
    ("offered", "digest", "cause"),
    [
        (manifest(release(7), sequence=3), "x", "replayed"),
        (manifest(release(7), sequence=4), "x", "replayed"),
        (manifest(release(7), sequence=4), "cd" * 32, ""),
        (manifest(release(7), channel="garden"), "x", "channel"),
        (manifest(release(7), expires="2026-01-31T23:59:59Z"), "x", "expired"),
        (manifest(release(7), expires="2026-02-01T00:00:01Z"), "x", ""),
        (manifest(release(7)), "x", ""),
    ],
)
def test_old_manifests_and_those_of_others_are_refused(
    offered: Manifest, digest: str, cause: str
) -> None:
    if not cause:
        check_manifest(offered, digest, having(6), NOW)
        return
    with pytest.raises(UpdateRefused) as refused:
        check_manifest(offered, digest, having(6), NOW)
    assert refused.value.refusal.cause == cause
    assert refused.value.exit_code == 3


def test_a_state_is_read_back_and_checked() -> None:
    state = replace(
        having(6, refused=REFUSED),
        previous=Installed(5, hash_of(5), "trt", LABELS, False, 2),
        before=Statistics(100, 0.9, 0.1),
        offered=7,
    )
    text = state.to_json()
    assert State.from_json(text.encode()) == state
    assert State.from_json(State().to_json().encode()) == State()
    for changed in (
        "",
        "[]",
        "null",
        text[:-20],
        text.replace('"format": 1', '"format": 2'),
        text.replace('"sequence": 4', '"sequence": "4"'),
        text.replace(hash_of(6), "../../etc/passwd"),
        text.replace('"trt"', '"../x"'),
        text.replace("self-test", "no reason"),
    ):
        with pytest.raises(ValueError):
            State.from_json(changed.encode())


def test_what_is_gone_back_to_is_the_last_model_that_proved_itself() -> None:
    def model(version: int, *, settled: bool = False) -> Installed:
        return Installed(version, hash_of(version), "onnx", LABELS, settled)

    state = having(0).taking(model(1), None)
    assert state.previous is None
    state = state.taking(model(2), None)
    assert state.previous == model(1), "better than none"
    state = state.settled().taking(model(3), Statistics(10, 0.9, 0.0))
    assert (state.previous, state.before) == (model(2, settled=True), Statistics(10, 0.9, 0.0))
    state = state.taking(model(4), state.before)
    assert state.previous == model(2, settled=True), "3 was never settled"
    back = state.returned(Refused(4, hash_of(4), "canary", "why"))
    assert (back.current, back.previous, back.before) == (model(2, settled=True), None, None)
    assert back.refusing(hash_of(4), "anything") is not None


def test_a_board_s_id_is_its_own_and_shows_no_machine_id(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathlib import Path

    root = Path(str(tmp_path))
    monkeypatch.delenv("EDGECAT_BOARD", raising=False)
    (root / "etc").mkdir()
    (root / "etc" / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    first = board_id(root=root)
    assert len(first) == 12
    assert first not in "0123456789abcdef0123456789abcdef"
    assert board_id(root=root) == first
    assert board_id("yard-3", root=root) == "yard-3"
    monkeypatch.setenv("EDGECAT_BOARD", "door")
    assert board_id(root=root) == "door"
    monkeypatch.delenv("EDGECAT_BOARD")
    assert board_id(root=root / "nowhere")
    with pytest.raises(Exception, match="at most 64"):
        board_id("x" * 65)


def test_engines_for_other_devices_and_unknown_forms_do_not_suit() -> None:
    pytest.importorskip("onnxruntime")
    onnx = Target(10, hash_of(1), "onnx", "fp32")
    engine = Target(10, hash_of(2), "trt", "fp16", "1.0", "Plan9 vax", "Orin (sm_87)")
    future = Target(10, hash_of(3), "npu", "int4")
    assert Device(backend="onnxruntime").suiting([engine, future, onnx]) == [onnx]
    assert Device(device="cpu").suiting([engine]) == []
