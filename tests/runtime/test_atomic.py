from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgecat_runtime.errors import UserError
from edgecat_runtime.system import temporaries
from edgecat_runtime.system.atomic import atomic_folder, atomic_path, atomic_write


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


KILLED = """
import os, signal
from edgecat_runtime.system.atomic import atomic_folder, atomic_path
with atomic_path({file!r}) as file, atomic_folder({folder!r}) as folder:
    file.write_bytes(b"half")
    (folder / "inside").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no flock on Windows")
def test_what_a_killed_process_leaves_is_removed_by_the_next_one(tmp_path: Path) -> None:
    theirs = tmp_path / f".theirs{temporaries.MARK}of-another-kind"
    theirs.symlink_to(tmp_path)
    program = KILLED.format(file=str(tmp_path / "model.onnx"), folder=str(tmp_path / "split"))
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9
    left = [path for path in tmp_path.iterdir() if path != theirs]
    assert sorted(path.is_dir() for path in left) == [False, True]
    temporaries._swept.clear()
    with atomic_path(tmp_path / "other.onnx") as alive:
        assert sorted(tmp_path.iterdir()) == sorted([alive, theirs])
        temporaries.sweep(tmp_path)
        assert alive.exists(), "its process lives"
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "other.onnx", theirs])


def test_only_marked_files_are_removed(tmp_path: Path) -> None:
    kept = [tmp_path / name for name in (".model-abcdefgh.onnx", "a.edgecat-tmp-b", ".hidden")]
    for path in kept:
        path.touch()
    temporaries._swept.clear()
    atomic_write(tmp_path / "model.onnx", b"")
    assert all(path.exists() for path in kept)


def test_a_folder_is_complete_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "split"
    with pytest.raises(RuntimeError), atomic_folder(target) as folder:
        (folder / "one").touch()
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    with atomic_folder(target) as folder:
        (folder / "one").touch()
    assert [path.name for path in target.iterdir()] == ["one"]
    assert list(target.parent.iterdir()) == [target]


def test_a_long_name_leaves_room_for_the_mark(tmp_path: Path) -> None:
    path = tmp_path / f"{'가' * 80}.onnx"  # 245 bytes
    atomic_write(path, b"whole")
    assert path.read_bytes() == b"whole"


def test_scratch_folders_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with temporaries.scratch_folder() as folder:
        (folder / "file").touch()
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []
