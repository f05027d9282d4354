from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "object"]
KEYS = [
    *("model", "backend", "device", "precision", "batch", "n", "fps"),
    *("latency_ms", "stages_ms", "warmup", "memory_mb"),
]


def test_every_backend_of_a_model_is_compared(cli: Cli, tiny_onnx: Path, tmp_path: Path) -> None:
    plot = tmp_path / "new" / "latency.png"
    arguments = ("--backend", "all", "--batch", 3, "--seconds", 0.1, "--json", "--plot", plot)
    ran = cli("benchmark", tiny_onnx, *arguments)
    rows = json.loads(ran.out)
    assert ran.code == 0, ran.err
    assert {"onnxruntime", "opencv"} <= {row["backend"] for row in rows}
    for row in rows:
        assert list(row) == KEYS
        assert list(row["latency_ms"]) == ["mean", "p50", "p90", "p99"]
        assert {"preprocess", "infer"} <= set(row["stages_ms"])
        assert (row["model"], row["precision"], row["batch"]) == (str(tiny_onnx), "fp32", 3)
        assert (row["device"].startswith("cpu ("), "cores" in row["device"]) == (True, True)
        assert row["n"] >= 10
        assert row["warmup"] >= 9
        assert row["fps"] == pytest.approx(3000 / row["latency_ms"]["mean"], rel=0.01)
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_people_get_a_table_with_the_ratio(cli: Cli, checkpoint: Path, tiny_onnx: Path) -> None:
    ran = cli("benchmark", checkpoint, tiny_onnx, "--threads", 1, "--seconds", 0.1)
    assert ran.code == 0, ran.err
    header, first, second, machine = (line.split() for line in ran.out.splitlines())
    assert header[:3] + header[-1:] == ["model", "backend", "precision", "speed"]
    assert first[:3] + first[-1:] == [str(checkpoint), "pytorch", "fp32", "1.00x"]
    assert second[0] == str(tiny_onnx)
    assert f"{tiny_onnx.name} with {second[1]} on cpu" in ran.err  # auto says what it took
    assert machine[:4] == ["batch", "1", "on", "cpu"]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_plot_that_cannot_be_written_costs_no_figures(
    cli: Cli, tiny_onnx: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("")
    plot = ("--plot", tmp_path / "file" / "latency.png")
    arguments = ("--backend", "onnxruntime", "--seconds", 0.1, *options)
    ran = cli("benchmark", tiny_onnx, *arguments, *plot)
    assert (ran.code, "latency.png" in ran.err) == (1, True), ran.err
    if options:
        assert json.loads(ran.out)[0]["model"] == str(tiny_onnx)
    else:
        assert ran.out.splitlines()[1].split()[:2] == [str(tiny_onnx), "onnxruntime"]


def test_a_plot_without_matplotlib_is_refused_before_measuring(
    cli: Cli, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(
        "edgecat_runtime.benchmark.measure", lambda *_, **__: pytest.fail("measured")
    )
    ran = cli("benchmark", tiny_onnx, "--plot", "latency.png")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: --plot needs matplotlib")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["missing.onnx"], 1, "missing.onnx does not exist"),
        (["{model}", "--backend", "tensorrt"], 1, "backend 'tensorrt' cannot open tiny.onnx"),
        (["{model}", "--device", "moon"], 1, "device 'moon' cannot run tiny.onnx"),
        (["{model}", "--plot", "latency.jpg"], 1, "--plot latency.jpg does not end in .png"),
        (["{model}", "--batch", "0"], 2, "--batch"),
        (["{model}", "--seconds", "0"], 2, "--seconds"),
    ],
)
def test_bad_input_is_one_line(
    cli: Cli, tiny_onnx: Path, arguments: list[str], code: int, sentence: str
) -> None:
    ran = cli("benchmark", *(a.format(model=tiny_onnx) for a in arguments))
    assert (ran.code, ran.out) == (code, "")
    assert sentence in ran.err
