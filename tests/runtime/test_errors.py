"""Errors are data, and their tree is the one that is written down."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest

from edgecat_runtime import errors
from edgecat_runtime.errors import BackendMissing, DeviceError, EdgecatError, UserError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import CardError, CardMissing

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "runtime", ROOT / "export", ROOT / "edgecat")


def drawn_tree() -> dict[str, tuple[str, int]]:
    """Each class's base and exit code, as the docstring draws them."""
    rows = re.findall(r"^    ([│├└─ ]*)(\w+) +(\d)  ", errors.__doc__ or "", re.M)
    parents: list[str] = []
    tree = {}
    for indent, name, code in rows:
        depth = len(indent) // 4
        parents[depth:] = [name]
        tree[name] = (parents[depth - 1] if depth else "Exception", int(code))
    return tree


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    tree = drawn_tree()
    found = {}
    for path in (path for folder in FOLDERS for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name != "EdgecatError":
                bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                if bases and bases[0] in tree:
                    found[node.name] = bases[0]
    assert found == {name: base for name, (base, _) in tree.items() if name != "EdgecatError"}
    for name, (_, code) in tree.items():
        if hasattr(errors, name):
            assert getattr(errors, name).exit_code == code


@pytest.mark.parametrize(
    ("kind", "what", "fix", "sentence"),
    [
        (UserError, "size is 8", "", "size is 8"),
        (UserError, "size is 8", "Use 32", "size is 8. Use 32"),
        (
            BackendMissing,
            "cv2 is not installed",
            "pip install x",
            "cv2 is not installed: pip install x",
        ),
        (DeviceError, "", "", ""),
    ],
)
def test_an_error_keeps_what_and_fix(
    kind: type[EdgecatError], what: str, fix: str, sentence: str
) -> None:
    for error in (kind(what, fix=fix), pickle.loads(pickle.dumps(kind(what, fix=fix)))):
        assert (error.what, error.fix, str(error)) == (what, fix, sentence)


def test_a_file_without_a_card_is_told_apart(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    path, torn = tmp_path / "foreign.onnx", tmp_path / "torn.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [out])), path)
    torn.write_bytes(b"\x08\x0a\x3a\xff")
    with pytest.raises(CardMissing):
        read_card(path)
    with pytest.raises(CardError) as raised:
        read_card(torn)
    assert not isinstance(raised.value, CardMissing)
