"""Run by test_tensorrt_names.py in a process of its own: what does a TensorRT version lack?

Its arguments are the module that gives TensorRT's API and the source files that use it. It finds
every attribute that the sources take of TensorRT's objects, known by the names that the sources
give them, and prints as JSON the ones that the version lacks. What is looked up with `getattr` and
a string is the version's own business, and not looked at.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "parser": "OnnxParser",
    "error": "ParserError",
    "frames": "ITensor",
    "logits": "ITensor",
    "cache": "ITimingCache",
    "timings": "ITimingCache",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "_engine": "ICudaEngine",
    "settings": "IRuntimeConfig",
    "context": "IExecutionContext",
    "_context": "IExecutionContext",
}
# Attributes of the other things that go by the same names: numpy's arrays, Python's exceptions.
OTHERS = {"frames": {"dtype", "shape"}, "error": {"name"}}


def used(source: str) -> Iterator[tuple[str, ...]]:
    """Dotted names under TensorRT's module: `("Builder", "create_network")`."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Attribute):
            continue
        chain, below = [node.attr], node.value
        while isinstance(below, ast.Attribute):
            chain.insert(0, below.attr)
            below = below.value
        if isinstance(below, ast.Name):
            chain.insert(0, below.id)
        if "trt" in chain[:-1]:
            yield tuple(chain[chain.index("trt") + 1 :])
            continue
        owner, attribute = (chain[-2] if len(chain) > 1 else ""), chain[-1]
        if owner in CLASSES and attribute not in OTHERS.get(owner, ()):
            yield CLASSES[owner], attribute


def lacking(trt: object, name: tuple[str, ...]) -> bool:
    for part in name:
        if not hasattr(trt, part):
            return True
        trt = getattr(trt, part)
    return False


if __name__ == "__main__":
    module, *paths = sys.argv[1:]
    trt = importlib.import_module(module)
    names = sorted({name for path in paths for name in used(Path(path).read_text("utf-8"))})
    gone = [".".join(name) for name in names if lacking(trt, name)]
    answer = {"version": trt.__version__, "names": len(names), "lacking": gone}
    answer["all"] = [".".join(name) for name in names]
    print(json.dumps(answer))  # noqa: T201
