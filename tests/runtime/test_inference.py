"""The inference service, over its own HTTP and by the client that Triton's users have."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat_runtime.classifier import Classifier
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.web.access import AccessControl, Address, listen
from edgecat_runtime.web.inference.service import InferenceServer, ServiceOptions

pytest.importorskip("aiohttp", reason="needs aiohttp: pip install 'edgecat[web]'")
pytest.importorskip("prometheus_client", reason="needs pip install 'edgecat[metrics]'")

JSON_LENGTH = "Inference-Header-Content-Length"
FRAMES = golden_frames(32, 32)


class Client:
    """A connection to the service for each request."""

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self.port = port
        self.headers = headers or {}

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, data, {**self.headers, **given})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.headers)
        finally:
            connection.close()

    def json(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        status, data, _ = self.ask(method, path, body, **headers)
        return status, json.loads(data)

    def infer(self, *inputs: dict[str, Any], **more: Any) -> tuple[int, Any]:
        return self.json("POST", "/v2/models/tiny/infer", {"inputs": list(inputs), **more})


class Slow:
    """A classifier whose network takes a while."""

    def __init__(self, classifier: Classifier, seconds: float) -> None:
        self._classifier, self._seconds = classifier, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._classifier, name)

    def infer(self, frames: np.ndarray) -> np.ndarray:
        time.sleep(self._seconds)
        return self._classifier.infer(frames)


@pytest.fixture(scope="module")
def classifier(tiny_onnx: Path) -> Iterator[Classifier]:
    with Classifier.open(tiny_onnx, backend="onnxruntime") as opened:
        yield opened


def started(
    classifier: Any, options: ServiceOptions | None = None, token: str = ""
) -> tuple[InferenceServer, int]:
    address = Address("127.0.0.1", 0)
    sock = listen(address)
    guard = AccessControl(address, sock, token)
    server = InferenceServer(classifier, sock, guard, name="tiny", options=options)
    return server, guard.port


@pytest.fixture(scope="module")
def client(classifier: Classifier) -> Iterator[Client]:
    server, port = started(classifier, ServiceOptions(max_images=8, max_bytes=1_000_000))
    with server:
        yield Client(port)


def frames_input(frames: np.ndarray = FRAMES, **changed: Any) -> dict[str, Any]:
    shape = list(frames.shape)
    values = {"name": "frames", "datatype": "UINT8", "shape": shape, "data": frames.tolist()}
    return {**values, **changed}


def by_name(answer: dict[str, Any]) -> dict[str, Any]:
    return {output["name"]: output["data"] for output in answer["outputs"]}


def test_health_and_metadata(client: Client, classifier: Classifier) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready"):
        assert client.ask("GET", path)[0] == 200
    assert client.json("GET", "/v2")[1]["extensions"] == ["binary_tensor_data"]
    for path in ("/v2/models/tiny", "/v2/models/tiny/versions/1"):
        status, found = client.json("GET", path)
        assert status == 200
        assert found["inputs"][0] == {
            "name": "frames",
            "datatype": "UINT8",
            "shape": [-1, 32, 32, 3],
        }
        assert found["card"] == classifier.card.to_dict()


def test_frames_are_answered_as_the_classifier_does(client: Client, classifier: Classifier) -> None:
    status, answer = client.infer(frames_input(), id="seven")
    assert (status, answer["id"], answer["model_name"]) == (200, "seven", "tiny")
    assert {output["name"]: output["shape"] for output in answer["outputs"]} == {
        "logits": [4, 2],
        "probabilities": [4, 2],
        "label": [4],
        "energy": [4],
    }
    found = by_name(answer)
    logits = classifier.infer(FRAMES)
    assert np.array_equal(np.float32(found["logits"]).reshape(4, 2), logits)
    predictions = [classifier.predict(row) for row in logits]
    assert found["label"] == [prediction.displayed for prediction in predictions]
    assert found["probabilities"][:2] == pytest.approx(list(predictions[0].probabilities.values()))


def test_image_files_are_answered_as_the_classifier_does(
    client: Client, classifier: Classifier
) -> None:
    images = [cv2.imencode(".png", cv2.resize(frame, (70, 50)))[1].tobytes() for frame in FRAMES]
    texts = [base64.b64encode(image).decode() for image in images]
    tensor = {"name": "images", "datatype": "BYTES", "shape": [4], "data": texts}
    status, answer = client.infer(tensor, outputs=[{"name": "label"}, {"name": "logits"}])
    assert status == 200
    assert [output["name"] for output in answer["outputs"]] == ["label", "logits"]
    decoded = [cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR) for image in images]
    fitted = np.stack([classifier.preprocess(image) for image in decoded])
    logits = np.float32(by_name(answer)["logits"]).reshape(4, 2)
    assert np.allclose(logits, classifier.infer(fitted), atol=1e-5)


def test_bytes_behind_the_json_go_both_ways(client: Client, classifier: Classifier) -> None:
    tensor = frames_input(parameters={"binary_data_size": FRAMES.nbytes})
    del tensor["data"]
    wanted = [{"name": "logits", "parameters": {"binary_data": True}}, {"name": "label"}]
    head = json.dumps({"inputs": [tensor], "outputs": wanted}).encode()
    status, body, headers = client.ask(
        "POST",
        "/v2/models/tiny/versions/1/infer",
        head + FRAMES.tobytes(),
        Inference_Header_Content_Length=str(len(head)),
    )
    assert status == 200
    length = int(headers[JSON_LENGTH])
    answer = json.loads(body[:length])
    assert answer["outputs"][0]["parameters"] == {"binary_data_size": 32}
    logits = np.frombuffer(body[length:], "<f4").reshape(4, 2)
    assert np.array_equal(logits, classifier.infer(FRAMES))
    assert len(answer["outputs"][1]["data"]) == 4


def test_the_client_of_triton_is_served(client: Client, classifier: Classifier) -> None:
    triton = pytest.importorskip(
        "tritonclient.http", reason="needs tritonclient: pip install 'tritonclient[http]'"
    )
    with triton.InferenceServerClient(f"127.0.0.1:{client.port}") as remote:
        assert remote.is_server_live()
        assert remote.is_server_ready()
        assert remote.is_model_ready("tiny")
        assert remote.get_server_metadata()["name"] == "edgecat"
        assert remote.get_model_metadata("tiny")["inputs"][0]["datatype"] == "UINT8"
        assert remote.get_model_repository_index()[0]["state"] == "READY"
        expected = classifier.infer(FRAMES)
        for binary in (True, False):
            sent = triton.InferInput("frames", list(FRAMES.shape), "UINT8")
            sent.set_data_from_numpy(FRAMES, binary_data=binary)
            wanted = [
                triton.InferRequestedOutput(name, binary_data=binary)
                for name in ("logits", "label", "probabilities", "energy")
            ]
            answer = remote.infer("tiny", [sent], outputs=wanted, request_id="1")
            assert np.array_equal(answer.as_numpy("logits"), expected)
            labels = [str(getattr(v, "decode", lambda v=v: v)()) for v in answer.as_numpy("label")]
            assert labels == [classifier.predict(row).displayed for row in expected]
        image = cv2.imencode(".jpg", FRAMES[0])[1].tobytes()
        sent = triton.InferInput("images", [2], "BYTES")
        sent.set_data_from_numpy(np.array([image, image], dtype=np.object_))
        answer = remote.infer("tiny", [sent])
        assert answer.as_numpy("logits").shape == (2, 2)
        with pytest.raises(triton.InferenceServerException, match="image 0"):
            sent = triton.InferInput("images", [1], "BYTES")
            sent.set_data_from_numpy(np.array([b"no image"], dtype=np.object_))
            remote.infer("tiny", [sent])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "is not JSON"),
        (b"[]", "is not a JSON object"),
        ({}, "expected one input"),
        ({"inputs": [frames_input(), frames_input()]}, "expected one input"),
        ({"inputs": [frames_input(name="x")]}, "is called 'x'; expected frames or images"),
        ({"inputs": [frames_input(datatype="FP32")]}, "is FP32 [4, 32, 32, 3]; expected UINT8"),
        ({"inputs": [frames_input(shape=[4, 32, 31, 3])]}, "expected UINT8 [n, 32, 32, 3]"),
        ({"inputs": [frames_input(shape=[-1, 32, 32, 3])]}, "not a list of whole numbers"),
        ({"inputs": [frames_input(shape=[9, 32, 32, 3])]}, "holds 9 images; expected 1 to 8"),
        ({"inputs": [frames_input(shape=[0, 32, 32, 3])]}, "holds 0 images"),
        ({"inputs": [frames_input(shape=[3, 32, 32, 3])]}, "is not 9216 whole numbers"),
        ({"inputs": [frames_input(data=[0.5] * 12288)]}, "is not 12288 whole numbers"),
        ({"inputs": [frames_input(data=[300] * 12288)]}, "is not 12288 whole numbers"),
        ({"inputs": [frames_input(data=[[1], [2, 3]])]}, "ragged"),
        ({"inputs": [frames_input(data=None)]}, "is not 12288 whole numbers"),
        ({"inputs": [frames_input(parameters={"binary_data_size": 5})]}, "0 bytes follow"),
        ({"inputs": [frames_input()], "outputs": [{"name": "x"}]}, "there is no output 'x'"),
        ({"inputs": [frames_input()], "outputs": "x"}, "outputs is not a list"),
        ({"inputs": [frames_input()], "id": 7}, "the id is not text"),
        (
            {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": ["%"]}]},
            "is not base64",
        ),
        (
            {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [2], "data": ["aGk="]}]},
            "holds 1 image files; its shape says 2",
        ),
        (
            {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": ["aGk="]}]},
            "cannot decode image 0",
        ),
    ],
)
def test_a_bad_request_gets_a_sentence(client: Client, body: Any, said: str) -> None:
    status, answer = client.json("POST", "/v2/models/tiny/infer", body)
    assert (status, said in answer["error"]) == (400, True), answer


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v2/models/other", {}, 404),
        ("GET", "/", {}, 404),
        ("GET", "/v2/models/tiny/infer", {}, 405),
        ("GET", "/v2", {"Host": "evil.example"}, 421),
        ("GET", "/v2", {"Origin": "http://evil.example"}, 403),
        ("GET", "/v2", {"Sec_Fetch_Site": "cross-site"}, 403),
    ],
)
def test_what_is_not_served_is_refused(
    client: Client, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    found, answer = client.json(method, path, **headers)
    assert (found, bool(answer["error"])) == (status, True)


def test_a_request_that_is_too_large_is_refused(client: Client) -> None:
    status, answer = client.json("POST", "/v2/models/tiny/infer", b" " * 1_000_001)
    assert (status, "larger than 1000000 bytes" in answer["error"]) == (413, True)


@pytest.mark.parametrize("length", ["x", "-1", "999999999", "9" * 400])
def test_a_wrong_length_of_the_json_is_a_sentence(client: Client, length: str) -> None:
    status, answer = client.json(
        "POST", "/v2/models/tiny/infer", b"{}", Inference_Header_Content_Length=length
    )
    assert (status, bool(answer["error"])) == (400, True)


def test_a_token_is_demanded_but_for_health(classifier: Classifier) -> None:
    server, port = started(classifier, token="secret")
    with server:
        assert Client(port).ask("GET", "/v2/health/live")[0] == 200
        status, _, headers = Client(port).ask("GET", "/v2/models/tiny")
        assert (status, "WWW-Authenticate" in headers) == (401, True)
        assert Client(port).infer(frames_input())[0] == 401
        assert Client(port, {"Authorization": "Bearer wrong"}).ask("GET", "/metrics")[0] == 401
        admitted = Client(port, {"Authorization": "Bearer secret"})
        assert admitted.infer(frames_input())[0] == 200


def test_overload_is_answered_with_503_and_no_accepted_request_is_lost(
    classifier: Classifier,
) -> None:
    options = ServiceOptions(max_batch=4, queue=8, delay=0.0)
    server, port = started(Slow(classifier, 0.05), options)
    with server, ThreadPoolExecutor(48) as pool:
        expected = classifier.infer(FRAMES[:1]).ravel().tolist()
        asked = [pool.submit(Client(port).infer, frames_input(FRAMES[:1])) for _ in range(96)]
        found = [future.result() for future in asked]
        metrics = Client(port).ask("GET", "/metrics")[1].decode()
    statuses = {status for status, _ in found}
    assert statuses == {200, 503}
    for status, answer in found:
        if status == 200:
            assert by_name(answer)["logits"] == pytest.approx(expected, abs=1e-5)
    refused = sum(status == 503 for status, _ in found)
    assert f'edgecat_refused{{model="tiny"}} {refused:.1f}' in metrics
    assert f'edgecat_frames{{model="tiny"}} {96 - refused:.1f}' in metrics


def test_leaving_answers_what_was_accepted(classifier: Classifier) -> None:
    server, port = started(Slow(classifier, 1.5), ServiceOptions(max_batch=4, queue=20))
    with ThreadPoolExecutor(5) as pool:
        with server:
            asked = [pool.submit(Client(port).infer, frames_input()) for _ in range(3)]
            time.sleep(1.0)  # until all have been accepted, also on a busy machine
        assert [future.result()[0] for future in asked] == [200] * 3
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_nonsense_on_the_port_does_no_harm(client: Client) -> None:
    for nonsense in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9\r\n\r\n", b"A" * 20_000 + b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", client.port), timeout=10) as raw:
            raw.sendall(nonsense)
            raw.shutdown(socket.SHUT_WR)
            assert b"Traceback" not in raw.recv(4096)
    assert client.infer(frames_input())[0] == 200
    assert threading.active_count() < 100
