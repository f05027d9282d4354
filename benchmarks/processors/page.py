"""The results as a Markdown page."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgecat_runtime.model.parity import LOGIT_LIMITS
from edgecat_runtime.system import machine
from processors.interpreters import pinned
from processors.judge import PROBABILITY_LIMIT, REFERENCE_OPENCV, Verdict
from processors.rows import Row
from processors.trials import BACKENDS, DRAWN, DRAWN_DEAR, INT8_TESTS, OPENCVS

VECTORS = ("SSE42", "AVX", "AVX2", "FMA3", "AVX512F", "ASIMD", "SVE")
INT8 = ("AVX_VNNI", "AVX512VNNI", "AMX_INT8", "ASIMDDP", "I8MM")
_HOST_FLAGS = {"avx_vnni": "AVX_VNNI", "amx_int8": "AMX_INT8"}  # not detected by NumPy
_TITLE = "# Identical results on many CPUs\n\nWritten by `make processors`.\n"
_INTRODUCTION = """\
This machine: {host}, Python {python}. The other CPUs are emulated by {emulator} in user mode,
with Debian's Python {guest}. All have {backends} and NumPy {numpy} as published wheels, on one
thread, and `edgecat_runtime`. Emulation shows a CPU's results, not its speed: this page has no
timings.{skipped}"""


@dataclass(frozen=True)
class Setting:
    """The description of the machine.

    Attributes:
        emulator: QEMU's version line.
        native_python: version of the native Python.
        guest_python: version of the emulated ones.
    """

    emulator: str
    native_python: str
    guest_python: str


def page(rows: Sequence[Row], verdicts: Sequence[Verdict], setting: Setting) -> str:
    """Return the complete page: CPUs, predictions, conversion, tests, OpenCV versions."""
    failed = [verdict for verdict in verdicts if verdict.failed]
    silent = [verdict for verdict in verdicts if not verdict.ran]
    summary = (
        f"{len(failed)} of {len(verdicts)} trials failed." if failed else
        f"All {len(verdicts) - len(silent)} trials that could run passed."
    )  # fmt: skip
    versions = [
        pinned(name, setting.native_python).replace("==", " ") for name in BACKENDS.values()
    ]
    head = _INTRODUCTION.format(
        host=host(),
        python=platform.python_version(),
        emulator=setting.emulator or "QEMU",
        guest=setting.guest_python,
        numpy=pinned("numpy", setting.native_python).partition("==")[2],
        backends=", ".join(versions),
        skipped=f" {len(silent)} trials could not run, for the reasons given." if silent else "",
    )
    sections = (_seen(rows, verdicts), _answers(verdicts), _exports(verdicts), _tests(verdicts))
    top = f"{_TITLE}\n{_filled(head)}\n\n**{summary}**\n"
    return "\n".join((top, *sections, _classified(verdicts)))


def host() -> str:
    """Describe this machine's CPU by lscpu's name, family, model and stepping."""
    if shutil.which("lscpu") is None:
        return machine.processor()
    ran = subprocess.run(["lscpu", "--json"], capture_output=True, text=True, env={"LC_ALL": "C"})
    if ran.returncode:
        return machine.processor()
    said = {item["field"].rstrip(":"): item["data"] for item in _flat(json.loads(ran.stdout))}
    name = said.get("Model name", machine.processor())
    parts = [f"{key.lower()} {said[key]}" for key in ("CPU family", "Model") if said.get(key)]
    return ", ".join([name, *parts])


def _flat(found: object) -> Iterable[dict[str, str]]:
    """Flatten lscpu's JSON, whose nesting depends on its version."""
    if isinstance(found, list):
        for item in found:
            yield from _flat(item)
    elif isinstance(found, dict):
        if "field" in found:
            yield found
        for value in found.values():
            yield from _flat(value)


