"""`edgecat camera`: what it prints and writes, and how it ends."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat_runtime import Classifier, ModelCard
from edgecat_runtime.camera.opening import register_source
from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.errors import DeviceError

Cli = Callable[..., Any]
FIGURES = [
    "frames",
    "seconds",
    "fps",
    "dropped",
    "stages_ms",
    "frame_age_ms",
    "losses",
    "answers",
    "served_by",
]
STAGES = ["capture", "wait", "preprocess", "infer", "output"]


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


def _striped(index: int) -> np.ndarray:
    """Frames that the tiny classifier answers differently: blue stripes, yellow, blue stripes."""
    image = np.zeros((64, 96, 3), np.uint8)
    if index // 10 == 1:
        image[:] = (0, 255, 255)
    else:
        image[(np.arange(64) // 3) % 2 == 0] = (255, 0, 0)
    return image


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lossless video of thirty frames."""
    path = tmp_path_factory.mktemp("clips") / "clip.mkv"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"HFYU"), 15, (96, 64))
    for index in range(30):
        writer.write(_striped(index))
    writer.release()
    return path


def _labels(events: Path) -> list[dict[str, Any]]:
    """The changes of label in an events file, whose every line is whole."""
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    return [line for line in lines if line["event"] == "label"]


def _seconds(text: str) -> float:
    """An event's time in seconds since 1970."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()


def _length(path: Path) -> float:
    """Seconds from the first frame of a film to the last."""
    capture = cv2.VideoCapture(str(path))
    seconds = 0.0
    while capture.read()[0]:
        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
    return seconds


def _count(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count


def test_a_clip_is_answered_recorded_and_reported(
    cli: Cli, tiny_onnx: Path, clip: Path, tmp_path: Path
) -> None:
    output, events = tmp_path / "out" / "clip.mkv", tmp_path / "out" / "events.jsonl"
    arguments = ["--source", clip, "--engine", tiny_onnx, "--json", "--no-smooth"]
    ran = cli("camera", *arguments, "--output", output, "--events", events)
    assert ran.code == 0, ran.err
    figures = json.loads(ran.out)
    assert list(figures) == FIGURES
    assert (figures["frames"], figures["dropped"]) == (30, 0)
    assert sum(figures["answers"].values()) == 30
    assert list(figures["stages_ms"]) == STAGES
    assert _count(output) == 30
    assert cv2.VideoCapture(str(output)).get(cv2.CAP_PROP_FPS) == pytest.approx(15)
    with Classifier.open(tiny_onnx) as classifier:
        labels = [classifier.classify(_striped(index)).label for index in range(30)]
    assert labels == ["cat"] * 10 + ["dog"] * 10 + ["cat"] * 10, "the clip is made for the model"
    assert [(event["frame"], event["to"]) for event in _labels(events)] == [
        (0, "cat"),
        (10, "dog"),
        (20, "cat"),
    ]


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ((), [0, 10]),
        (("--smooth",), [0, 10]),
        (("--enter", "0.5", "--leave", "0.5"), [0, 10]),
        (("--enter", "0.999"), [0]),
        (("--no-smooth",), [0, 10, 20]),
    ],
)
def test_the_decision_is_smoothed_unless_told(
    cli: Cli,
    tiny_onnx: Path,
    clip: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    changes: list[int],
) -> None:
    events = tmp_path / "events.jsonl"
    arguments = ["--source", clip, "--engine", tiny_onnx, "--max-frames", 25, "--events", events]
    assert cli("camera", *arguments, *options).code == 0
    assert [event["frame"] for event in _labels(events)] == changes


@pytest.mark.parametrize("summary", [[], ["--json"]])
def test_events_on_standard_output_are_all_there_is(
    tiny_onnx: Path, clip: Path, tmp_path: Path, summary: list[str]
) -> None:
    command = [sys.executable, "-m", "edgecat", "camera", "--source", clip, "--engine", tiny_onnx]
    command += ["--headless", "--events", "-", *summary]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    kinds = [json.loads(line)["event"] for line in ran.stdout.splitlines()]
    assert (kinds[0], kinds[-1]) == ("started", "stopped")
    assert json.loads(ran.stderr)["frames"] > 0 if summary else " frames in " in ran.stderr
    assert not list(tmp_path.iterdir())
    piped = subprocess.run(
        ["bash", "-c", '"$@" | head -1', "bash", *command], capture_output=True, text=True
    )
    assert json.loads(piped.stdout)["event"] == "started"
    assert "Traceback" not in piped.stderr


def test_without_a_display_it_is_headless_without_being_told(
    cli: Cli, tiny_onnx: Path, clip: Path
) -> None:
    ran = cli("camera", "--source", clip, "--engine", tiny_onnx)
    assert ran.code == 0
    assert ran.err == "no window: there is no display (DISPLAY and WAYLAND_DISPLAY are not set)\n"
    assert ran.out.startswith("30 frames in ")
    assert cli("camera", "--source", clip, "--engine", tiny_onnx, "--headless").err == ""


def test_a_display_that_is_gone_does_not_end_it(
    cli: Cli, tiny_onnx: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":4711")
    ran = cli("camera", "--source", clip, "--engine", tiny_onnx)
    assert ran.code == 0
    assert ran.err.startswith("no window: ")


def test_the_newest_run_is_the_default_engine(
    cli: Cli, tiny_onnx: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = json.loads(cli("camera", "--source", clip, "--headless", "--json").out)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "tiny.onnx").write_bytes(tiny_onnx.read_bytes())
    ran = cli("camera", "--source", clip, "--headless", "--json")
    assert json.loads(ran.out)["frames"] == shipped["frames"] > 0


def test_a_folder_with_a_broken_picture(cli: Cli, tiny_onnx: Path, tmp_path: Path) -> None:
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.png"), _striped(index * 10))
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:60])
    ran = cli("camera", "--source", tmp_path, "--engine", tiny_onnx, "--headless")
    assert ran.code == 0
    assert "3 frames in" in ran.out
    assert "1 skipped" in ran.out
    assert ran.err.count("2.png is truncated") == 1


def test_an_empty_source_is_not_the_current_folder(cli: Cli, tiny_onnx: Path) -> None:
    ran = cli("camera", "--source", "", "--engine", tiny_onnx, "--headless")
    assert ran.code == 1
    assert ran.err.startswith("error: --source is empty; expected a camera number, ")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ("--enter", 0.5, "--leave", 0.6),
            "threshold is 0.5 and the leave threshold is 0.6; expected 0 <",
        ),
        (("--enter", 1.5), "expected 0 < leave <= enter <= 1"),
        (("--leave", 0), "expected 0 < leave <= enter <= 1"),
        (("--no-smooth", "--leave", 0.5), "with --no-smooth each frame is classified on its own"),
        (("--mqtt", "http://user:secret@host/topic"), "expected mqtt[s]://[user:password@]host"),
        (("--mqtt", "mqtt://user:secret@host"), "the MQTT topic is ''"),
        (("--mqtt", "mqtt://user:sec/ret@host/topic"), "no valid host or port"),
        (("--snapshots", __file__), "a parent of the path is a file"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(
    cli: Cli, tiny_onnx: Path, clip: Path, options: tuple[str, ...], sentence: str
) -> None:
    ran = cli("camera", "--source", clip, "--engine", tiny_onnx, "--headless", *options)
    assert ran.code == 1
    assert sentence in ran.err
    assert "sec" not in ran.err
    assert ran.err.count("\n") == 1


def test_the_broker_may_be_named_by_the_environment(
    cli: Cli, tiny_onnx: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECAT_MQTT", "mqtt://user:secret@host/cat#1")
    ran = cli("camera", "--source", clip, "--engine", tiny_onnx, "--headless")
    assert (ran.code, "the MQTT address is invalid" in ran.err) == (1, True)
    assert "secret" not in ran.err + cli("camera", "--help").out


@pytest.mark.parametrize("other", ["--output", "--events"])
def test_the_source_is_not_overwritten(cli: Cli, tiny_onnx: Path, clip: Path, other: str) -> None:
    before = clip.read_bytes()
    ran = cli("camera", "--source", clip, "--engine", tiny_onnx, "--headless", other, clip)
    assert (ran.code, clip.read_bytes() == before) == (1, True)
    assert "would be overwritten" in ran.err


def test_the_paths_really_written_are_compared(
    cli: Cli, tiny_onnx: Path, clip: Path, tmp_path: Path
) -> None:
    second = tmp_path / "clip-1.mkv"
    second.write_bytes(clip.read_bytes())
    sources = ("--source", clip, "--source", second, "--engine", tiny_onnx, "--headless")
    ran = cli("camera", *sources, "--output", tmp_path / "clip.mkv", "--overwrite")
    assert (ran.code, "clip-1.mkv is given twice" in ran.err) == (1, True), ran.err
    assert second.read_bytes() == clip.read_bytes()


def test_a_recording_takes_a_free_name_unless_overwriting(
    cli: Cli, tiny_onnx: Path, clip: Path, tmp_path: Path
) -> None:
    output = tmp_path / "{index}.mkv"
    output.with_name("0.mkv").write_bytes(b"older")
    words = ("camera", "--source", clip, "--engine", tiny_onnx, "--headless", "--output", output)
    ran = cli(*words)
    first, free = tmp_path / "0.mkv", tmp_path / "0-1.mkv"
    assert ran.err == f"recording to {free}: {first} exists. --overwrite replaces it\n"
    assert (first.read_bytes(), _count(free)) == (b"older", 30)
    assert cli(*words, "--overwrite").err == ""
    assert _count(first) == 30


def test_every_frame_has_a_prediction(
    cli: Cli, tiny_onnx: Path, clip: Path, tmp_path: Path
) -> None:
    path = tmp_path / "frames.jsonl"
    words = ("camera", "--source", clip, "--engine", tiny_onnx, "--headless", "--no-smooth")
    ran = cli(*words, "--predictions", path, "--json")
    assert json.loads(ran.out)["served_by"]["file"] == str(tiny_onnx)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(30))
    assert list(lines[0])[:7] == [
        *("time", "source", "camera", "frame", "label", "confidence", "raw")
    ]
    with Classifier.open(tiny_onnx) as classifier:
        labels = [classifier.classify(_striped(index)).label for index in range(30)]
    assert [line["label"] for line in lines] == labels
    ran = cli(*words, "--predictions", path, "--events", path)
    assert (ran.code, "given twice" in ran.err) == (1, True)


def test_a_source_goes_by_its_name(cli: Cli, tiny_onnx: Path, clip: Path, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    words = ("camera", "--source", clip, "--source", clip, "--engine", tiny_onnx, "--headless")
    ran = cli(*words, "--name", "yard", "--name", "door", "--events", events)
    assert ran.code == 0, ran.err
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert {(line["camera"], line["source"]) for line in lines} == {(0, "yard"), (1, "door")}
    ran = cli(*words, "--name", "yard")
    assert (ran.code, "given 1 times for 2 sources" in ran.err) == (1, True), ran.err
    ran = cli(*words, "--name", "yard", "--name", "yard")
    assert (ran.code, "expected different names" in ran.err) == (1, True), ran.err


def test_one_frame_is_one_frame(cli: Cli, tiny_onnx: Path, clip: Path) -> None:
    ran = cli("camera", "--source", clip, "--engine", tiny_onnx, "--headless", "--max-frames", "1")
    assert ran.out.startswith("1 frame in ")


class Vanishing(Source):
    """A live source that is unplugged after five frames."""

    name = "camera five"
    live = True

    def __init__(self) -> None:
        self.given = 0

    def read(self) -> Shot:
        time.sleep(0.02)
        self.given += 1
        if self.given > 5:
            raise DeviceError(f"{self.name} stopped delivering frames. Was it unplugged?")
        return Shot(_striped(self.given))


def test_a_camera_that_vanishes_is_exit_4_with_all_closed(
    cli: Cli, tiny_onnx: Path, tmp_path: Path
) -> None:
    register_source("vanishing", lambda text, options: Vanishing())
    output = tmp_path / "clip.mkv"
    arguments = [
        "--source",
        "vanishing:",
        "--give-up",
        0,
        "--engine",
        tiny_onnx,
        "--output",
        output,
    ]
    ran = cli("camera", *arguments, "--json", "--headless")
    assert ran.code == 4
    assert ran.err == "error: camera five stopped delivering frames. Was it unplugged?\n"
    assert json.loads(ran.out)["frames"] == _count(output) > 0


def test_a_full_disk_stops_the_recording_only(
    cli: Cli, tiny_onnx: Path, full_disk: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    for index in range(20):
        cv2.imwrite(str(tmp_path / f"{index}.png"), noise)
    output = full_disk / "clip.mkv"
    arguments = ["--source", f"{tmp_path}/*.png", "--engine", tiny_onnx, "--output", output]
    ran = cli("camera", *arguments, "--headless")
    assert ran.code == 1, "not all that was asked for was done"
    assert ran.err.count("the disk is full") == 1
    assert ran.out.startswith("20 frames in ")
    assert 0 < _count(output) < 20


ENDLESS = """
import sys, time
import numpy as np
from edgecat.cli import main
from edgecat_runtime.camera import Shot, Source, register_source
from edgecat_runtime.system.child import limit_child

