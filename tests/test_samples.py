"""The samples cannot rot: their commands, options, files and figures are held to the code."""

from __future__ import annotations

import configparser
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
DOCUMENTS = sorted(
    path for path in SAMPLES.rglob("*") if path.suffix in (".md", ".service", ".conf")
)
SCRIPTS = sorted(path for path in SAMPLES.rglob("*.py") if "plugin" not in path.parts)


def shell_lines(path: Path) -> Iterator[str]:
    """The commands that a document tells to run, line continuations joined."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    if path.suffix == ".md":
        text = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S))
    elif path.name == "Dockerfile":
        text = re.sub(r'^CMD \["sh", "-c", "(.*)"\]$', r"\1", text, flags=re.M)
    else:
        text = re.sub(r"^ExecStart=", "", text, flags=re.M)
    yield from re.split(r"\n|;|&&|\|\|", text)


def edgecat_commands(path: Path) -> list[list[str]]:
    """The arguments of each edgecat command in a document."""
    lines = (
        re.fullmatch(r"\s*(?:exec )?(?:/\S+/)?edgecat (.+)", line) for line in shell_lines(path)
    )
    return [shlex.split(line[1], comments=True) for line in lines if line]


COMMANDS = [
    pytest.param(words, id=f"{path.relative_to(SAMPLES)}: {shlex.join(words)}")
    for path in [*DOCUMENTS, SAMPLES / "jetson" / "Dockerfile"]
    for words in edgecat_commands(path)
]


def parse(words: list[str]) -> None:
    """Parse a command line as edgecat would, without running it."""
    import typer

    from edgecat.cli import app

    command = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(words[0], list(words[1:]))


def test_the_documents_have_commands() -> None:
    assert len(COMMANDS) >= 10


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_and_options_exist(words: list[str]) -> None:
    parse(words)


@pytest.mark.parametrize(
    "words", [["camera", "--sauce", "0"], ["export", "x.onnx", "--to", "tarot"], ["camra"]]
)
def test_a_wrong_command_would_be_seen(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"sauce|tarot|camra"):
        parse(words)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"samples/[\w./-]+\w", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`([\w-]+\.(?:py|service|conf))`", text):
        assert list(SAMPLES.rglob(name)), name


def test_installed_extras_exist() -> None:
    for path in DOCUMENTS:
        for house, extras in re.findall(r"'?\./(runtime|export)\[([\w,-]+)\]", path.read_text()):
            known = (ROOT / house / "pyproject.toml").read_text()
            for extra in extras.split(","):
                assert re.search(rf"^{extra} = \[", known, re.M), (path, extra)


@pytest.fixture
def unit() -> configparser.RawConfigParser:
    return systemd(SAMPLES / "jetson" / "edgecat-camera.service")


def systemd(path: Path) -> configparser.RawConfigParser:
    """Read a unit; of a key given twice the last counts."""
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser


def test_the_unit_restarts_what_a_restart_can_mend(unit: configparser.RawConfigParser) -> None:
    from edgecat.cli import UNFORESEEN
    from edgecat_runtime.errors import DeviceError, GateError, UserError

    service = unit["Service"]
    assert service["Restart"] == "on-failure"
    prevented = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert {UserError.exit_code, GateError.exit_code} <= prevented
    assert not {DeviceError.exit_code, UNFORESEEN} & prevented
    for key in ("NoNewPrivileges", "ProtectSystem", "ProtectHome", "RestrictNamespaces"):
        assert service[key] in ("yes", "strict")


def test_the_unit_writes_where_it_may(unit: configparser.RawConfigParser) -> None:
    service = unit["Service"]
    events = re.search(r"--events (\S+)", service["ExecStart"])
    assert events is not None
    assert events[1].startswith(f"/var/lib/{service['StateDirectory']}/")
    assert f"XDG_CACHE_HOME=/var/cache/{service['CacheDirectory']}" in service["Environment"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_knows_every_setting(tmp_path: Path) -> None:
    unit = (SAMPLES / "jetson" / "edgecat-camera.service").read_text()
    path = tmp_path / "edgecat.service"
    path.write_text(re.sub(r"^ExecStart=/\S+", f"ExecStart={sys.executable}", unit, flags=re.M))
    ran = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True)
    assert not [line for line in ran.stderr.splitlines() if path.name in line], ran.stderr


def test_the_figures_of_the_dense_head_are_right() -> None:
    torch = pytest.importorskip("torch")
    from edgecat.models import architecture, build_model
    from edgecat_runtime.model.card import ModelCard

    text = (SAMPLES / "jetson" / "README.md").read_text(encoding="utf-8")
    for head, classes in (("dense", 2), ("gap", 2), ("dense", 1000)):
        labels = tuple(map(str, range(classes)))
        layers = architecture("vgg16").widths(head=head)
        card = ModelCard("vgg16", labels, 224, 224, layers=layers, head=head)
        with torch.device("meta"):
            count = sum(p.numel() for p in build_model(card).parameters())
        assert f"{count:,}" in text
        assert f"{count * 4 / 1e6:.0f} MB" in text
        assert f"{count * 2 / 1e6:.0f} MB" in text
        if classes == 2:
            assert f"{count * 2 / 34e9 * 1e3:.1f} ms" in text


def test_the_readme_says_that_it_was_not_run_on_a_jetson() -> None:
    text = (SAMPLES / "jetson" / "README.md").read_text(encoding="utf-8")
    assert "Nothing on this page has been run on a Jetson by its authors" in text


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_samples_are_short_and_say_how_they_are_used(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 70
    ran = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert f"python {path.name}" in ran.stderr


def test_pictures_are_classified(
    tiny_onnx: Path, pets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = runpy.run_path(str(SAMPLES / "embed" / "classify_images.py"))
    sample["main"](str(tiny_onnx), [str(pets / "0.png")])
    assert re.fullmatch(rf"{pets}/0\.png: (cat|dog) \d+\.\d%\n", capsys.readouterr().out)


def test_an_own_module_is_exported_proved_and_served(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    command = [sys.executable, str(SAMPLES / "own_module.py"), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    *pairs, prediction = ran.stdout.splitlines()
    assert pairs
    assert all(line.startswith("PASS") and "own.onnx" in line for line in pairs), ran.stdout
    assert re.fullmatch(r"array 0  (cat|dog) \d+\.\d%", prediction)


@pytest.mark.timeout(900)
def test_the_first_model_is_trained_exported_and_proved(tmp_path: Path) -> None:
    command = [sys.executable, str(SAMPLES / "first_model.py"), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout
    assert re.search(r"^TrainResult\('.+', \d+\.\d\d% of 160 images, epoch \d of 8\)$", said, re.M)
    assert re.search(r"^ExportResult\('.+\.fp16\.onnx', fp16, .+ MB, gate passed\)$", said, re.M)
    pairs = re.findall(r"^(PASS|FAIL)  \S+\.onnx on \S+ \((\w+)\)", said, re.M)
    assert {precision for _, precision in pairs} == {"fp32", "fp16"}
    assert all(verdict == "PASS" for verdict, precision in pairs if precision == "fp32"), said
    cats = re.search(r"^Predictions\(100 images: (\d+) cat, \d+ dog\)$", said, re.M)
    assert cats is not None, said
    assert int(cats[1]) > 60, "no better than chance"


def test_the_unit_has_a_watchdog(unit: configparser.RawConfigParser) -> None:
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert int(service["WatchdogSec"]) > 2, "edgecat tells it every second"
    assert service["RestrictAddressFamilies"] == "AF_UNIX", "else systemd would hear nothing"


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A folder of three pictures."""
    import cv2
    import numpy as np

    folder = tmp_path / "pets"
    folder.mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((40, 50, 3), 80 * i, np.uint8))
    return folder


