"""Write `docs/api.md`, the reference of the public Python API, from the docstrings.

.venv/bin/python docs/api.py
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from math import inf
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("api.md")
PACKAGES = {
    "edgecat": "Everything that the command line does, as functions.",
    "edgecat_runtime": "What runs on the device.",
    "edgecat_export.graph": "From a PyTorch module to the deployed ONNX graph.",
    "edgecat_export.precision": "To fp16 and int8, behind the accuracy gate.",
    "edgecat_export.parity": "Whether models and backends give the same answer.",
    "edgecat_export.engine": "To a TensorRT engine.",
}
_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Example):$")
_ITEM = re.compile(r"^(\*{0,2}\w+): (.*)$")
_HEAD = """# Python API

<!-- Written by docs/api.py from the docstrings: edit those, then run it. -->

`import edgecat` loads each name when it is first used. The exceptions and their exit codes are in
[one tree](#errors). The guide to embedding the runtime is [embedding.md](embedding.md).
"""


def render() -> str:
    """Return the whole page."""
    parts, written = [_HEAD], dict[int, str]()
    for package, title in PACKAGES.items():
        module = import_module(package)
        parts.append(f"\n## {package}\n\n{title}\n")
        public = [(name, getattr(module, name)) for name in module.__all__]
        for name, value in sorted(public, key=lambda item: inspect.isclass(item[1])):
            if first := written.get(id(value)):
                parts.append(f"\n### {package}.{name}\n\nThe same as `{first}`.\n")
                continue
            written[id(value)] = f"{package}.{name}"
            parts.append(f"\n### {package}.{name}\n\n{entry(name, value)}")
    tree = inspect.cleandoc(import_module("edgecat_runtime.errors").__doc__ or "")
    parts.append(f"\n## Errors\n\n{fenced_blocks(tree)}\n")
    return "".join(parts)


def entry(name: str, value: Any) -> str:
    """The signature, the docstring, and a class's members."""
    text = f"```python\n{signature(name, value)}\n```\n\n{formatted(inspect.getdoc(value) or '')}\n"
    if inspect.isclass(value):
        members = [f"- {line}" for line in members_of(value)]
        text += "\n**Members**\n\n" + "\n".join(members) + "\n" if members else ""
    return text


def signature(name: str, value: Any, *, width: float = 88) -> str:
    """The name with its parameters, wrapped when they are long; defaults only where short."""
    bare = inspect.isabstract(value) or getattr(value, "_is_protocol", False)
    if inspect.isclass(value) and (bare or issubclass(value, Enum)):
        return f"class {name}"
    kind = "class " if inspect.isclass(value) else ""
    parameters, starred = [], False
    for each in inspect.signature(value).parameters.values():
        if each.name in ("self", "cls"):
            continue
        if each.kind is each.KEYWORD_ONLY and not starred:
            parameters.append("*")
        starred = starred or each.kind in (each.KEYWORD_ONLY, each.VAR_POSITIONAL)
        parameters.append(_parameter(each))
    line = f"{kind}{name}({', '.join(parameters)})"
    if len(line) <= width:
        return line
    return f"{kind}{name}(\n" + "".join(f"    {each},\n" for each in parameters) + ")"


def _parameter(each: inspect.Parameter) -> str:
    star = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
    if each.default is each.empty:
        return star + each.name
    plain = isinstance(each.default, str | int | float | tuple | None)
    return f"{each.name}={each.default!r}" if plain else f"{each.name}=..."


def members_of(kind: type) -> Iterator[str]:
    """Each public method and property that the class itself defines, with its first sentence."""
    for name, member in vars(kind).items():
        function = getattr(member, "__func__", member)
        text = first_sentence(inspect.getdoc(getattr(kind, name)) or "")
        if name.startswith("_") or not text:
            continue
        if isinstance(member, property):
            yield f"`{name}`: {text}"
        elif inspect.isfunction(function):
            yield f"`{signature(name, function, width=inf)}`: {text}"


def first_sentence(text: str) -> str:
    """The first paragraph of a docstring, as one line."""
    return " ".join(text.split("\n\n")[0].split())


def formatted(text: str) -> str:
    """A Google-style docstring as Markdown."""
    lines, section = [], ""
    for line in text.splitlines():
        if found := _SECTION.match(line):
            lines += ["```"] if section == "Example" else []
            section = found[1]
            lines += [f"**{section}**", "", *(["```python"] if section == "Example" else [])]
            continue
        if section in ("Args", "Attributes", "Raises") and (item := _ITEM.match(line[4:])):
            lines.append(f"- `{item[1]}`: {item[2]}")
        elif section == "Example" and not line and lines[-1] == "```python":
            continue
        elif section in ("Args", "Attributes", "Raises"):
            lines.append(line.strip() and f"  {line.strip()}")
        else:
            lines.append(line[4:] if section else line)
    if section == "Example":
        lines.append("```")
    code = "\n".join(lines).replace("  # doctest: +SKIP", "")
    return re.sub(r"\n\n+```(?!python)", "\n```", code)


def fenced_blocks(text: str) -> str:
    """Put the indented blocks of a docstring into fences."""
    return re.sub(
        r"((?:^    .*\n)+)", lambda found: f"```text\n{inspect.cleandoc(found[1])}\n```\n", text,
        flags=re.M,
    )  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
