"""edgecat as a library: what the commands do as functions, silent, with readable results."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgecat
from edgecat.training.config import TrainConfig
from edgecat.workflows.reporter import Advance


class Recorded:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.works: list[str] = []
        self.steps = 0
        self.warnings: list[str] = []
        self.notes: list[str] = []

    @contextmanager
    def progress(self, total: int, description: str) -> Iterator[Advance]:
        self.works.append(description)

        def advance(steps: int = 1, description: str | None = None) -> None:
            self.steps += steps

        yield advance

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)


def in_a_process(program: str) -> None:
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_importing_it_loads_neither_numpy_nor_torch() -> None:
    in_a_process(
        "import sys, edgecat\n"
        "heavy = {'numpy', 'torch', 'cv2', 'onnx', 'typer', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert edgecat.EdgecatError.__module__ == 'edgecat_runtime.errors'\n"
        "assert not heavy & set(sys.modules), 'an error is not worth numpy'\n"
        "edgecat.classify, edgecat.verify, edgecat.export, edgecat.evaluate\n"
        "assert 'torch' not in sys.modules\n"
    )


def test_the_errors_cost_no_numpy() -> None:
    in_a_process(
        "import sys, edgecat_runtime.errors\nassert not {'numpy', 'cv2'} & set(sys.modules)\n"
    )


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(edgecat.__file__).read_text(encoding="utf-8"))
    checked = {
        alias.asname: f"{node.module}"
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert checked == edgecat._HOMES
    assert set(edgecat.__all__) <= set(dir(edgecat))
    for name in edgecat.__all__:
        assert getattr(edgecat, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edgecat.nothing  # noqa: B018


def test_train_takes_every_field_of_the_configuration() -> None:
    parameters = inspect.signature(edgecat.train).parameters
    defaults = {field.name: field.default for field in fields(TrainConfig)[1:]}
    assert defaults.items() <= {n: p.default for n, p in parameters.items()}.items()
    assert set(parameters) - set(defaults) == {"data", "resume", "watcher", "reporter"}


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "sentence"),
    [
        (("photos",), {"ephocs": 3}, TypeError, "'ephocs'; did you mean 'epochs'"),
        ((), {}, edgecat.UserError, "no images were given"),
        (("photos",), {"size": 8}, edgecat.UserError, "8; expected 32 to 1024"),
        (("no/such/folder",), {}, edgecat.UserError, "no/such/folder"),
        ((), {"resume": "runs/none"}, edgecat.UserError, "runs/none"),
        (("photos",), {"resume": "runs/none", "size": 64}, edgecat.UserError, "out data, size"),
        ((7,), {}, edgecat.UserError, "int"),
    ],
)
def test_what_train_refuses(
    arguments: tuple[str], options: dict[str, object], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        edgecat.train(*arguments, **options)


@pytest.fixture(scope="module")
def run(
    album: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[edgecat.TrainResult, Recorded]:
    """A run of two epochs, and what it reported."""
    reporter = Recorded()
    result = edgecat.train(
        album,
        reporter=reporter,
        output=tmp_path_factory.mktemp("runs"),
        name="tiny",
        size=32,
        width=0.1,
        epochs=2,
        batch_size=4,
        device="cpu",
        threads=1,
    )
    return result, reporter


def test_a_run_reports_and_prints_well(run: tuple[edgecat.TrainResult, Recorded]) -> None:
    result, reporter = run
    assert reporter.works == ["epoch 1/2", "epoch 2/2"]
    assert reporter.steps == 2 * 3  # ten images in batches of four
    assert [note.split(":")[0] for note in reporter.notes][-3:-1] == ["epoch 1/2", "epoch 2/2"]
    assert "95 % interval" in reporter.notes[-1]
    assert os.fspath(result) == str(result.checkpoint)
    assert repr(result).startswith(f"TrainResult('{result.checkpoint}', ")
    assert repr(result).endswith(" of 2 images, epoch 1 of 2)") or "epoch 2 of 2" in repr(result)
    assert "data:image/png" in result._repr_html_()


def test_silent_by_default(
    run: tuple[edgecat.TrainResult, Recorded], album: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    edgecat.evaluate(run[0], album)
    assert capfd.readouterr() == ("", "")


def test_export_verify_evaluate_and_classify(
    run: tuple[edgecat.TrainResult, Recorded], album: Path, tmp_path: Path
) -> None:
    reporter = Recorded()
    model = edgecat.export(run[0], output=str(tmp_path / "tiny.onnx"), reporter=reporter)
    assert (os.fspath(model), model.path.is_file()) == (str(tmp_path / "tiny.onnx"), True)
    assert (model.gate, model.kept_float) == (None, ())
    assert repr(model).startswith(f"ExportResult('{model.path}', fp32, ")
    assert str(model).splitlines()[0] in model._repr_html_()

    report = edgecat.verify(run[0], model, data=album, backends=["onnxruntime"])
    assert report
    assert repr(report) == "Verification(passed: 1 of 1 pairs)"
    assert report._repr_html_().count("<td>PASS</td>") == 1

    result = edgecat.evaluate(model, [album])
    assert repr(result).startswith(f"EvaluationResult({result.accuracy:.2%} of 12 images")
    assert "said dog" in result._repr_html_()

    found = edgecat.classify([album / "cat", str(album / "dog" / "0.png")], model)
    assert len(found) == 7
    assert found[6].source.endswith("0.png")
    with edgecat.Classifier.open(model) as classifier:
        again = edgecat.classify(album / "dog" / "0.png", classifier)
        assert classifier.labels == ("cat", "dog")
        classifier.infer(np.zeros((1, 32, 32, 3), np.uint8))  # still open
    assert again[0].probabilities == pytest.approx(found[6].probabilities)


def test_int8_names_what_stayed_float(checkpoint: Path, album: Path, tmp_path: Path) -> None:
    fp16 = edgecat.export(checkpoint, precision="fp16", output=tmp_path / "half.onnx")
    assert fp16.gate is not None
    assert fp16.gate.passed
    assert repr(fp16).endswith(" MB, gate passed)")
    with pytest.raises(edgecat.UserError, match="int8 needs photographs"):
        edgecat.export(checkpoint, precision="int8", output=tmp_path / "int8.onnx")
    int8 = edgecat.export(
        checkpoint, precision="int8", calibrate=album, gate=album, output=tmp_path / "int8.onnx"
    )
    noted = [note.split(" stays ")[0] for note in int8.conversion.notes if " stays " in note]
    assert int8.kept_float == tuple(noted)


def test_a_failed_verification_says_so(tiny_onnx: Path, make_tiny: object, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(make_tiny(negate=True))  # type: ignore[operator]
    report = edgecat.verify(tiny_onnx, bad, backends=["onnxruntime"])
    assert not report
    assert repr(report).startswith("Verification(FAILED: ")
    assert "<b>FAIL</b>" in report._repr_html_()


def test_what_can_be_classified(tiny_onnx: Path, album: Path) -> None:
    path = album / "cat" / "0.png"
    frame = cv2.imread(str(path))
    one = edgecat.classify(path, tiny_onnx)
    assert [p.prediction for p in edgecat.classify(frame, tiny_onnx)] == [one[0].prediction]
    several = edgecat.classify(np.stack([frame, frame]), tiny_onnx)
    assert [item.source for item in several] == ["array 0", "array 1"]
    shown = several.to_dict()[1]
    assert shown.pop("served_by")["file"] == str(tiny_onnx)
    assert shown == {
        "source": "array 1",
        "label": one[0].label,
        "confidence": one[0].confidence,
        "probabilities": one[0].probabilities,
    }
    assert repr(several) == f"Predictions(2 images: 2 {one[0].label})"
    assert one._repr_html_().count("data:image/jpeg") == 1
    assert several[:1] == several.items[:1]


def test_images_that_cannot_be_decoded(tiny_onnx: Path, album: Path, tmp_path: Path) -> None:
    reporter, broken = Recorded(), tmp_path / "broken.png"
    broken.write_text("no image")
    found = edgecat.classify([broken, album / "cat"], tiny_onnx, reporter=reporter)
    assert (len(found), len(found.skipped)) == (6, 1)
    assert reporter.warnings == [f"skipped: {found.skipped[0]}"]
    assert repr(found).endswith(", 1 skipped)")
    for images, sentence in [
        (broken, "cannot decode"),
        ([broken, broken], "none of 2"),
        ([], "the list contains no"),
        ([None], "got NoneType as an image"),
        (np.zeros((4, 4), np.uint8), "shape"),
    ]:
        with pytest.raises(edgecat.UserError, match=sentence):
            edgecat.classify(images, tiny_onnx)  # type: ignore[arg-type]


def test_a_missing_package_names_its_install_command() -> None:
    in_a_process(
        "import sys, edgecat\n"
        "edgecat.train, edgecat.BackendMissing\n"
        "sys.modules['torch'] = None\n"
        "try:\n"
        "    edgecat.train('photos')\n"
        "except edgecat.BackendMissing as error:\n"
        "    assert \"pip install 'edgecat[train]'\" in str(error), error\n"
        "else:\n"
        "    raise AssertionError('trained without torch')\n"
    )