@pytest.fixture
def service(tiny_onnx: Path) -> Iterator[str]:
    """The URL of `edgecat serve` over the tiny classifier, which is stopped by SIGTERM."""
    pytest.importorskip("aiohttp")
    pytest.importorskip("prometheus_client")
    command = [sys.executable, "-m", "edgecat", "serve", str(tiny_onnx), "--port", "0"]
    command += ["--instances", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as served:
        try:
            assert served.stderr is not None
            said = served.stderr.readline()
            found = re.search(r"(http://127\.0\.0\.1:\d+)/v2/models/tiny", said)
            assert found, said
            yield found[0]
        finally:
            served.send_signal(signal.SIGTERM)
            assert served.wait(60) == 0


def test_the_services_client_shows_what_the_classifier_says(
    service: str, tiny_onnx: Path, pets: Path
) -> None:
    from edgecat_runtime import Classifier
    from edgecat_runtime.images import read_image

    paths = [pets / f"{i}.png" for i in range(3)]
    command = [sys.executable, str(SAMPLES / "service" / "client.py"), service, *map(str, paths)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    with Classifier.open(tiny_onnx, backend="onnxruntime") as classifier:
        labels = [classifier.classify(read_image(path)).displayed for path in paths]
    lines = [f"{path}  {label}" for path, label in zip(paths, labels, strict=True)]
    assert [line.rsplit(" ", 1)[0] for line in ran.stdout.splitlines()] == lines
    (pets / "0.png").write_bytes(b"no image")
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, "cannot decode image 0" in ran.stderr) == (1, True), ran
