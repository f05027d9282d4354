"""Batch classification: every kind of input, every order of events, the same rows."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat.workflows.batch.best_batch import best_batch
from edgecat.workflows.batch.classify import classify_to_parquet
from edgecat.workflows.batch.clusters import cluster_here
from edgecat.workflows.batch.placement import Workers
from edgecat.workflows.batch.ray_pool import portable
from edgecat.workflows.batch.reading import Reader
from edgecat.workflows.batch.sources import list_items
from edgecat.workflows.batch.tasks import Task, images_per_part
from edgecat.workflows.batch.worker import Setup, Worker
from edgecat.workflows.evaluate import evaluate
from edgecat.workflows.reporter import Silent
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import BackendMissing, EdgecatError, UserError
from edgecat_runtime.images import ImageError, read_image
from edgecat_runtime.model.trust import NotTrusted

pa = pytest.importorskip(
    "pyarrow", reason="pyarrow is not installed: pip install 'edgecat[parquet]'"
)
parquet = pytest.importorskip("pyarrow.parquet")

Cli = Callable[..., Any]


def draw(folder: Path, count: int, seed: int = 0) -> Path:
    """Write small noise images `00.png`, `01.png`, ...; each differs."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i:02}.png"), rng.integers(0, 256, (40, 50, 3), np.uint8))
    return folder


def encoded(seed: int) -> bytes:
    """An image as PNG."""
    image = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), np.uint8)
    return bytes(cv2.imencode(".png", image)[1])


def tar(path: Path, files: dict[str, bytes]) -> Path:
    """Write a tar."""
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of an output."""
    return list(parquet.read_table(path).to_pylist())


class Heard(Silent):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Images in a folder, a WebDataset shard and two kinds of Parquet file; three are broken."""
    folder = draw(tmp_path / "mixed" / "a", 5).parent
    (folder / "a" / "02.jpg").write_bytes(b"this is no image")
    (folder / "a" / "notes.txt").write_text("not an image either")
    files = {f"{i:06}.{kind}": data for i in range(3) for kind, data in _sample(i)}
    tar(folder / "shard-000000.tar", {**files, "000003.png": b""})
    images = [encoded(20), None, encoded(21)]
    rows = pa.table(
        {"image": [{"bytes": image, "path": "x"} for image in images], "label": [0] * 3}
    )
    parquet.write_table(rows, folder / "train-0.parquet", row_group_size=2)
    plain = pa.table({"jpg": [encoded(30), encoded(31)], "mask": [b"a", b"b"]})
    parquet.write_table(plain, folder / "train-1.parquet")
    return folder


def _sample(i: int) -> list[tuple[str, bytes]]:
    return [("png", encoded(10 + i)), ("cls", b"1"), ("json", b"{}")]


SOURCES = [
    *(f"a/{name}" for name in ("00.png", "01.png", "02.jpg", "02.png", "03.png", "04.png")),
    *(f"shard-000000.tar:00000{i}.png" for i in range(4)),
    *(f"train-0.parquet:{i}" for i in range(3)),
    *(f"train-1.parquet:{i}" for i in range(2)),
]
BROKEN = {2: "cannot decode", 9: "is empty", 11: "is null"}


