"""An OpenCV that is installed and cannot be imported is not "not installed"."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgecat_runtime

SCRIPT = """
from edgecat_runtime.errors import BackendMissing
from edgecat_runtime.system.opencv import cv2_module
try:
    cv2_module()
except BackendMissing as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (None, "OpenCV is not installed: pip install 'edgecat-runtime[headless]'"),
        (
            "import sys; print('A page about NumPy', file=sys.stderr)\n"
            "raise ImportError('numpy.core.multiarray failed to import')",
            "OpenCV is installed, but was built for another NumPy than ",
        ),
        (
            "raise ImportError('libGL.so.1: cannot open shared object file: No such file')",
            "OpenCV is installed, but a system library is missing (libGL.so.1: ",
        ),
        ("import no_such_part", "OpenCV is installed, but cannot be imported (No module named 'no"),
    ],
)
def test_why_opencv_cannot_be_imported(body: str | None, sentence: str, tmp_path: Path) -> None:
    """The messages are those of OpenCV 4.9 beside NumPy 2, and of a container without libGL."""
    if body is None:
        body = "raise ModuleNotFoundError(\"No module named 'cv2'\", name='cv2')"
    (tmp_path / "cv2.py").write_text(body)
    home = Path(edgecat_runtime.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(home)])}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment
    )
    assert ran.stdout.startswith(sentence), ran.stderr
    assert ran.stderr == ""
