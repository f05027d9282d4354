"""The house: no import circles, and no folder, file or function that outgrows its place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "edgecat_runtime": ROOT / "runtime" / "edgecat_runtime",
    "edgecat_export": ROOT / "export" / "edgecat_export",
    "edgecat": ROOT / "edgecat",
}
MOST_ENTRIES = {"edgecat_runtime": 18, "edgecat_export": 18, "edgecat": 20}
MOST_LINES = 300
MOST_STATEMENT_LINES = 40  # of a function's body, its docstring not counted
MOST_PARAMETERS = 9  # not counted: self and cls, and a command's, which are its options

Graph = dict[str, set[str]]


def modules_in(packages: dict[str, Path]) -> dict[str, Path]:
    """Every module's file, by its dotted name; a package goes by its own name."""
    found = {}
    for name, folder in packages.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join((name, *(part for part in parts if part != "__init__")))] = path
    return found


def imports_in(modules: dict[str, Path]) -> Graph:
    """Which modules each one imports, wherever: at the top, in functions, for types alone."""
    return {
        name: {target for node in ast.walk(_tree(path)) for target in _targets(node, modules)}
        - {name}
        for name, path in modules.items()
    }


def _targets(node: ast.AST, modules: dict[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            if whole in modules:
                yield whole
            elif node.module in modules:
                yield node.module


def circles_in(graph: Graph) -> list[list[str]]:
    """Groups of modules that reach one another (Tarjan, 1972: strongly connected components)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        stack.append(name)
        for other in graph[name]:
            if other not in number:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], number[other])
        if lowest[name] == number[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            found.extend([sorted(group)] if len(group) > 1 else [])

    for name in graph:
        if name not in number:
            visit(name)
    return found


def private_imports(modules: dict[str, Path]) -> list[str]:
    """Names with an underscore that one module takes from another."""
    return [
        f"{name} takes {alias.name} from {node.module}"
        for name, path in modules.items()
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "") in modules
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]


def functions_in(path: Path) -> Iterator[tuple[str, int, int]]:
    """Each function's place, the lines of its body without the docstring, and its parameters."""
    for node in ast.walk(_tree(path)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        named = [argument for argument in every if argument.arg not in ("self", "cls")]
        yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", lines, len(named)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


MODULES = modules_in(PACKAGES)


def test_no_import_circle_not_even_for_types() -> None:
    circles = circles_in(imports_in(MODULES))
    assert not circles, "\n".join(" <-> ".join(circle) for circle in circles)


def test_circles_are_found(tmp_path: Path) -> None:
    texts = {
        "__init__": "from house.attic import roof",
        "attic": "def roof():\n    from house import cellar\n",
        "cellar": "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from house.stairs import up\n",
        "stairs": "import house.attic\n",
        "garden": "from house import attic\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    graph = imports_in(modules_in({"house": tmp_path}))
    assert graph["house"] == {"house.attic"}
    assert circles_in(graph) == [["house.attic", "house.cellar", "house.stairs"]]


def test_what_a_module_keeps_to_itself_stays_there() -> None:
    assert private_imports(MODULES) == []


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_is_taken_in_at_a_glance(name: str) -> None:
    entries = sorted(p.name for p in PACKAGES[name].iterdir() if p.name != "__pycache__")
    assert len(entries) <= MOST_ENTRIES[name], entries


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in MODULES.values()}
    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > MOST_LINES} == {}


def test_functions_are_short() -> None:
    counted = [found for path in MODULES.values() for found in functions_in(path)]
    assert len(counted) > 1000
    assert [(place, n) for place, n, _ in counted if n > MOST_STATEMENT_LINES] == []


def test_functions_take_few_parameters() -> None:
    beneath = [path for path in MODULES.values() if "cli" not in path.parts]
    counted = [found for path in beneath for found in functions_in(path)]
    assert [(place, n) for place, _, n in counted if n > MOST_PARAMETERS] == []
