"""SECURITY.md names a test behind each promise, and each of them exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def promises() -> list[str]:
    lines = (ROOT / "SECURITY.md").read_text("utf-8").splitlines()
    return [line for line in lines if line.startswith("|")][2:]


def test_each_promise_names_a_test() -> None:
    assert len(promises()) > 10
    assert [line for line in promises() if not NAMED.search(line.rsplit("|", 2)[1])] == []


def test_each_named_test_exists() -> None:
    named = [found for line in promises() for found in NAMED.findall(line)]
    assert [f"{path}::{name}" for path, name in named if name not in _defined_in(ROOT / path)] == []


def _defined_in(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
