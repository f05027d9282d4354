"""The runtime's face: every public name, loaded when it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import edgecat_runtime


def test_the_face_loads_nothing_until_it_is_asked() -> None:
    program = (
        "import sys, edgecat_runtime, edgecat_runtime.errors\n"
        "assert not {'numpy', 'cv2'} & set(sys.modules), 'before'\n"
        "assert edgecat_runtime.Camera.__module__ == 'edgecat_runtime.camera.camera'\n"
        "assert 'numpy' in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(edgecat_runtime.__file__).read_text(encoding="utf-8"))
    checked = {
        alias.asname: f"{node.module}"
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert checked == edgecat_runtime._HOMES
    assert set(edgecat_runtime.__all__) <= set(dir(edgecat_runtime))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edgecat_runtime.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("former", "name", "home"),
    [
        ("callback", "CallbackSink", "outputs.callback"),
        ("source", "register_source", "camera"),
        ("pictures", "read_image", "images"),
        ("preprocess", "preprocess", "model.preprocess"),
    ],
)
def test_modules_are_found_under_the_names_that_documents_gave(
    former: str, name: str, home: str
) -> None:
    old = import_module(f"edgecat_runtime.{former}")
    assert getattr(edgecat_runtime, former) is old
    with pytest.warns(DeprecationWarning, match=rf"import {name} from edgecat_runtime\.{home}$"):
        found = getattr(old, name)
    assert found is getattr(import_module(f"edgecat_runtime.{home}"), name)


@pytest.mark.parametrize(
    ("former", "name"), [("read_picture", "read_image"), ("PictureError", "ImageError")]
)
def test_renamed_functions_are_found_in_the_module_that_documents_gave(
    former: str, name: str
) -> None:
    with pytest.warns(DeprecationWarning, match=rf"import {name} from edgecat_runtime\.images$"):
        found = getattr(import_module("edgecat_runtime.pictures"), former)
    assert found is getattr(import_module("edgecat_runtime.images"), name)
