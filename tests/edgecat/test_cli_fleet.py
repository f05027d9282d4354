"""`edgecat fleet`, and `edgecat camera --follow` with its mistakes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.channel import rollout_position
from edgecat_runtime.model.trust import VARIABLE
from fleet.server import Server

pytest.importorskip("cryptography", reason="needs cryptography: pip install 'edgecat[sign]'")

SOURCE = ("--source", "synthetic://pets?fps=50&width=64&height=64&frames=3", "--headless")
Make = Callable[..., bytes]


@pytest.fixture
def signed(
    tmp_path: Path,
    cli: Callable,
    make_tiny: Make,
    tiny_card: ModelCard,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with two keys and models 1.onnx to 3.onnx, signed; the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("EDGECAT_BOARD", "board-1")
    for name in ("ours", "theirs"):
        assert cli("key", "new", name).code == 0
    for number in (1, 2, 3):
        Path(f"{number}.onnx").write_bytes(make_tiny(card=replace(tiny_card, temperature=number)))
        assert cli("sign", f"{number}.onnx", "--key", "ours").code == 0
    return tmp_path


def published(cli: Callable, *arguments: object) -> dict:
    untested = ("--no-verify",) if arguments[0] == "publish" else ()  # it takes seconds
    ran = cli("fleet", *arguments, "--to", "yard", "--key", "ours", "--json", *untested)
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def versions(shown: dict) -> list[tuple[int, int]]:
    return [(release["version"], release["percent"]) for release in shown["releases"]]


def test_versions_go_up_in_shares_and_down_by_a_return(signed: Path, cli: Callable) -> None:
    first = published(cli, "publish", "1.onnx", "--note", "the first")
    assert (first["channel"], first["sequence"], versions(first)) == ("yard", 1, [(1, 100)])
    second = published(cli, "publish", "2.onnx", "--rollout", 10)
    assert versions(second) == [(2, 10), (1, 100)], "the others keep version 1"
    assert versions(published(cli, "rollout", 50)) == [(2, 50), (1, 100)]
    assert versions(published(cli, "rollout", 100)) == [(2, 100)]
    assert versions(published(cli, "rollout", 0)) == [(2, 0), (1, 100)]
    third = published(cli, "publish", "3.onnx", "--min-edgecat", "0.1", "--expires", 30)
    assert (third["sequence"], versions(third), third["expires"][:2]) == (6, [(3, 100)], "20")
    back = published(cli, "return", 1)
    assert (versions(back), back["returns_from"], back["expires"]) == ([(1, 100)], 3, None)
    again = published(cli, "publish", "3.onnx", "--rollout", 10)
    assert (versions(again), again["returns_from"]) == ([(4, 10), (1, 100)], 3)
    assert published(cli, "rollout", 100)["returns_from"] is None
    kept = sorted(path.name for path in (signed / "yard" / "manifests").iterdir())
    assert kept == [f"{number:08}.json" for number in range(1, 10)]


def test_a_growing_share_keeps_its_salt(signed: Path, cli: Callable) -> None:
    def salt() -> str:
        content = json.loads((signed / "yard" / "manifest.json").read_text())
        return content["manifest"]["releases"][0]["salt"]

    published(cli, "publish", "1.onnx", "--rollout", 10)
    first = salt()
    published(cli, "rollout", 20)
    assert salt() == first
    published(cli, "publish", "2.onnx")
    assert salt() != first


def test_status_shows_and_verifies(signed: Path, cli: Callable) -> None:
    published(cli, "publish", "1.onnx")
    shown = json.loads(cli("fleet", "status", "yard", "--json").out)
    assert (shown["trusted"], shown["board"], shown["board_version"]) == (None, "board-1", 1)
    ran = cli("fleet", "status", "yard", "--trust", "ours.pub", "--files")
    assert (ran.code, "signature trusted" in ran.out, "board board-1: version 1" in ran.out) == (
        0,
        True,
        True,
    )
    ran = cli("fleet", "status", "yard", "--trust", "theirs.pub")
    assert (ran.code, "expected a key in theirs.pub" in ran.err) == (3, True)
    (model,) = (signed / "yard" / "models").iterdir()
    model.write_bytes(b"else")
    ran = cli("fleet", "status", "yard", "--files")
    assert (ran.code, f"damaged or missing: models/{model.name}" in ran.out) == (3, True)
    published(cli, "publish", "2.onnx", "--expires", 0.01)
    content = (signed / "yard" / "manifest.json").read_text()
    assert "EXPIRED" not in cli("fleet", "status", "yard").out
    assert '"expires": "20' in content


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["publish", "plain.onnx"], 3, "plain.onnx is not signed"),
        (["publish", "foreign.onnx"], 3, "is signed by SHA256"),
        (["publish", "broken.onnx"], 3, "golden frames differ"),
        (["publish", "1.onnx", "--version", 1], 1, "does not go up"),
        (["publish", "1.onnx", "--sequence", 1], 1, "expected more than 1"),
        (["publish", "1.onnx", "--channel", "garden"], 1, "is channel 'yard', not 'garden'"),
        (["publish", "1.onnx", "--min-edgecat", "new"], 1, "min_edgecat"),
        (["publish", "birds.onnx"], 1, "the class names differ"),
        (["publish", "ours"], 1, "expected an .onnx, .trt or .rtx file"),
        (["publish", "none.onnx"], 1, "does not exist"),
        (["publish", "1.onnx", "birds.onnx"], 1, "different class names"),
        (["publish", "1.onnx", "--rollout", 101], 2, "--rollout"),
        (["return", 1], 1, "expected a lower one"),
        (["rollout", 101], 2, "percent"),
    ],
)
def test_a_mistake_is_a_sentence_and_changes_nothing(
    signed: Path,
    cli: Callable,
    make_tiny: Make,
    tiny_card: ModelCard,
    arguments: list,
    code: int,
    said: str,
) -> None:
    published(cli, "publish", "1.onnx")
    Path("plain.onnx").write_bytes(make_tiny())
    Path("foreign.onnx").write_bytes(make_tiny())
    Path("broken.onnx").write_bytes(make_tiny(negate=True))
    Path("birds.onnx").write_bytes(make_tiny(card=replace(tiny_card, labels=("owl", "tit"))))
    for name, key in (("foreign", "theirs"), ("broken", "ours"), ("birds", "ours")):
        assert cli("sign", f"{name}.onnx", "--key", key).code == 0
    before = (signed / "yard" / "manifest.json").read_bytes()
    ran = cli("fleet", *arguments, "--to", "yard", "--key", "ours")
    assert (ran.code, said in ran.err) == (code, True), ran
    assert (signed / "yard" / "manifest.json").read_bytes() == before


def test_a_channel_that_someone_else_wrote_is_not_carried_on(signed: Path, cli: Callable) -> None:
    assert cli("sign", "2.onnx", "--key", "theirs").code == 0
    assert cli("fleet", "publish", "2.onnx", "--to", "yard", "--key", "theirs").code == 0
    ran = cli("fleet", "publish", "1.onnx", "--to", "yard", "--key", "ours", "--rollout", 10)
    assert (ran.code, "expected a key in" in ran.err) == (3, True)
    both = Path("both.pub")
    both.write_text(Path("ours.pub").read_text() + Path("theirs.pub").read_text())
    ran = cli(*("fleet", "publish", "1.onnx", "--to", "yard", "--key", "ours", "--trust", both))
    assert ran.code == 0, ran.err


def test_other_places_are_named(signed: Path, cli: Callable) -> None:
    ran = cli("fleet", "publish", "1.onnx", "--to", "s3://bucket/yard", "--key", "ours")
    assert (ran.code, "aws s3 sync" in ran.err) == (1, True)
    ran = cli("fleet", "rollout", 10, "--to", "nowhere", "--key", "ours")
    assert (ran.code, "holds no channel" in ran.err) == (1, True)
    there = (signed / "by url").as_uri()
    assert cli("fleet", "publish", "1.onnx", "--to", there, "--key", "ours").code == 0
    assert cli("fleet", "status", there, "--trust", "ours.pub").code == 0


def test_a_server_that_takes_put_is_published_to(signed: Path, cli: Callable) -> None:
    (signed / "yard").mkdir()
    server = Server(signed / "yard")
    try:
        to = ("--to", server.url, "--key", "ours", "--channel", "yard")
        ran = cli("fleet", "publish", "1.onnx", *to)
        assert (ran.code, "responded with 501" in ran.err) == (4, True), "a plain server"
        server.writable = True
        ran = cli("fleet", "publish", "1.onnx", *to)
        assert ran.code == 0, ran.err
        ran = cli("fleet", "publish", "2.onnx", *to)
        assert "manifest 2" in ran.out
        stored = [path for path, status in server.asked if status == 201]
        assert stored[-1] == "/manifest.json", "last"
        assert cli("fleet", "return", 1, *to[:4]).code == 0
        ran = cli("fleet", "status", server.url, "--trust", "ours.pub", "--files")
        assert (ran.code, "a return from version 2" in ran.out) == (0, True), ran
    finally:
        server.kill()


def test_the_camera_follows_a_folder_and_says_which_model_answered(
    signed: Path, cli: Callable
) -> None:
    published(cli, "publish", "1.onnx")
    follow = ("--follow", "yard", "--trust", "ours.pub", "--follow-folder", "board")
    ran = cli("camera", *SOURCE, *follow, "--predictions", "lines", "--events", "events")
    assert ran.code == 0, ran.err
    lines = [json.loads(line) for line in Path("lines").read_text().splitlines()]
    (model,) = (signed / "yard" / "models").iterdir()
    named = {"channel": "yard", "version": 1, "sha256": model.stem}
    assert [line["model"] for line in lines] == [named] * 3
    events = [json.loads(line) for line in Path("events").read_text().splitlines()]
    assert all(event["model"] == named for event in events)
    shutil.rmtree("yard")
    ran = cli("camera", *SOURCE, *follow)
    assert ran.code == 0, "the channel is away, the model is here"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--follow", "yard"], 1, "--trust KEYS"),
        (["--follow", "nowhere", "--trust", "ours.pub"], 4, "cannot read nowhere/manifest.json"),
        (["--follow", "http://127.0.0.1:1", "--trust", "ours.pub"], 4, "cannot be reached"),
        (["--follow", "yard", "--trust", "theirs.pub"], 3, "expected a key in theirs.pub"),
        (["--follow", "none", "--trust", "ours.pub"], 4, "offers no model to this board (board-1)"),
        (["--follow", "yard", "--model", "1.onnx"], 1, "--model and --follow"),
        (["--follow", "yard", "--reload"], 1, "--reload and --follow"),
        (["--follow", "ftp://x/y", "--trust", "ours.pub"], 1, "is not a channel"),
        (["--canary", "5"], 1, "--canary needs a channel"),
        (["--build-engine", "ours"], 1, "--build-engine needs a channel"),
        (
            ["--follow", "yard", "--trust", "ours.pub", "--build-engine", "theirs"],
            1,
            "its public key is not trusted",
        ),
    ],
)
def test_a_board_that_cannot_start_says_why(
    signed: Path, cli: Callable, arguments: list[str], code: int, said: str
) -> None:
    published(cli, "publish", "1.onnx")
    nothing = ("fleet", "publish", "1.onnx", "--to", "none", "--key", "ours", "--rollout", 0)
    assert cli(*nothing).code == 0
    ran = cli("camera", *SOURCE, *arguments, "--follow-folder", "board")
    assert (ran.code, said in ran.err) == (code, True), ran
    assert len(ran.err.strip().splitlines()) == 1, ran.err


def test_a_share_decides_by_the_board_s_id(signed: Path, cli: Callable) -> None:
    published(cli, "publish", "1.onnx", "--rollout", 50)
    content = json.loads((signed / "yard" / "manifest.json").read_text())
    salt = content["manifest"]["releases"][0]["salt"]
    for board in ("a", "b", "c", "d", "e", "f"):
        shown = json.loads(cli("fleet", "status", "yard", "--board", board, "--json").out)
        assert bool(shown["board_version"]) == (rollout_position(salt, board) < 50)


def test_without_tensorrt_no_engine_is_built_and_the_onnx_file_serves(
    signed: Path, cli: Callable
) -> None:
    if find_spec("tensorrt") or find_spec("tensorrt_bindings"):
        pytest.skip("TensorRT is installed: it would build one")
    published(cli, "publish", "1.onnx")
    follow = ("--follow", "yard", "--trust", "ours.pub", "--follow-folder", "board")
    ran = cli("camera", *SOURCE, *follow, "--build-engine", "ours", "--backend", "onnxruntime")
    assert ran.code == 0, ran.err
    assert "no engine was built for version 1: TensorRT is not installed" in ran.err