limit_child(int(sys.argv.pop(1)))  # ends with the tests, also if they are killed

class Endless(Source):
    live = True
    def read(self):
        time.sleep(0.01)
        image = np.full((64, 96, 3), 200, np.uint8)
        if time.monotonic() % 0.4 < 0.2:
            image[:] = 0  # the tiny classifier says cat, if only just
        return Shot(image)

register_source("endless", lambda text, options: Endless())
sys.argv = ["edgecat", "camera", "--source", "endless:", *sys.argv[1:]]
main()
"""
# The tests themselves may be run by nohup.
DEFAULT_HANGUP = ["env", "--default-signal=HUP"]


def _start(
    tiny_onnx: Path, folder: Path, *options: str, before: Sequence[str] = DEFAULT_HANGUP
) -> subprocess.Popen[str]:
    """Start an endless run and wait until it has recorded something."""
    arguments = ["--engine", str(tiny_onnx), "--headless", "--output", str(folder / "clip.mkv")]
    arguments += ["--events", str(folder / "events.jsonl"), *options]
    process = subprocess.Popen(
        [*before, sys.executable, "-c", ENDLESS, str(os.getpid()), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / "clip.mkv").exists() and (folder / "clip.mkv").stat().st_size > 10_000:
            break
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop_it_finishes_and_sums_up(
    tiny_onnx: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = _start(tiny_onnx, tmp_path, "--json")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["frames"] >= _count(tmp_path / "clip.mkv") > 0
    assert cv2.VideoCapture(str(tmp_path / "clip.mkv")).get(cv2.CAP_PROP_FRAME_COUNT) > 0
    assert _labels(tmp_path / "events.jsonl")[0]["frame"] == 0
    last = json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1])
    assert (last["event"], last["reason"]) == ("stopped", "stop requested")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_while_a_source_opens_it_ends(number: signal.Signals) -> None:
    """The server accepts the connection, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        command = [sys.executable, "-m", "edgecat", "camera", "--source", address, "--headless"]
        process = subprocess.Popen([*command, "--stall", "600"], stderr=subprocess.PIPE)
        client, _ = server.accept()
        with client:
            client.recv(4096)
            process.send_signal(number)
            assert process.communicate(timeout=60) == (None, b"")
    assert process.returncode == 0


