"""The commands' answers: what they print, and with which exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

import edgecat
from edgecat_runtime import read_card

COMMANDS = (
    *("demo", "train", "evaluate", "export", "verify", "benchmark"),
    *("classify", "camera", "inspect", "doctor", "study", "models", "teach"),
)
PAIR_KEYS = [
    *("reference", "candidate", "backend", "precision"),
    *("n", "max_logit_error", "agreement", "passed"),
]
Cli = Callable[..., "object"]


def test_export_writes_beside_the_checkpoint(cli: Cli, checkpoint: Path, tmp_path: Path) -> None:
    shutil.copy(checkpoint, tmp_path)
    ran = cli("export", tmp_path / checkpoint.name)
    assert ran.code == 0, ran.err
    assert "PASS" in ran.out
    assert (
        read_card(tmp_path / "vgg16.onnx").checkpoint_sha256 == read_card(checkpoint).payload_sha256
    )


def test_export_takes_the_newest_run(
    cli: Cli, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    shutil.copy(checkpoint, tmp_path / "runs" / "mine")
    assert cli("export").code == 0
    assert (tmp_path / "runs" / "mine" / "vgg16.onnx").exists()


def test_without_a_run_the_shipped_model_is_exported_here(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgecat.pretrained import CHECKPOINT

    monkeypatch.chdir(tmp_path)
    ran = cli("export")
    assert ran.code == 0, ran.err
    written = read_card(tmp_path / "vgg16.onnx")
    assert written.checkpoint_sha256 == read_card(CHECKPOINT).payload_sha256
    assert written.labels == ("cat", "dog")


def test_the_newest_run_is_the_one_trained_last(tmp_path: Path) -> None:
    from edgecat.workflows.models import newest_model

    old, new = "old/vgg16.safetensors", "new/vgg16.safetensors"
    for age, name in ((30, old), (20, new), (10, "old/vgg16.onnx")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    found = newest_model((".safetensors", ".onnx"), tmp_path)
    assert found == tmp_path / "new" / "vgg16.safetensors"
    (tmp_path / "new" / "vgg16.safetensors").rename(tmp_path / "new" / "x.onnx")
    (tmp_path / "old" / "vgg16.safetensors").unlink()
    assert newest_model((".onnx",), tmp_path) == tmp_path / "old" / "vgg16.onnx"
    assert newest_model((".trt",), tmp_path) is None


def test_a_run_that_was_stopped_is_not_the_default_and_is_named(
    cli: Cli, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for age, name in ((1000, "done"), (0, "stopped")):
        copy = tmp_path / "runs" / name / "vgg16.safetensors"
        copy.parent.mkdir(parents=True)
        shutil.copy(checkpoint, copy)
        os.utime(copy, (copy.stat().st_mtime - age,) * 2)
    (tmp_path / "runs" / "stopped" / "resume.state").touch()
    ran = cli("export")
    assert (ran.code, "stopped" in ran.out) == (0, False), ran.err
    assert (tmp_path / "runs" / "done" / "vgg16.onnx").exists()
    ran = cli("export", "runs/stopped/vgg16.safetensors")
    assert "runs/stopped was stopped before its last epoch; edgecat train --resume" in ran.out


def test_a_second_model_is_not_taken_for_images(cli: Cli, exported: Path, checkpoint: Path) -> None:
    ran = cli("evaluate", exported, checkpoint, "photos")
    assert ran.code == 1
    assert f"got two models, {exported} and {checkpoint}; expected one, then images" in ran.err
    assert f"edgecat verify {exported} {checkpoint}" in ran.err


def test_inspect_prints_the_card(cli: Cli, checkpoint: Path, exported: Path) -> None:
    for path in (checkpoint, exported):
        card = json.loads(cli("inspect", path, "--json").out)
        assert card["labels"] == ["cat", "dog"]
        assert (card["height"], card["precision"]) == (32, "fp32")
        shown = cli("inspect", path).out
        assert "cat, dog" in shown
        assert "mean 0.485,0.456,0.406, std 0.229,0.224,0.225, of RGB in 0..1" in shown


def test_verify_alone_holds_a_model_against_its_golden_logits(cli: Cli, exported: Path) -> None:
    ran = cli("verify", exported, "--json")
    answer = json.loads(ran.out)
    assert (ran.code, answer["passed"]) == (0, True)
    assert {pair["backend"] for pair in answer["pairs"]} >= {"onnxruntime", "opencv"}
    assert all(
        list(pair) == PAIR_KEYS and pair["reference"] == "golden" for pair in answer["pairs"]
    )


def test_verify_compares_models_on_pictures(
    cli: Cli, checkpoint: Path, exported: Path, album: Path
) -> None:
    ran = cli("verify", checkpoint, exported, "--data", album, "--limit", 10, "--json")
    answer = json.loads(ran.out)
    assert (ran.code, answer["passed"]) == (0, True), ran.err
    assert {pair["backend"] for pair in answer["pairs"]} >= {"onnxruntime", "opencv"}
    assert all(pair["n"] == 10 and pair["agreement"] == 1 for pair in answer["pairs"])
    assert all(pair["reference"] == str(checkpoint) for pair in answer["pairs"])


def test_verify_exits_3_where_answers_differ(
    cli: Cli, tmp_path: Path, make_tiny: Callable[..., bytes]
) -> None:
    (tmp_path / "negated.onnx").write_bytes(make_tiny(negate=True))
    ran = cli("verify", tmp_path / "negated.onnx", "--json")
    assert (ran.code, json.loads(ran.out)["passed"]) == (3, False)
    assert "do not give the same predictions" in ran.err


def test_classify_reads_pictures_and_folders(cli: Cli, exported: Path, album: Path) -> None:
    picture = album / "cat" / "0.png"
    ran = cli("classify", picture, album / "dog", "--engine", exported, "--json")
    answer = json.loads(ran.out)
    assert (ran.code, len(answer)) == (0, 7)
    keys = ["source", "label", "confidence", "probabilities", "served_by"]
    assert list(answer[0]) == keys
    assert answer[0]["source"] == str(picture)
    assert answer[0]["probabilities"][answer[0]["label"]] == answer[0]["confidence"]
    assert str(picture) in cli("classify", picture, "--engine", exported).out


def test_labels_can_be_renamed(cli: Cli, exported: Path, album: Path, tmp_path: Path) -> None:
    names = tmp_path / "labels.txt"
    names.write_text("고양이\n\n개\n", encoding="utf-8")
    ran = cli(
        "classify", album / "cat" / "0.png", "--engine", exported, "--labels", names, "--json"
    )
    assert list(json.loads(ran.out)[0]["probabilities"]) == ["고양이", "개"]
    names.write_text("cat\n")
    ran = cli("classify", album / "cat" / "0.png", "--engine", exported, "--labels", names)
    assert (ran.code, "got 1 label; the model has 2 classes" in ran.err) == (1, True)


@pytest.mark.parametrize("rebuild", [False, True])
def test_an_engine_that_does_not_fit_is_rebuilt_only_when_asked(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rebuild: bool
) -> None:
    """The builder is real; that TensorRT refuses an engine takes a GPU, so that is put in place."""
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed")
    from edgecat.workflows.serving import open_classifier
    from edgecat_export.engine.export import export_engine
    from edgecat_runtime import Classifier
    from edgecat_runtime.backends.tensorrt import EngineMismatch

    engine = tmp_path / "tiny.rtx"
    shutil.copy(tiny_onnx, tmp_path / "tiny.onnx")
    export_engine(tmp_path / "tiny.onnx", engine, flavour="tensorrt_rtx")
    foreign, file = engine.read_bytes(), engine.stat().st_ino
    served = Classifier.open(tiny_onnx, backend="onnxruntime", verify=False)

    def opened(paths: list[Path], **options: object) -> Classifier:
        assert paths == [engine]
        if engine.stat().st_ino == file:
            raise EngineMismatch(f"{engine} was built elsewhere", tmp_path / "tiny.onnx")
        return served

    monkeypatch.setattr(Classifier, "open_fastest", opened)
    if rebuild:
        assert open_classifier(engine, rebuild=True) is served
        assert read_card(engine).labels == ("cat", "dog")
    else:
        with pytest.raises(EngineMismatch):
            open_classifier(engine)
        assert engine.read_bytes() == foreign


def test_help_answers_without_heavy_imports() -> None:
    program = (
        "import sys\nfrom edgecat.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'cv2', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    for command in COMMANDS:
        assert command in ran.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(cli: Cli, command: str) -> None:
    ran = cli(command, "--help")
    assert ran.code == 0
    assert f"edgecat {command}" in ran.out.split("Example", 1)[1]


def test_the_version_is_told_without_heavy_imports() -> None:
    program = (
        "import sys\nfrom edgecat.cli import app\n"
        "try:\n    app(['--version'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "assert not {'torch', 'numpy', 'cv2'} & set(sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, f"edgecat {edgecat.__version__}\n"), ran.stderr


@pytest.mark.parametrize("command", ["evaluate", "classify", "camera"])
def test_the_backends_are_named(cli: Cli, command: str) -> None:
    assert "openvino" in cli(command, "--help").out


def test_a_closed_pipe_is_quiet(exported: Path) -> None:
    program = f"{sys.executable} -m edgecat inspect {exported} --json | true"
    ran = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    assert ran.stderr == ""


@pytest.mark.parametrize(
    ("redirection", "code", "out"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, "edgecat"),
        ("<&- >&- 2>&-", 0, ""),
        (">/dev/full", 1, ""),
        ("2>&1 >/dev/full | cat", 0, "error: cannot write the output: the disk is full"),
    ],
)
def test_closed_and_full_streams_make_no_traceback(redirection: str, code: int, out: str) -> None:
    program = f"{sys.executable} -m edgecat --version {redirection}"
    ran = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    assert ran.returncode == code
    assert (ran.stdout[: len(out)], "Traceback" in ran.stderr + ran.stdout) == (out, False)


def test_a_file_never_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """The first file that is opened would be number 1, and be given what is printed."""
    program = (
        "from edgecat.cli.terminal.streams import prepare_streams\n"
        f"prepare_streams(); file = open({str(tmp_path / 'engine')!r}, 'wb')\n"
        "import os; print('printed', flush=True); os.write(1, b'printed')"
    )
    script = tmp_path / "script.py"
    script.write_text(program)
    subprocess.run(["bash", "-c", f"{sys.executable} {script} <&- >&- 2>&-"], check=True)
    assert (tmp_path / "engine").read_bytes() == b""


def test_a_line_is_written_into_a_pipe_when_it_is_printed() -> None:
    program = (
        "from edgecat.cli.terminal.streams import prepare_streams\n"
        "prepare_streams(); print('a line'); import os; os._exit(0)"  # which flushes nothing
    )
    shown = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert shown.stdout.split() == [b"a", b"line"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_name_is_printed_in_any_encoding(
    exported: Path, album: Path, tmp_path: Path, encoding: str
) -> None:
    picture = tmp_path / "고양이 café.png"
    shutil.copy(album / "cat" / "0.png", picture)
    command = [sys.executable, "-m", "edgecat", "classify", picture, "--engine", exported]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    ran = subprocess.run(command, capture_output=True, env=environment)
    assert (ran.returncode, ran.stderr) == (0, b"")
    ran = subprocess.run([*command, "--json"], capture_output=True, env=environment)
    assert json.loads(ran.stdout.decode(encoding))[0]["source"] == str(picture)
    ran = subprocess.run([*command[:3], "train", "--help"], capture_output=True, env=environment)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_fault_of_edgecat_is_not_the_users_mistake(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgecat.cli import UNFORESEEN
    from edgecat_runtime.camera import opening

    monkeypatch.setitem(opening._SCHEMES, "faulty", lambda text, options: 1 / 0)
    monkeypatch.setitem(opening._EXAMPLES, "faulty", "faulty:")
    ran = cli("camera", "--source", "faulty:", "--headless")
    assert ran.code == UNFORESEEN == 70
    assert "Traceback" in ran.err
    assert "ZeroDivisionError" in ran.err


def test_an_exported_file_is_what_netron_and_others_read(exported: Path) -> None:
    onnx.checker.check_model(str(exported), full_check=True)
