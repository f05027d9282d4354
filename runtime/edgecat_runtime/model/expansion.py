"""How many nodes an ONNX model has once its local functions are expanded, as backends do.

Two calls in each of forty functions are 2**40 nodes, in a file of a few kilobytes.

Source: onnx.proto3, `FunctionProto`.
"""

from __future__ import annotations

from collections import Counter
from mmap import mmap
from typing import NamedTuple

from edgecat_runtime.model.card import CardError
from edgecat_runtime.model.protobuf import fields
from edgecat_runtime.model.structure import CHILDREN, messages

MOST_NODES = 100_000


class Call(NamedTuple):
    """What a node calls: an operator, or a function of the model."""

    domain: bytes
    name: bytes
    overload: bytes


def check_expansion(source: bytes | mmap, name: str) -> None:
    """Check how far a model's functions expand.

    Args:
        source: the serialised `ModelProto`, whose structure was checked.
        name: of the model, for messages.

    Raises:
        CardError: a function calls itself, too many call one another, or there are more than
            100,000 nodes.
    """
    try:
        nodes = expanded_nodes(source)
    except (ValueError, RecursionError) as error:
        raise CardError(
            f"{name} has functions that call themselves, or one another too deeply. Export it again"
        ) from error
    if nodes > MOST_NODES:
        raise CardError(
            f"{name} has {nodes:.3g} nodes with its functions expanded; expected at most "
            f"{MOST_NODES}. Export it again"
        )


def expanded_nodes(source: bytes | mmap) -> int:
    """How many nodes a model has once every call of a local function is replaced by its body.

    Raises:
        ValueError: a function calls itself, or the message is malformed.
    """
    bodies: dict[Call, list[Call]] = {}
    called: list[Call] = []
    for number, _, body, stop in fields(source):
        if CHILDREN["model"].get(number) == "function":
            parts = {n: bytes(source[b:s]) for n, _, b, s in fields(source, body, stop)}
            key = Call(parts.get(10, b""), parts.get(1, b""), parts.get(13, b""))
            bodies[key] = _calls(source, "function", body, stop)
        elif CHILDREN["model"].get(number) == "graph":
            called += _calls(source, "graph", body, stop)
    sizes: dict[Call, int] = {}

    def size(call: Call, open_calls: frozenset[Call]) -> int:
        if call not in bodies:
            return 1
        if call in open_calls:
            raise ValueError("a function calls itself")
        if call not in sizes:
            inner = Counter(bodies[call])
            sizes[call] = sum(n * size(c, open_calls | {call}) for c, n in inner.items())
        return sizes[call]

    return sum(count * size(call, frozenset()) for call, count in Counter(called).items())


def _calls(source: bytes | mmap, kind: str, start: int, end: int) -> list[Call]:
    """What the nodes of a graph or function call, in their subgraphs as well."""
    found = []
    for child, body, stop in messages(source, kind, start, end):
        if child == "node":
            parts = {n: bytes(source[b:s]) for n, _, b, s in fields(source, body, stop) if n != 5}
            found.append(Call(parts.get(7, b""), parts.get(4, b""), parts.get(8, b"")))
    return found