def test_nohup_is_respected(tiny_onnx: Path, tmp_path: Path) -> None:
    process = _start(tiny_onnx, tmp_path, "--json", before=[*DEFAULT_HANGUP, "nohup"])
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.terminate()
    assert process.communicate(timeout=60)[0]
    assert process.returncode == 0


@pytest.mark.parametrize("changes", [2, 6])
def test_a_killed_run_keeps_everything_written_so_far(
    tiny_onnx: Path, tmp_path: Path, changes: int
) -> None:
    """Nothing lags behind: during the run, the clip covers the newest event."""

    def seen() -> tuple[int, float, float]:
        """Number of events, seconds between first and last, seconds of the clip."""
        events = _labels(tmp_path / "events.jsonl")
        first, last = (_seconds(event["time"]) for event in (events[0], events[-1]))
        return len(events), last - first, _length(tmp_path / "clip.mkv")

    shots = tmp_path / "shots"

    def whole() -> list[Path]:
        return [path for path in shots.glob("*.jpg") if not path.name.startswith(".")]

    options = ["--no-smooth", "--snapshots", str(shots), "--snapshot-limit", "5"]
    process = _start(tiny_onnx, tmp_path, *options)
    deadline = time.monotonic() + 60
    while True:
        count, old, long = seen()
        if count >= changes and long > old - 0.01 and whole():
            break
        assert time.monotonic() < deadline, f"{count} events over {old} s; a clip of {long} s"
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert seen() >= (count, old, long)
    assert 1 <= len(whole()) <= 6, "five, and the one for which the oldest was to go"
    assert all(cv2.imread(str(path)) is not None for path in whole())


