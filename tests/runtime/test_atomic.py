from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgecat_runtime.errors import UserError
from edgecat_runtime.system.atomic import atomic_path, atomic_write


def test_a_file_is_written_with_its_parents_and_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    atomic_write(path, "ä")
    assert path.read_bytes() == "ä".encode()
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    atomic_write(path, b"old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_bytes(b"ne")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_data_is_synced_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model"
    atomic_write(path, b"old")
    synced = []

    def fsync(handle: int) -> None:
        assert path.read_bytes() == b"old"
        synced.append((os.fstat(handle).st_ino, os.fstat(handle).st_size))
        real(handle)

    real = os.fsync
    monkeypatch.setattr(os, "fsync", fsync)
    atomic_write(path, b"the new one")
    assert synced == [(path.stat().st_ino, len(b"the new one"))]


def test_a_full_disk_is_a_sentence_and_keeps_the_old_file(full_disk: Path) -> None:
    atomic_write(full_disk / "model.onnx", b"old")
    with pytest.raises(UserError, match=r"cannot write .*model\.onnx: the disk is full"):
        atomic_write(full_disk / "model.onnx", bytes(2_000_000))
    assert (full_disk / "model.onnx").read_bytes() == b"old"
    assert len(list(full_disk.iterdir())) == 1


def test_an_unwritable_place_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a parent of the path is a file"):
        atomic_write(tmp_path / "file" / "model.onnx", b"")
    with pytest.raises(UserError, match="it is a folder. Give a file name"):
        atomic_write(tmp_path, b"")


def test_another_files_error_passes_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out"):
        (tmp_path / "missing").read_bytes()


def test_kill_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    atomic_write(path, b"old")
    program = (
        "import os, signal\nfrom edgecat_runtime.system.atomic import atomic_path\n"
        f"with atomic_path({str(path)!r}) as temporary:\n"
        "    temporary.write_bytes(b'half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9
    assert path.read_bytes() == b"old"
