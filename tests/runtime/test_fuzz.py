"""The seeded 200-file form of `benchmarks/fuzz.py`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

fuzz = pytest.importorskip("fuzz", reason="benchmarks/ is not here, or this is no POSIX system")
mutants = pytest.importorskip("mutants")
pytest.importorskip("onnxruntime")

FILES = 200


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
def test_mutated_files_are_refused_in_a_sentence_or_answered_rightly() -> None:
    counts: Counter[str] = Counter()
    bad = []
    for drawn, kind, details in fuzz.run(FILES, seed=1, backend="onnxruntime"):
        counts[kind] += 1
        if kind not in fuzz.GOOD:
            bad.append(f"{drawn.number} ({drawn.kind}; {drawn.how}): {kind}, {details}")
    assert bad == []
    assert counts["refused"] > FILES // 2
    assert counts["right"] > 0


def test_a_file_is_drawn_from_its_seed_and_number(tmp_path: Path) -> None:
    models = mutants.intact_models(tmp_path)
    drawn = [mutants.mutant(models, 3, number) for number in range(20)]
    assert drawn == [mutants.mutant(models, 3, number) for number in range(20)]
    assert drawn != [mutants.mutant(models, 4, number) for number in range(20)]
    assert {one.kind for one in drawn} == set(mutants.KINDS)


def test_what_a_file_does_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = mutants.intact_models(tmp_path)
    path = tmp_path / "intact.onnx"
    path.write_bytes(models[".onnx"].data)
    expected = fuzz._expected(models[".onnx"], tmp_path)
    assert fuzz.opened(path, "onnxruntime", expected)[0] == "right"
    assert fuzz.opened(path, "onnxruntime", expected[::-1])[0] == "other answer"
    assert fuzz.opened(path, "onnxruntime", expected[:2])[0] == "other answer"
    assert fuzz.opened(tmp_path / "none.onnx", "onnxruntime", expected)[0] == "refused"
    monkeypatch.setattr(fuzz, "frame", lambda card: card.nothing)
    assert fuzz.opened(path, "onnxruntime", expected)[0] == "traceback"
