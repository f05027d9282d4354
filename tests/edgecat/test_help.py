"""Help: quick, grouped, in plain English, and the shells complete it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer

from edgecat.cli import app

Cli = Callable[..., "object"]


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command's words, without `edgecat` itself."""
    yield path
    for name, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, (*path, name))


COMMANDS = sorted(commands(typer.main.get_command(app)))
HEAVY = ("numpy", "torch", "onnx", "onnxruntime", "cv2", "matplotlib", "safetensors", "rich")

# What a native engineer would not write, and what to write instead (CONTRIBUTING.md, house style).
STRANGE = {
    r"(?:^|[.;:] )Of (?!course\b)": "begin with the noun: 'number of threads', not 'Of torch'",
    r"\banew\b": "again; or reopen, rebuild, restart",
    r"\bso many\b": "this many",
    r"\bnone that\b": "name what is missing",
    r"\bnothing is written that\b": "refuses to write",
    r"(?<!there )\bis no (?!longer\b|more\b)": "is not a",
    r"\b[Pp]ictures?\b": "image",
    r"\btold\b": "reported, called with",
    r"\bSay (?:what|how|which)\b": "classify, report, show",
    r"\bwhat is to be done\b": "how to fix it",
    r"\b[Ss]hare\b(?! it)": "fraction",
    r"\b(?:one|frames|images|files|epochs|pictures|labels?) an? (?:line|second|core|class|step"
    r"|shard|epoch|frame|batch)\b": "per",
    r"\bfor ever\b": "forever",
    r"\bEnd after\b": "stop after",
    r"\bones?, and those like\b": "name the noun",
    r"\bproves? (?:its|the) answers?\b": "verify predictions",
    r"\bgone on with\b|\bgoes on where\b": "resume",
    r"\b(?:[Ww]hich|as of|as for); none\b": "say what happens by default",
}


def strange_in(text: str) -> list[str]:
    """Return each strange phrase of a help text, with what to write instead."""
    flat = re.sub(r"\s+", " ", text)
    entries = [*(part.strip() for part in re.split(r"\n\s*\n|\s{2,}", text)), flat]
    found = {
        f"{match[0].strip()!r} in {_around(entry, match)!r}: write {instead}"
        for entry in entries
        for pattern, instead in STRANGE.items()
        if (match := re.search(pattern, entry))
    }
    return sorted(found)


def _around(text: str, match: re.Match[str]) -> str:
    return text[max(0, match.start() - 30) : match.end() + 30]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "edgecat")
def test_help_is_plain_english(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    ran = cli(*words, "--help")
    assert ran.code == 0
    # Option and parameter names stay, whatever they are.
    strange = strange_in(re.sub(r"--\w[\w-]*", "--x", ran.out))
    assert strange == [], "reword these help texts:\n" + "\n".join(strange)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("Of torch; default: one a core.", "'Of'"),
        ("End after so many frames.", "'so many'"),
        ("Open the engine anew when its file changes.", "'anew'"),
        ("Say what is in pictures.", "'pictures'"),
        ("x is no picture that can be read.", "'is no'"),
        ("Pictures, or folders of pictures.", "'Pictures'"),
        ("--threads <int>   Of the CPU; default: the backend's.", "'Of'"),
        ("Names: text, one a line.", "'one a line'"),
        ("Share of each class to test with.", "'Share'"),
    ],
)
def test_strange_phrases_are_found(text: str, phrase: str) -> None:
    assert any(found.startswith(phrase) for found in strange_in(text)), strange_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "Number of PyTorch threads (default: one per core).",
        "Stop after this many frames.",
        "The source is no longer available.",
        "Fraction of steps used for learning-rate warm-up.",
    ],
)
def test_plain_sentences_pass(text: str) -> None:
    assert strange_in(text) == []


def test_no_help_imports_anything_heavy() -> None:
    """What makes help slow: no command's help may need it."""
    program = (
        "import contextlib, io, json, sys\n"
        "from edgecat.cli import app\n"
        "found = {}\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "        with contextlib.suppress(SystemExit):\n"
        "            app([*words, '--help'])\n"
        "    heavy = sorted(set(json.loads(sys.argv[2])) & set(sys.modules))\n"
        "    if heavy or 'Usage' not in out.getvalue():\n"
        "        found[' '.join(words)] = heavy\n"
        "print(json.dumps(found))\n"
    )
    arguments = [json.dumps(COMMANDS), json.dumps(HEAVY)]
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {}


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "edgecat")
def test_short_help_is_help(cli: Cli, words: tuple[str, ...]) -> None:
    short, long = cli(*words, "-h"), cli(*words, "--help")
    assert (short.code, short.out) == (0, long.out)


def headings(text: str) -> list[str]:
    return re.findall(r"^(\S.*):$", text, re.M)


def test_commands_are_grouped(cli: Cli) -> None:
    out = cli("--help").out
    assert headings(out) == ["Start", "Data", "Train", "Ship", "Watch", "Learn", "Options"]
    assert re.search(r"^  export\s+\S", out.partition("Ship:")[2], re.M)


def test_options_are_grouped(cli: Cli) -> None:
    assert headings(cli("camera", "--help").out) == [
        *("Source", "Model", "Fleet", "Outputs", "Web page", "Decision", "Options")
    ]
    assert headings(cli("train", "--help").out) == [
        *("Arguments", "Network", "Recipe", "Transfer learning", "Run", "Options")
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(shell: str) -> None:
    def completed(line: str) -> str:
        words = line.split(" ")
        variables = {
            "_EDGECAT_COMPLETE": f"complete_{shell}",
            "_TYPER_COMPLETE_ARGS": line,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        program = "import sys; sys.argv = ['edgecat']; from edgecat.cli import main; main()"
        ran = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            env={**os.environ, **variables},
        )
        return ran.stdout

    assert "train" in completed("edgecat tr")
    assert "--label-smoothing" in completed("edgecat train --label")
    assert "rmsprop" in completed("edgecat train --optimizer rms")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell: str) -> None:
    program = "import sys; sys.argv = ['edgecat']; from edgecat.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "_EDGECAT_COMPLETE": f"source_{shell}"},
    )
    assert "_EDGECAT_COMPLETE" in ran.stdout
    assert "edgecat" in ran.stdout