def test_every_kind_of_input_in_order(mixed: Path, exported: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    done = classify_to_parquet(mixed, output, exported, workers=Workers(count=2, batch=2))
    rows = rows_of(output)
    assert [row["source"] for row in rows] == [f"{mixed}/{name}" for name in SOURCES]
    for place, row in enumerate(rows):
        if place in BROKEN:
            assert BROKEN[place] in row.pop("error")
            assert row.pop("source") in str(mixed / SOURCES[place])
            assert set(row.values()) == {None}
        else:
            assert row["error"] is None
            assert row["label"] in ("cat", "dog")
    assert (done.images, done.failed, done.resumed, done.run.workers) == (15, 3, 0, 2)
    assert sum(done.labels.values()) == 12
    assert not output.with_name("out.parquet.partial").exists()


def test_one_process_many_workers_and_this_one_give_the_same_bits(
    exported: Path, tmp_path: Path
) -> None:
    photos = draw(tmp_path / "photos", 11)
    written = []
    for count in (1, 2, 3):
        output = tmp_path / f"{count}.parquet"
        workers = Workers(count=count, batch=4)
        classify_to_parquet(photos, output, exported, workers=workers, backend="onnxruntime")
        written.append(output.read_bytes())
    assert written[0] == written[1] == written[2]
    rows = rows_of(tmp_path / "1.parquet")
    with Classifier.open(exported, backend="onnxruntime", threads=1) as classifier:
        frames = [classifier.preprocess(read_image(row["source"])) for row in rows]
        for start in range(0, len(rows), 4):
            logits = classifier.infer(np.stack(frames[start : start + 4]))
            for row, values in zip(rows[start : start + 4], logits, strict=True):
                found = classifier.predict(values)
                assert row["logits"] == list(found.logits)
                assert row["label"] == found.displayed
                assert (row["confidence"], row["energy"]) == (found.confidence, found.energy)


def test_the_schema_and_what_the_file_says_about_itself(exported: Path, tmp_path: Path) -> None:
    photos = draw(tmp_path / "photos", 3)
    output, workers = tmp_path / "out.parquet", Workers(batch=2)
    classify_to_parquet(photos, output, exported, workers=workers, backend="onnxruntime")
    schema = parquet.read_schema(output)
    assert [(field.name, str(field.type)) for field in schema] == [
        ("source", "string"),
        ("label", "string"),
        ("confidence", "double"),
        ("logits", "list<element: float>"),
        ("energy", "double"),
        ("error", "string"),
    ]
    facts = json.loads(schema.metadata[b"edgecat"])
    assert facts["batch"] == 2
    assert facts["backend"] == "onnxruntime"
    assert facts["labels"] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("images", "batch", "expected"),
    [(1, 16, 16), (1000, 16, 16), (4096, 16, 64), (10_000_000, 16, 512), (10_000_000, 1, 32)],
)
def test_parts_are_whole_batches(images: int, batch: int, expected: int) -> None:
    assert images_per_part(images, batch) == expected
    assert expected % batch == 0