def _seen(rows: Sequence[Row], verdicts: Sequence[Verdict]) -> str:
    lines = []
    for row in rows:
        found = next(
            (v.outcome.found for v in _of("answers", verdicts) if v.outcome.trial.row == row
             and v.outcome.found), None
        )  # fmt: skip
        seen = {*found["features"], *(_host_features() if row.native else ())} if found else set()
        vectors = ", ".join(name for name in VECTORS if name in seen) or "?"
        int8 = ", ".join(name for name in INT8 if name in seen) or ("none" if seen else "?")
        lines.append((row.title, row.machine, f"`{row.cpu}`" if row.cpu else "", vectors, int8))
    header = ("processor", "machine", "QEMU's `-cpu`", "vectors", "int8 dot products")
    return _table("CPUs as seen by a program", "", header, lines)


def _host_features() -> list[str]:
    flags = machine.processor_flags()
    return [name for flag, name in _HOST_FLAGS.items() if flag in flags]


def _answers(verdicts: Sequence[Verdict]) -> str:
    limits = ", ".join(f"{LOGIT_LIMITS[name]:.0e} in {name}" for name in ("fp16", "int8"))
    text = (
        "The shipped files. *Golden*: the self-test's largest logit error, against those in the "
        "file's card. *Native*: the same on drawn images, against the same backend on this "
        f"machine. Both relative to the spread of the golden logits; limits: {limits}. {DRAWN} "
        f"images, but {DRAWN_DEAR} if emulation takes minutes per image; fp16 then runs on "
        "ONNX Runtime only."
    )
    lines = []
    for verdict in sorted(_of("answers", verdicts), key=lambda v: v.outcome.trial.model):
        trial, found = verdict.outcome.trial, verdict.outcome.found
        golden = f"{found['golden_error']:.1e}" if found else ""
        native = f"{verdict.error:.1e}" if verdict.error is not None else ""
        same = f"{verdict.same} of {trial.drawn}" if verdict.ran else ""
        if trial.row.native:
            native, same = "", ""  # the reference
        cells = (f"`{trial.model}`", trial.row.title, trial.subject, golden, native, same)
        lines.append((*cells, str(verdict)))
    header = ("file", "processor", "backend", "golden", "native", "same class", "")
    return _table("Answers", text, header, lines)


def _exports(verdicts: Sequence[Verdict]) -> str:
    text = (
        "A small seeded network, converted to int8 by `edgecat_export`; the hash of its payload "
        "and of the golden logits in its card."
    )
    lines = []
    for verdict in _of("export", verdicts):
        found = verdict.outcome.found
        hashes = [f"`{found[name][:12]}`" if found else "" for name in ("payload", "golden")]
        lines.append((verdict.outcome.trial.row.title, *hashes, str(verdict)))
    return _table("Export", text, ("processor", "payload", "golden logits", ""), lines)


def _tests(verdicts: Sequence[Verdict]) -> str:
    lines = []
    for verdict in _of("tests", verdicts):
        last = (verdict.outcome.out.strip().splitlines() or [""])[-1].strip("= ")
        lines.append((verdict.outcome.trial.row.title, last.partition(" in ")[0], str(verdict)))
    text = f"`pytest {' '.join(INT8_TESTS)}`."
    return _table("Tests of int8", text, ("processor", "", ""), lines)


def _classified(verdicts: Sequence[Verdict]) -> str:
    text = (
        f"`edgecat classify` natively, with default options on {DRAWN} drawn images: the int8 file "
        f"on ONNX Runtime. Probabilities against OpenCV {REFERENCE_OPENCV}, limit "
        f"{PROBABILITY_LIMIT}."
    )
    lines = []
    for verdict in _of("classify", verdicts):
        version = verdict.outcome.trial.subject
        error = f"{verdict.error:.1e}" if verdict.error is not None else ""
        same = f"{verdict.same} of {DRAWN}" if verdict.ran else ""
        numpy = OPENCVS[version].partition("==")[2]
        lines.append((version, numpy or "as above", same, error, str(verdict)))
    header = ("OpenCV", "NumPy", "same label", "largest difference", "")
    return _table("Versions of OpenCV", text, header, lines)


def _of(kind: str, verdicts: Sequence[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.outcome.trial.kind == kind]


def _table(title: str, text: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    body = "\n".join(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows)
    return f"## {title}\n\n" + (f"{_filled(text)}\n\n" if text else "") + body + "\n"


def _filled(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
