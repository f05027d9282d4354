"""Labels files as they lie on disks."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecat.workflows.models import read_labels
from edgecat_runtime.errors import UserError


@pytest.mark.parametrize(
    "data",
    [
        b"cat\ndog\n",
        b"\xef\xbb\xbfcat\r\ndog\r\n",
        b"cat\rdog",
        "cat\ndog\n".encode("utf-16"),
        b"\n cat \n\n\tdog\n\n",
        b'["cat", "dog"]',
        b'\xef\xbb\xbf["cat", "dog"]\r\n',
        b'{"0": "cat", "1": "dog"}',
        b'{"dog": 1, "cat": 0}',
    ],
)
def test_a_labels_file_is_read(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(data)
    assert read_labels(path) == ("cat", "dog")


def test_lines_in_brackets_are_names(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("[unknown]\ncat\n")
    assert read_labels(path) == ("[unknown]", "cat")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"crane\nb\ncrane\n", r"'crane' is on line 1 and on line 3"),
        (b'["a", "b", "a"]', r"'a' is on entry 1 and on entry 3"),
        (b"a\n\x1b[31mred\n", r"line 2: class name '\\x1b\[31mred' contains a control"),
        (b"a\nb\x0bc\n", "line 2: .*control character"),
        ("a\nb\u2028c\n".encode(), "line 2: .*line break"),
        (b"a\n../b\n", r"line 2: .*single path component"),
        (b"a\nunsure\n", "line 2: .*reserved word"),
        (b"[1, 2]", "entry 1: class name 1 is not text"),
        (b"", "is empty"),
        (b"red,green,blue\n", "has one line, with commas; expected one label per line"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"caf\xe9\n", "is not UTF-8 text"),
    ],
)
def test_a_bad_labels_file_is_refused(data: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(data)
    with pytest.raises(UserError, match=sentence):
        read_labels(path)
    with pytest.raises(UserError, match="does not exist"):
        read_labels(tmp_path)
