from __future__ import annotations

import hashlib
import multiprocessing
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecat import download
from edgecat.download import fetch
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.cache import cache_folder

DATA = np.random.default_rng(0).bytes(700_000)
RIGHT = "sha256:" + hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def a_site_with_one_file(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSES", (0, 0))
    (web.folder / "a.bin").write_bytes(DATA)


def part() -> Path:
    return cache_folder() / "a.bin.part"


def test_fetches_once_and_shows_how_far_it_is(web: Any) -> None:
    shown: list[tuple[int, int | None]] = []
    path = fetch(f"{web.address}/a.bin", digest=RIGHT, on_progress=lambda *at: shown.append(at))
    assert path == cache_folder() / "a.bin"
    assert path.read_bytes() == DATA
    assert shown[-1] == (len(DATA), len(DATA))
    assert not part().exists()
    assert fetch(f"{web.address}/a.bin", digest=RIGHT) == path
    assert len(web.asked) == 1


@pytest.mark.parametrize(
    "digest",
    [RIGHT, RIGHT[:15], "md5:" + hashlib.md5(DATA).hexdigest()],
    ids=["whole", "its start", "md5"],
)
def test_digests(web: Any, digest: str) -> None:
    assert fetch(f"{web.address}/a.bin", digest=digest, name="b").name == "b"


@pytest.mark.parametrize("digest", ["sha256:", "sha256:397923a", "397923af", "sha256:XYZ12345"])
def test_a_digest_that_checks_nothing_is_refused(web: Any, digest: str) -> None:
    with pytest.raises(ValueError):
        fetch(f"{web.address}/a.bin", digest=digest)


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_goes_on_with_a_part(web: Any, ranges: bool) -> None:
    web.ranges = ranges
    cache_folder().mkdir(parents=True)
    part().write_bytes(DATA[:1000])
    assert fetch(f"{web.address}/a.bin", digest=RIGHT).read_bytes() == DATA
    assert web.asked == [("/a.bin", "bytes=1000-")]


def test_a_part_with_everything_needs_no_more_bytes(web: Any) -> None:
    cache_folder().mkdir(parents=True)
    part().write_bytes(DATA)
    assert fetch(f"{web.address}/a.bin", digest=RIGHT).read_bytes() == DATA


def test_goes_on_by_itself_where_the_connection_breaks(web: Any) -> None:
    web.breaks_after = 300_000
    assert fetch(f"{web.address}/a.bin", digest=RIGHT).read_bytes() == DATA
    assert [wanted for _, wanted in web.asked] == ["", "bytes=300000-", "bytes=600000-"]


def test_a_connection_that_keeps_breaking_leaves_the_part(web: Any) -> None:
    web.breaks_after = 1000
    with pytest.raises(UserError, match=r"interrupted after 0\.0 MB .*to resume it"):
        fetch(f"{web.address}/a.bin", digest=RIGHT)
    assert part().read_bytes() == DATA[:3000]


def test_ctrl_c_leaves_the_part(web: Any) -> None:
    def press(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(f"{web.address}/a.bin", digest=RIGHT, on_progress=press)
    assert 0 < part().stat().st_size < len(DATA)
    assert fetch(f"{web.address}/a.bin", digest=RIGHT).read_bytes() == DATA


def test_other_bytes_are_deleted(web: Any) -> None:
    wrong = "sha256:" + "0" * 8
    with pytest.raises(UserError, match=rf"sha256 {RIGHT[7:15]}; expected 00000000.*was deleted"):
        fetch(f"{web.address}/a.bin", digest=wrong)
    assert list(cache_folder().iterdir()) == []


def test_a_damaged_file_in_the_cache_is_fetched_anew(web: Any) -> None:
    path = fetch(f"{web.address}/a.bin", digest=RIGHT)
    path.write_bytes(b"damaged")
    assert fetch(f"{web.address}/a.bin", digest=RIGHT).read_bytes() == DATA


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(404, "responded with 404 Not Found. Download http"), (503, "the server responded with 503")],
)
def test_refusals(web: Any, status: int, sentence: str) -> None:
    web.fails_with = status
    with pytest.raises(UserError, match=sentence) as refusal:
        fetch(f"{web.address}/a.bin", digest=RIGHT, advice="Or name it with --weights FILE")
    assert f"manually to {cache_folder() / 'a.bin'}. Or name it with" in str(refusal.value)


def test_without_a_network_says_what_to_do(web: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UserError, match=r"cannot download .*refused\)\. Download http.* manually"):
        fetch(f"http://127.0.0.1:{port}/a.bin", digest=RIGHT)


def test_only_the_web_is_fetched_from(web: Any) -> None:
    with pytest.raises(UserError, match="expected http"):
        fetch("file:///etc/a.bin", digest=RIGHT)


def test_a_redirection_away_from_the_web_is_refused(web: Any) -> None:
    web.redirects_to = "ftp://127.0.0.1/a.bin"
    with pytest.raises(UserError, match="redirects to 'ftp://127.0.0.1/a.bin'; expected http"):
        fetch(f"{web.address}/a.bin", digest=RIGHT)


@pytest.mark.parametrize("length", ["abc", "-5", "1e9"])
def test_a_length_that_is_not_a_number_is_ignored(web: Any, length: str) -> None:
    web.length = length
    assert fetch(f"{web.address}/a.bin", digest=RIGHT).read_bytes() == DATA


@pytest.mark.parametrize("length", [None, "99999999999999"])
def test_files_have_a_greatest_size(
    web: Any, length: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.length = length
    if length is None:
        monkeypatch.setattr(download, "MOST_BYTES", 300_000)
    with pytest.raises(UserError, match="is larger than"):
        fetch(f"{web.address}/a.bin", digest=RIGHT)
    assert not part().exists() or part().stat().st_size <= 300_000


def test_a_link_in_the_place_of_the_part_is_not_followed(web: Any, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    cache_folder().mkdir(parents=True)
    part().symlink_to(precious)
    with pytest.raises(UserError, match="it is a symbolic link"):
        fetch(f"{web.address}/a.bin", digest=RIGHT)
    assert precious.read_bytes() == b"mine"


def test_full_disk(web: Any, full_disk: Path) -> None:
    (web.folder / "a.bin").write_bytes(DATA * 2)
    with pytest.raises(UserError, match="the disk is full"):
        fetch(f"{web.address}/a.bin", digest=RIGHT, cache=full_disk)


def test_a_file_as_cache(web: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="a parent of the path is a file"):
        fetch(f"{web.address}/a.bin", digest=RIGHT, cache=tmp_path / "file" / "cache")


def test_a_part_that_another_process_moves_away_is_not_written_to(
    web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    samestat, seen = os.path.samestat, []

    def moved(one: os.stat_result, other: os.stat_result) -> bool:
        seen.append(one)
        if len(seen) == 1:
            raise FileNotFoundError
        return samestat(one, other)

    monkeypatch.setattr(os.path, "samestat", moved)
    assert fetch(f"{web.address}/a.bin", digest=RIGHT).read_bytes() == DATA
    assert len(seen) == 2


def test_two_processes_fetch_it_once(web: Any) -> None:
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=fetch, args=(f"{web.address}/a.bin",), kwargs={"digest": RIGHT})
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert [path.name for path in cache_folder().iterdir()] == ["a.bin"]
    assert len(web.asked) == 1