def test_the_command_and_its_summary(exported: Path, tmp_path: Path, cli: Cli) -> None:
    photos = draw(tmp_path / "photos", 5)
    output = tmp_path / "new" / "out.parquet"
    ran = cli("classify", photos, "--output", output, "--model", exported, "--workers", 1)
    assert ran.code == 0, ran.err
    assert ran.out.startswith(f"{output}: 5 images (")
    assert "\n1 local process, batches of " in ran.out
    assert "images/s" in ran.out
    ran = cli("classify", photos, "--output", output, "--model", exported, "--json")
    values = json.loads(ran.out)
    assert (values["images"], values["failed"], values["lost"]) == (5, 0, 0)
    assert values["kind"] == "local processes"
    assert values["served_by"]["file"] == str(exported)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("missing", "--output", "o.parquet"), 1, "missing does not exist; expected an image"),
        (("photos", "--output", "o.csv"), 1, "expected a .parquet file"),
        (("photos", "--output", "photos.parquet"), 1, "cannot write photos.parquet: it is a fold"),
        (("empty", "--output", "o.parquet"), 1, "empty contains no images; expected .bmp"),
        (("photos", "--output", "photos/00.png/o.parquet"), 1, "a parent of the path is a file"),
        (("photos", "--output", "o.parquet", "--on", "spark"), 1, "--on is 'spark'; expected loc"),
        (("photos", "--output", "o.parquet", "--csv"), 2, "--output writes Parquet"),
        (("photos", "--workers", "2"), 2, "need --output FILE.parquet"),
        (("broken.parquet", "--output", "o.parquet"), 1, "cannot read broken.parquet as Parquet"),
        (("columns.parquet", "--output", "o.parquet"), 1, "several columns of bytes (a, b)"),
        (("numbers.parquet", "--output", "o.parquet"), 1, "no column of bytes"),
    ],
)
def test_errors_are_one_sentence(
    options: tuple[str, ...],
    code: int,
    said: str,
    exported: Path,
    tmp_path: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "photos", 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos.parquet").mkdir()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    parquet.write_table(pa.table({"a": [b"1"], "b": [b"2"]}), "columns.parquet")
    parquet.write_table(pa.table({"a": [1]}), "numbers.parquet")
    ran = cli("classify", *options, "--model", exported)
    assert ran.code == code
    assert said in ran.err.replace("\n", " ")
    assert "Traceback" not in ran.err
    assert not (tmp_path / "o.parquet").exists()


def test_nothing_but_broken_images(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "b.png").write_bytes(b"b")
    with pytest.raises(ImageError, match=r"none of 2 images could be decoded; the first: cannot"):
        classify_to_parquet(tmp_path, tmp_path / "o.parquet", exported, workers=Workers(count=1))
    assert len(rows_of(tmp_path / "o.parquet")) == 2


def test_the_output_is_no_input(exported: Path, tmp_path: Path) -> None:
    draw(tmp_path, 2)
    other = pa.table({"source": ["x"], "label": ["cat"]})
    parquet.write_table(other, tmp_path / "other.parquet")
    heard = Heard()
    for _ in range(2):
        done = classify_to_parquet(
            tmp_path, tmp_path / "o.parquet", exported, workers=Workers(count=1), reporter=heard
        )
        assert done.images == 2
    assert len(heard.warnings) == 2
    assert "other.parquet has no column of bytes" in heard.warnings[0]


def test_without_pyarrow(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BackendMissing, match=r"pyarrow is not installed: .*edgecat\[parquet\]"):
        classify_to_parquet(tmp_path, tmp_path / "o.parquet", exported)


def test_without_ray_local_processes_do_it(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    draw(tmp_path / "photos", 2)
    heard = Heard()
    done = classify_to_parquet(
        tmp_path / "photos",
        tmp_path / "o.parquet",
        exported,
        workers=Workers("ray", count=1),
        reporter=heard,
    )
    assert done.run.kind == "local processes"
    assert heard.warnings == [
        "Ray is not installed (pip install 'edgecat[ray]'): using local processes instead"
    ]
    with pytest.raises(BackendMissing, match="which ray://head:10001 needs: pip install"):
        Workers("ray://head:10001").available(heard)


def test_the_same_report_as_evaluate(exported: Path, album: Path, cli: Cli) -> None:
    plain = evaluate(exported, album, threads=1)
    many = evaluate(exported, album, workers=Workers(count=2))
    assert np.array_equal(many.answers.logits, plain.answers.logits)
    expected = {**plain.to_dict(), "workers": many.run.to_dict() if many.run else None}
    assert many.to_dict() == expected
    ran = cli("evaluate", exported, album, "--on", "local", "--workers", 2)
    assert ran.code == 0, ran.err
    assert "2 local processes, batches of 16: " in ran.out
    assert f"{plain.accuracy:.2%} of 12 images" in ran.out
    ran = cli("evaluate", exported, album, "--workers", 2, "--threads", 2)
    assert (ran.code, "a worker has one thread" in ran.err) == (1, True)


def test_evaluate_skips_what_cannot_be_decoded(exported: Path, tmp_path: Path) -> None:
    draw(tmp_path / "cat", 3)
    draw(tmp_path / "dog", 3)
    (tmp_path / "dog" / "00.png").write_bytes(b"broken")
    plain, many = (evaluate(exported, tmp_path, workers=w) for w in (None, Workers(count=1)))
    assert many.skipped == plain.skipped
    assert len(many.answers.pictures) == 5
    for label in ("cat", "dog"):
        for path in (tmp_path / label).iterdir():
            path.write_bytes(b"broken")
    with pytest.raises(UserError, match="none of 6 images could be decoded: cannot decode"):
        evaluate(exported, tmp_path, workers=Workers(count=1))


def test_the_best_batch_is_measured_once(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECAT_CACHE", str(tmp_path))
    with Classifier.open(exported, threads=1) as classifier:
        first = best_batch(classifier, "a" * 64)
        assert first in (1, 2, 4, 8, 16, 32)
        (kept,) = (tmp_path / "batches").iterdir()
        other = 2 if first != 2 else 4
        kept.write_text(json.dumps({"batch": other}))
        assert best_batch(classifier, "a" * 64) == other
        for damaged in ("{", "[]", '{"batch": 1000000}', '{"batch": "2"}'):
            kept.write_text(damaged)
            assert best_batch(classifier, "a" * 64) in (1, 2, 4, 8, 16, 32)
        best_batch(classifier, "b" * 64)
        assert len(list((tmp_path / "batches").iterdir())) == 2


def test_braces_name_shards(tmp_path: Path) -> None:
    for i in range(3):
        tar(tmp_path / f"s-{i}.tar", {"0.png": encoded(i)})
    items = list_items([tmp_path / "s-{0..1}.tar"])
    assert [item.source for item in items] == [f"{tmp_path}/s-{i}.tar:0.png" for i in range(2)]


@pytest.mark.parametrize(
    ("on", "address"), [("ray://h:1", ("h", 1)), ("ray://[::1]:2", ("::1", 2))]
)
def test_addresses(on: str, address: tuple[str, int] | None) -> None:
    assert Workers(on).address == address


@pytest.mark.parametrize("on", ["ray://", "ray://host", "ray://host:x", "http://h:1", ""])
def test_addresses_that_are_none(on: str) -> None:
    with pytest.raises(EdgecatError, match="expected local, ray, or ray://HOST:PORT"):
        Workers(on)


@pytest.fixture
def setup_of(exported: Path) -> Callable[..., Setup]:
    """Describe how a worker opens the model."""

    def described(**changes: Any) -> Setup:
        sha256 = hashlib.sha256(exported.read_bytes()).hexdigest()
        return replace(Setup(str(exported), sha256, "onnxruntime", "cpu", 2), **changes)

    return described


def test_a_worker_elsewhere_gets_the_model_and_the_images(
    setup_of: Callable[..., Setup], exported: Path, tmp_path: Path
) -> None:
    photos = draw(tmp_path / "photos", 3)
    (photos / "01.png").write_bytes(b"broken")
    task = Task(0, tuple(list_items([photos])))
    contents = Reader().contents(task)
    gone = ((str(photos / "00.png"), 1),)  # of another size: another file
    here = Worker(setup_of())
    elsewhere = Worker(
        setup_of(model="/nowhere/m.onnx", content=exported.read_bytes(), inputs=gone)
    )
    assert (here.ready.missing, elsewhere.ready.missing) == ("", str(photos / "00.png"))
    expected = here.run(task)
    for path in photos.iterdir():
        path.unlink()
    found = elsewhere.run(replace(task, contents=contents))
    assert np.array_equal(found.logits, expected.logits)
    assert (found.labels, found.errors) == (expected.labels, expected.errors)
    assert [error is None for error in found.errors] == [True, False, True]
    assert "can no longer be read" in str(here.run(task).errors[0])
    here.close()
    elsewhere.close()


def test_a_worker_trusts_whom_the_driver_trusts(
    setup_of: Callable[..., Setup], exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    keys = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIxNTvKlQnSNxDfcGuz1lOLXl2rvfUrL4hLVp2Sl1ZQW a"
    with pytest.raises(NotTrusted, match=r"is not signed; expected a signature by a key in .*keys"):
        Worker(setup_of(content=exported.read_bytes(), trust=("keys.pub", keys)))
    trusted = exported.parent / "keys.pub"
    trusted.write_bytes(keys)
    monkeypatch.setenv("EDGECAT_TRUST", str(trusted))
    with pytest.raises(NotTrusted, match="is not signed"):
        Worker(setup_of())


def test_the_model_and_the_keys_travel(
    setup_of: Callable[..., Setup], exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGECAT_TRUST", raising=False)
    sent = portable(setup_of())
    assert (sent.content, sent.trust) == (exported.read_bytes(), None)
    (tmp_path / "a.pub").write_bytes(b"key a")
    (tmp_path / "b.pub").write_bytes(b"key b")
    for given, text in (("a.pub", b"key a"), ("", b"key a\nkey b")):
        monkeypatch.setenv("EDGECAT_TRUST", str(tmp_path / given))
        assert portable(setup_of()).trust == ((tmp_path / given).name, text)


def test_a_cluster_that_is_gone_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert cluster_here() == "local"
    (tmp_path / "ray").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        (tmp_path / "ray" / "ray_current_cluster").write_text(f"{address}\n")
        assert cluster_here() == address
    assert cluster_here() == "local"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=f"cannot use the Ray cluster at {address} .*refused"):
        cluster_here()


def test_a_worker_refuses_another_model(setup_of: Callable[..., Setup]) -> None:
    with pytest.raises(UserError, match="changed while it was in use"):
        Worker(setup_of(sha256="0" * 64))