def test_the_sample_runs(tiny_onnx: Path, clip: Path) -> None:
    sample = Path(__file__).parents[2] / "samples" / "embed" / "classify_camera.py"
    ran = subprocess.run(
        [sys.executable, sample, tiny_onnx, clip], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("frame 0: unsure\nframe 10: dog")
    assert "30 frames in" in ran.stdout


class Replacing(Source):
    """A live source whose sixth frame comes with another engine; it ends when that has happened."""

    live = True
    name = "replacing"

    def __init__(self, engine: Path, data: bytes, events: Path) -> None:
        self._engine, self._data, self._events = engine, data, events
        self._count = 0
        self._deadline = time.monotonic() + 60

    def read(self) -> Shot | None:
        time.sleep(0.01)
        self._count += 1
        if self._count == 6:
            self._engine.write_bytes(self._data)
        done = self._events.exists() and '"reloaded"' in self._events.read_text()
        late = time.monotonic() > self._deadline
        return None if done or late else Shot(np.full((64, 96, 3), 200, np.uint8))


def test_a_new_engine_file_takes_over(
    cli: Cli, make_tiny: Callable[..., bytes], tiny_card: ModelCard, tmp_path: Path
) -> None:
    engine, events = tmp_path / "engine.onnx", tmp_path / "events.jsonl"
    engine.write_bytes(make_tiny())
    data = make_tiny(card=dataclasses.replace(tiny_card, temperature=2.0))
    register_source("replacing", lambda text, options: Replacing(engine, data, events))
    arguments = ["--source", "replacing:", "--engine", engine, "--backend", "onnxruntime"]
    ran = cli("camera", *arguments, "--events", events, "--reload", "--headless", "--give-up", 0)
    assert ran.code == 0
    assert "changed and was reloaded: tiny, fp32, 32x32, on onnxruntime" in ran.err
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["started", "label", "reloaded", "stopped"]
