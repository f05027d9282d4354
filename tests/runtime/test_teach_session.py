"""A session of teaching behind its page: capture, upload, access, and the model that answers."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat_runtime.camera.frames import Frame
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import EdgecatError, UserError
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.loop.teach.classifier import NOTHING, TaughtClassifier
from edgecat_runtime.loop.teach.exchange import Exchange
from edgecat_runtime.loop.teach.features import Backbone
from edgecat_runtime.loop.teach.learner import Learner
from edgecat_runtime.loop.teach.session import Session
from edgecat_runtime.loop.teach.store import Store
from edgecat_runtime.model.prediction import Prediction
from edgecat_runtime.model.taps import feature_taps, graph_nodes, with_outputs
from edgecat_runtime.web import panels

pytest.importorskip("onnxruntime", reason="features need ONNX Runtime")
pytest.importorskip("aiohttp", reason="the web page needs aiohttp")

_SPEC = importlib.util.spec_from_file_location("web_loop", Path(__file__).with_name("web_loop.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
web_loop = importlib.util.module_from_spec(_SPEC)
sys.modules["web_loop"] = web_loop
_SPEC.loader.exec_module(web_loop)

RED, BLUE = (40, 40, 220), (220, 40, 40)


def coloured(colour: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 12, (48, 64, 3))
    return (np.array(colour) + noise).clip(0, 255).astype(np.uint8)


def answer_with(image: np.ndarray, index: int) -> Answer:
    frame = Frame(image, index, time.perf_counter(), time.time(), source="camera test")
    nothing = Prediction(None, 0.0, {NOTHING: 0.0}, ())
    return Answer(frame, nothing, nothing, False, 0.0, 0.0)


@contextmanager
def opened(folder: Path, model: Path) -> Iterator[Session]:
    store = Store(folder)
    backbone = Backbone(model, threads=1)
    live = TaughtClassifier(backbone)
    learner = Learner(store, backbone, live.learn)
    exchange = Exchange(live, lambda paths: Classifier.open_fastest(paths))
    session = Session(store, learner, live, exchange, why="Training needs torch")
    learner.start()
    try:
        yield session
    finally:
        session.close()
        live.close()


@pytest.fixture
def session(tmp_path: Path, tiny_onnx: Path) -> Iterator[Session]:
    with opened(tmp_path / "photos", tiny_onnx) as made:
        yield made


def show(session: Session, label: str, colour: tuple[int, int, int], count: int = 6) -> None:
    for number in range(count):
        session.see(answer_with(coloured(colour, number), hash((label, number))))
        session.capture(label)


def images_of(session: Session) -> list[int]:
    assert session.learner.taught is not None
    return [one.images for one in session.learner.taught.figures]


def until(is_true: Callable[[], Any]) -> None:
    end = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def asked(session: Session, image: np.ndarray) -> Prediction:
    live = session.live
    return live.predict(live.infer(live.preprocess(image)[None])[0])


def test_taps_are_outputs_of_the_same_graph(tiny_onnx: Path) -> None:
    model = tiny_onnx.read_bytes()
    assert [node.kind for node in graph_nodes(model)][-2:] == ["Flatten", "Gemm"]
    assert feature_taps(model) == ("flat",)
    import onnx

    merged = onnx.load_from_string(with_outputs(model, ("flat", "active")))
    assert [output.name for output in merged.graph.output] == ["logits", "flat", "active"]
    with pytest.raises(ValueError, match="not computed by a dense layer"):
        feature_taps(_without_dense(model))


def _without_dense(model: bytes) -> bytes:
    import onnx

    proto = onnx.load_from_string(model)
    del proto.graph.node[-1]
    proto.graph.output[0].name = "flat"
    return bytes(proto.SerializeToString())


def test_the_answer_follows_what_is_shown(session: Session) -> None:
    assert asked(session, coloured(RED)).unsure
    for label in ("red thing", "blue thing"):
        session.add_class(label)
    show(session, "red thing", RED)
    show(session, "blue thing", BLUE)
    until(lambda: session.live.labels == ("red thing", "blue thing"))
    until(lambda: sum(one.images for one in session.learner.taught.figures) == 12)
    assert asked(session, coloured(RED, 99)).label == "red thing"
    assert asked(session, coloured(BLUE, 99)).label == "blue thing"
    assert asked(session, coloured((40, 220, 40), 99)).unsure  # never shown
    keys = [one.key for one in session.store.captures() if one.label == "blue thing"]
    session.delete(keys)
    until(lambda: session.live.labels == ("red thing",))


def test_a_frame_is_kept_once(session: Session) -> None:
    session.add_class("mug")
    with pytest.raises(UserError, match="no image yet"):
        session.capture("mug")
    session.see(answer_with(coloured(RED), 5))
    assert session.capture("mug")["captured"]
    assert session.capture("mug") == {"captured": None}
    (kept,) = session.store.captures()
    assert (kept.source, len(session.state()["images"])) == ("camera test", 1)
    assert "images" not in session.state(session.store.version)


def test_a_session_goes_on_where_the_last_one_ended(tmp_path: Path, tiny_onnx: Path) -> None:
    with opened(tmp_path, tiny_onnx) as first:
        first.add_class("mug")
        first.add_class("bottle")
        show(first, "mug", RED)
        show(first, "bottle", BLUE)
        until(lambda: first.learner.taught and len(first.learner.taught.labels) == 2)
    with opened(tmp_path, tiny_onnx) as again:
        until(lambda: again.learner.taught)
        assert again.live.labels == ("mug", "bottle")
        assert asked(again, coloured(BLUE, 3)).label == "bottle"


def test_features_are_computed_once(
    tmp_path: Path, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "photos"
    with opened(folder, tiny_onnx) as first:
        for label, colour in (("red", RED), ("blue", BLUE)):
            first.add_class(label)
            show(first, label, colour)
        until(lambda: first.learner.taught and images_of(first) == [6, 6])
    (file,) = (folder / ".edgecat").glob("features-*.bin")
    size, described = file.stat().st_size, []
    features = Backbone.features
    monkeypatch.setattr(
        Backbone, "features", lambda self, x: described.append(len(x)) or features(self, x)
    )
    with opened(folder, tiny_onnx) as again:
        until(lambda: again.learner.taught)
        assert images_of(again) == [6, 6]
    assert described == [1]  # it tells how many features there are
    assert file.stat().st_size == size


def test_a_trained_model_is_used_and_undone(
    tmp_path: Path, tiny_onnx: Path, make_tiny: Callable[..., bytes]
) -> None:
    (tmp_path / "broken.onnx").write_bytes(make_tiny(negate=True))
    with opened(tmp_path / "photos", tiny_onnx) as session:
        assert session.exchange.take() is None
        session.use([tiny_onnx])
        news = session.exchange.take()
        assert (session.used, news.classifier.labels) == (str(tiny_onnx), ("cat", "dog"))
        with pytest.raises(EdgecatError, match="broken.onnx is not used: "):
            session.use([tmp_path / "broken.onnx"])
        assert (session.used, session.exchange.take()) == (str(tiny_onnx), None)
        session.exchange.retire(news.classifier)
    with opened(tmp_path / "photos", tiny_onnx) as again:
        assert again.restore() == ""
        assert again.exchange.take().classifier.labels == ("cat", "dog")
        again.undo()
        assert again.exchange.take().classifier is again.live
        with pytest.raises(UserError, match="nothing to undo"):
            again.undo()
        again.exchange.retire(again.live)
        assert again.live.infer(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 8)
    with opened(tmp_path / "photos", tiny_onnx) as last:
        assert (last.restore(), last.used, last.exchange.take()) == ("", "", None)


@contextmanager
def page_of(session: Session, **options: Any) -> Iterator[Any]:
    from edgecat_runtime.web.teach.panel import Newest, teach_panel

    before = dict(panels._PANELS)
    panels.register_panel(teach_panel(session))
    try:
        with web_loop.served(session.live, **options) as loop:
            newest = Newest(session)
            newest.write(answer_with(coloured(RED), 1), coloured(RED))
            yield loop
    finally:
        panels._PANELS.clear()
        panels._PANELS.update(before)


def jpeg_of(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image)[1].tobytes()


def test_two_browsers_see_the_same_state(session: Session) -> None:
    with page_of(session) as loop:
        assert loop.post("/panels/teach/add", {"label": "mug"})[1]["classes"] == ["mug"]
        status, kept = loop.post("/panels/teach/capture", {"label": "mug", "version": -1})
        assert (status, len(kept["images"])) == (200, 1)
        status, other = loop.post("/panels/teach/state", {"version": -1})
        assert (other["images"], other["classes"]) == (kept["images"], ["mug"])
        assert "images" not in loop.post("/panels/teach/state", {"version": other["version"]})[1]
        loop.post("/panels/teach/delete", {"images": [kept["captured"]]})
        status, again = loop.post("/panels/teach/delete", {"images": [kept["captured"]]})
        assert (status, again["images"]) == (200, [])
        status, refused = loop.post("/panels/teach/train")
        assert (status, refused["error"]) == (400, "Training needs torch")


@pytest.mark.parametrize(
    ("action", "message", "why"),
    [
        ("capture", {"label": "cup"}, "there is no class 'cup'"),
        ("capture", {"label": 5}, "expected a text"),
        ("delete", {"images": "mug/1.jpg"}, "expected a list"),
        ("move", {"images": [], "label": "../x"}, "there is no class"),
        ("add", {"label": "../x"}, "single path component"),
        ("remove", {"label": "nothing"}, "there is no class"),
        ("undo", {}, "nothing to undo"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(
    session: Session, action: str, message: dict[str, Any], why: str
) -> None:
    with page_of(session) as loop:
        status, said = loop.post(f"/panels/teach/{action}", message)
        assert (status, why in said["error"]) == (400, True), said


def test_files_are_uploaded_within_limits(session: Session) -> None:
    session.add_class("mug")
    with page_of(session) as loop:
        origin = {"Origin": f"http://{loop.host}:{loop.port}"}
        path = "/panels/teach/upload/image?label=mug&name=me.jpg"

        def send(body: bytes, path: str = path, **headers: str) -> tuple[int, Any]:
            status, _, answer = loop.ask(path, method="POST", body=body, **headers)
            return status, json.loads(answer)

        picture = jpeg_of(np.full((1200, 3200, 3), 90, np.uint8))
        assert len(picture) > 4096
        status, kept = send(picture, **origin)
        assert (status, len(kept["images"])) == (200, 1)
        assert cv2.imread(str(session.store.path(kept["captured"]))).shape == (600, 1600, 3)
        assert send(picture)[0] == 403  # without the Origin
        assert send(picture, Origin="http://elsewhere")[0] == 403
        assert send(b"no image", **origin)[0] == 400
        assert send(b"", **origin)[0] == 400
        assert send(picture, "/panels/teach/upload/image?label=cup", **origin)[0] == 400
        assert send(picture, "/panels/teach/upload/other?label=mug", **origin)[0] == 404
        assert send(picture, "/panels/teach/add", **origin)[0] == 413
        assert send(b"x" * 16_000_001, **origin)[0] == 413
        assert len(session.store.captures()) == 1

        key = kept["captured"].replace("/", "%2F")
        status, headers, body = loop.ask(f"/panels/teach/file?key={key}")
        assert (status, headers["Content-Type"]) == (200, "image/jpeg")
        small = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
        assert small.shape == (144, 384, 3)
        for bad in ("", "mug%2F..%2F..%2Fphotos", "%2Fetc%2Fpasswd"):
            assert loop.ask(f"/panels/teach/file?key={bad}")[0] == 400


def test_the_page_s_token_guards_it(session: Session) -> None:
    session.add_class("mug")
    with page_of(session, token="secret") as loop:
        for path in ("/panels/teach/file?key=x", "/panels/teach.js"):
            assert loop.ask(path)[0] == 401
        assert loop.post("/panels/teach/capture", {"label": "mug"})[0] == 401
        assert loop.ask("/panels/teach/upload/image?label=mug", method="POST", body=b"x")[0] == 401
        assert session.store.captures() == []
        status, *_ = loop.ask("/panels/teach.js", Authorization="Bearer secret")
        assert status == 200


_ALONE = """
import sys
for name in ("torch", "onnx", "edgecat", "edgecat_export", "typer", "rich", "safetensors"):
    sys.modules[name] = None  # importing it fails
import numpy as np
from pathlib import Path
from edgecat_runtime.loop.teach.classifier import TaughtClassifier
from edgecat_runtime.loop.teach.features import Backbone
from edgecat_runtime.loop.teach.learner import Learner
from edgecat_runtime.loop.teach.store import Store
import edgecat_runtime.loop.teach.session, edgecat_runtime.web.teach.panel
store, backbone = Store(Path(sys.argv[1])), Backbone(Path(sys.argv[2]), threads=1)
for label, colour in (("mug", 30), ("bottle", 220)):
    store.add_class(label)
    for shift in range(3):
        store.add(np.full((40, 40, 3), colour + shift, np.uint8), label, source="")
live = TaughtClassifier(backbone)
learner = Learner(store, backbone, live.learn)
learner._learn()
print(live.predict(live.infer(live.preprocess(np.full((50, 50, 3), 221, np.uint8))[None])[0]).best)
"""


def test_a_board_without_torch_learns(tmp_path: Path, tiny_onnx: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _ALONE, str(tmp_path), str(tiny_onnx)],
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, "bottle"), ran.stderr
