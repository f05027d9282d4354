"""Plug-ins: listed without being imported, and one that is broken breaks nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecat_runtime import Sink, SourceOptions, open_output, open_source, register_output
from edgecat_runtime.backends import available_backends, backend_entries, base
from edgecat_runtime.camera.listing import source_kinds
from edgecat_runtime.doctor.libraries import check_plugins
from edgecat_runtime.errors import UserError
from edgecat_runtime.outputs import opening
from edgecat_runtime.outputs.opening import output_names
from edgecat_runtime.system.plugins import find_plugin, find_plugins

GOOD = """
from edgecat_runtime import BackendEntry, CallbackSink, Shot, Source
IMPORTED = True
class Nothing(Source):
    name = "nothing"
    def read(self):
        return None
def source(text, options):
    return Nothing()
def output(argument):
    return CallbackSink(print)
backend = BackendEntry("paper", "cpu", (".onnx",), "numpy", lambda *given: None)
other = BackendEntry("stone", "cpu", (".onnx",), "numpy", lambda *given: None)
number = 7
def wrong(argument):
    return argument
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install(distribution, {module: code}, entry_points)` as pip leaves it on the disk."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))

    def put(
        entry_points: str, *, name: str = "acme-cats", module: str = "acme_cats", code: str = GOOD
    ) -> None:
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_bytes(entry_points.encode(errors="surrogateescape"))

    return put


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """The modules of one test's plug-ins are not those of the next."""
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


ALL = """
[edgecat.sources]
paper = acme_cats:source
[edgecat.backends]
paper = acme_cats:backend
[edgecat.outputs]
paper = acme_cats:output
[console_scripts]
acme = acme_cats:main
"""


def test_names_are_listed_without_an_import(install: Install) -> None:
    install(ALL, code="raise RuntimeError('imported')")
    assert [str(plugin) for plugin in find_plugins()] == [
        "source paper (acme-cats 1.2)",
        "backend paper (acme-cats 1.2)",
        "output paper (acme-cats 1.2)",
    ]
    assert "paper:..." in [kind.example for kind in source_kinds()]
    assert {"events", "mqtt", "paper", "snapshots"} <= set(output_names())
    with pytest.raises(UserError, match="expected one of auto, .*paper"):
        backend_entries("model.onnx", name="stone")
    assert "paper" not in available_backends("model.onnx"), "auto takes what is built in"
    assert "acme_cats" not in sys.modules


def test_a_plug_in_is_opened_by_its_name(install: Install) -> None:
    install(ALL)
    assert open_source("paper://x").name == "nothing"
    assert open_source("PAPER:x").name == "nothing"
    assert isinstance(open_output("paper"), Sink)
    assert [entry.name for entry in backend_entries("model.onnx", name="paper")] == ["paper"]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("acme_gone:thing", "ModuleNotFoundError: No module named 'acme_gone'"),
        ("acme_cats:thing", "AttributeError: .*thing"),
        ("acme_cats:number", "acme_cats:number is 7; expected "),
        ("acme_raises:thing", "RuntimeError: no licence, at all$"),
    ],
)
@pytest.mark.parametrize("kind", ["sources", "backends", "outputs"])
def test_a_broken_one_is_one_sentence(
    install: Install, tmp_path: Path, kind: str, target: str, why: str
) -> None:
    (tmp_path / "acme_raises.py").write_text("raise RuntimeError('no licence,\\nat all')")
    install(f"[edgecat.{kind}]\npaper = {target}\n")
    opened: dict[str, Callable[[], object]] = {
        "sources": lambda: open_source("paper:x"),
        "backends": lambda: backend_entries("model.onnx", name="paper"),
        "outputs": lambda: open_output("paper:x"),
    }
    with pytest.raises(UserError) as caught:
        opened[kind]()
    sentence, _, fix = str(caught.value).partition(". Reinstall or upgrade")
    assert sentence.startswith(f"the plug-in 'paper' (edgecat.{kind}) of acme-cats 1.2 is broken: ")
    assert fix
    assert "\n" not in sentence
    assert re.search(why, sentence)


@pytest.mark.parametrize(
    ("kind", "target", "why"),
    [
        ("backends", "acme_cats:other", "'stone'.*; expected a BackendEntry named 'paper'"),
        ("outputs", "acme_cats:wrong", "returned 'x'; expected a Sink"),
    ],
)
def test_one_that_gives_something_else_is_broken(
    install: Install, kind: str, target: str, why: str
) -> None:
    install(f"[edgecat.{kind}]\npaper = {target}\n")
    with pytest.raises(UserError, match=why):
        open_output("paper:x") if kind == "outputs" else backend_entries("m.onnx", name="paper")


def test_a_broken_one_does_not_break_what_is_built_in(install: Install, tmp_path: Path) -> None:
    install(
        "[edgecat.sources]\nhttp = acme_cats:source\n[edgecat.backends]\n"
        "opencv = acme_cats:backend\n[edgecat.outputs]\nevents = acme_cats:output\n",
        code="raise RuntimeError('imported')",
    )
    open_output(f"events:{tmp_path}/e.jsonl").close()
    assert backend_entries("model.onnx", name="opencv")[0].module == "cv2"
    with pytest.raises(UserError, match="does not support --width"):
        open_source("http://127.0.0.1:9/", SourceOptions(width=3))
    assert "acme_cats" not in sys.modules


@pytest.mark.parametrize("text", ["[edgecat.sources]\nno equals sign\n", "\udcff[edgecat.sources]"])
def test_unreadable_metadata_hides_that_distribution_alone(install: Install, text: str) -> None:
    install(text, name="acme-torn", module="acme_torn")
    install(ALL)
    assert [plugin.name for plugin in find_plugins("edgecat.outputs")] == ["paper"]


def test_two_of_one_name_are_told_apart(install: Install) -> None:
    install("[edgecat.outputs]\npaper = acme_cats:output\n")
    install("[edgecat.outputs]\nPaper = acme_dogs:output\n", name="acme-dogs", module="acme_dogs")
    with pytest.raises(UserError, match="2 plug-ins .* of acme-dogs 1.2 and acme-cats 1.2"):
        open_output("paper")


def test_a_hidden_installation_does_not_count(install: Install, tmp_path: Path) -> None:
    install(ALL)
    (tmp_path / "older").mkdir()
    info = tmp_path / "older" / "Acme.Cats-0.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Acme.Cats\nVersion: 0.9\n")
    (info / "entry_points.txt").write_text(ALL)
    sys.path.append(str(tmp_path / "older"))
    try:
        found = find_plugin("edgecat.outputs", "paper")
    finally:
        sys.path.remove(str(tmp_path / "older"))
    assert found is not None
    assert found.distribution == "acme-cats 1.2"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("teletype:x", "'teletype' is unknown; expected NAME or NAME:ARGUMENT with one of events"),
        (":x", "output '' is unknown"),
        ("events", "output events has no argument; expected events:FILE"),
        ("snapshots:", "expected snapshots:DIR"),
        ("mqtt", "expected mqtt:URL"),
        ("mqtt:http://x", "the MQTT address is invalid"),
    ],
)
def test_a_wrong_output_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        open_output(text)


def test_outputs_are_opened_by_their_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_OPENERS", dict(opening._OPENERS))
    register_output("Nothing", lambda argument: Named(argument))
    assert open_output("nothing:a:b").name == "a:b"
    assert open_output("nothing").name == ""
    open_output(f"snapshots:{tmp_path}/shots").close()
    assert (tmp_path / "shots").is_dir()
    for name in ("", "a:b"):
        with pytest.raises(ValueError, match="expected one or more letters"):
            register_output(name, Named)


class Named(Sink):
    """Keeps its argument."""

    def __init__(self, argument: str) -> None:
        self.name = argument


@pytest.mark.parametrize(("code", "ok"), [(GOOD, True), ("raise RuntimeError('no')", False)])
def test_the_doctor_lists_and_tries_them(install: Install, code: str, ok: bool) -> None:
    install("[edgecat.outputs]\npaper = acme_cats:output\n", code=code)
    finding = check_plugins()
    said = "" if ok else ": broken"
    assert (finding.ok, finding.value) == (ok, f"output paper (acme-cats 1.2){said}")
    assert ("RuntimeError: no" in finding.fix) is not ok
    assert "acme_cats" not in sys.modules, "it is imported in a child process"


def test_without_plug_ins_there_is_nothing_to_fix() -> None:
    program = (
        "import sys; sys.path[:] = [p for p in sys.path if 'plugin' not in p]\n"
        "from edgecat_runtime.system.plugins import find_plugins; print(find_plugins())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout == "()\n", ran.stderr
