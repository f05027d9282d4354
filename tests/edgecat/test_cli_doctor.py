from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from edgecat.workflows import serving
from edgecat_runtime import doctor
from edgecat_runtime.doctor import Finding

Cli = Callable[..., "object"]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the doctor find what a test says."""

    def set_findings(*findings: Finding) -> None:
        checks = tuple((lambda f=finding: f) for finding in findings)
        monkeypatch.setattr(doctor, "CHECKS", checks)
        monkeypatch.setattr(serving, "check_shipped", lambda: Finding("shipped model", True, "z"))

    return set_findings


@pytest.mark.parametrize(("serves", "code"), [(True, 0), (False, 3)])
def test_the_exit_code_says_whether_a_model_can_be_served(
    cli: Cli, found: Callable[..., None], serves: bool, code: int
) -> None:
    fix = "" if serves else "Install y"
    found(Finding("cameras", False, "none", "Plug one in"), Finding("serves", serves, "x", fix))
    ran = cli("doctor", "--json")
    assert ran.code == code
    shipped = {"name": "shipped model", "ok": True, "value": "z", "fix": ""}
    assert json.loads(ran.out) == {
        "serves": serves,
        "findings": [
            {"name": "cameras", "ok": False, "value": "none", "fix": "Plug one in"},
            {"name": "serves", "ok": serves, "value": "x", "fix": fix},
            *([shipped] if serves else []),
        ],
    }
    assert ("no model can be served on this machine" in ran.err) is not serves


def test_each_line_is_marked_and_a_fix_follows_its_line(
    cli: Cli, found: Callable[..., None]
) -> None:
    found(Finding("Python", True, "3.11"), Finding("cameras", False, "none", "Plug one in"))
    ran = cli("doctor")
    lines = [line.split(maxsplit=2) for line in ran.out.splitlines()]
    assert [line[:2] for line in lines] == [
        ["ok", "Python"],
        ["fix", "cameras"],
        ["->", "Plug"],
        ["ok", "shipped"],
    ]
    assert ran.code == 0
    assert "\033" not in ran.out  # no colours but on a terminal


def test_it_really_looks(cli: Cli) -> None:
    answer = json.loads(cli("doctor", "--json").out)
    assert answer["serves"] is True
    by_name = {finding["name"]: finding for finding in answer["findings"]}
    names = {"Python", "OpenCV", "ONNX Runtime", "GPU", "cameras", "torch", "int8", "serves"}
    assert names <= by_name.keys()
    assert "onnxruntime" in by_name["int8"]["value"]
    shipped = by_name["shipped model"]
    assert shipped["ok"], shipped
    assert "vgg16.int8.onnx" in shipped["value"]
    assert "vgg16.fp16.onnx" in shipped["value"]
