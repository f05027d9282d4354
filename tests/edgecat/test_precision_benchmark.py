"""`benchmarks/precision.py`: how it sums its measurements up, on given figures."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from edgecat.models.backend import TorchBackend
from edgecat_runtime.backends import BackendEntry
from edgecat_runtime.backends.choice import Candidate, fastest
from edgecat_runtime.benchmark import Result
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.system.machine import Int8Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "precision.py"


@pytest.fixture(scope="module")
def precision() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_precision", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _result(name: str, backend: str, kind: str, times: list[float], speed: float = 1.0) -> Result:
    p50, p90 = np.percentile(times, (50, 90)).tolist()
    latency = {"p50": p50, "p90": p90}
    return Result(
        name, backend, "cpu", kind, 1, len(times), 0, latency, {}, 3, 0, tuple(times), True, speed
    )


RESULTS = [
    _result("vgg16, contiguous", "pytorch", "fp32", [200.0, 210.0, 220.0]),
    _result("vgg16, channels last", "pytorch", "fp32", [160.0, 168.0, 400.0], 1.25),
    _result("vgg16", "onnxruntime", "fp32", [100.0, 100.0, 100.0], 2.0),
    _result("vgg16", "openvino", "fp32", [150.0, 150.0, 150.0], 1.5),
    _result("vgg16", "onnxruntime", "int8", [40.0, 40.0, 40.0], 5.0),
    _result("kernel, contiguous", "pytorch", "fp32", [20.0, 16.0]),
    _result("kernel", "onnxruntime", "fp32", [12.5, 50.0, 50.0]),
    _result("kernel", "onnxruntime", "int8", [4.0, 5.0]),
    _result("other", "onnxruntime", "int8", [4.0, 5.0]),
]


def test_a_peak_is_the_fastest_call_of_any_kernel(precision: ModuleType) -> None:
    assert precision.highest(RESULTS, {"kernel": 2_000_000_000, "other": 1_000_000_000}) == {
        "fp32": {"pytorch": 125.0, "onnxruntime": 160.0},
        "int8": {"onnxruntime": 500.0},
    }


def test_rows_are_shares_of_the_best_librarys_peak_and_ratios_to_pytorchs_better_layout(
    precision: ModuleType,
) -> None:
    network = precision.Network("vgg16", nn.Identity(), None, macs=10_000_000_000)
    peaks = {"fp32": {"pytorch": 125.0, "onnxruntime": 160.0}, "int8": {"onnxruntime": 500.0}}
    table = precision.rows(RESULTS, network, peaks)
    assert [row.name for row in table] == [
        "pytorch fp32, contiguous",
        "pytorch fp32, channels last",
        "onnxruntime fp32",
        "openvino fp32",
        "onnxruntime int8",
    ]
    assert [row.gmacs for row in table[2:]] == pytest.approx([100, 10_000 / 150, 250])
    assert [row.share for row in table[2:]] == pytest.approx([100 / 160, 10_000 / 150 / 160, 0.5])
    assert [row.ratio for row in table] == pytest.approx([0.8, 1.0, 1.6, 1.2, 4.0])


class _Form:
    """An open model, as far as `fastest` looks at one."""

    def __init__(self, candidate: Candidate) -> None:
        self.name = candidate.path.name

    def close(self) -> None: ...


@pytest.mark.parametrize(("ratio", "chosen"), [(0.99, "int8"), (0.81, "int8"), (0.79, "fp32")])
def test_float32_is_chosen_where_the_bar_takes_it_to_be(
    precision: ModuleType, ratio: float, chosen: str
) -> None:
    entry = BackendEntry("library", "cpu", (".onnx",), "library", lambda *_: None, lambda: True)
    forms = [Candidate(Path(name), None, entry) for name in ("int8", "fp32")]
    seconds = {"int8": 1.0, "fp32": ratio}
    taken, _ = fastest(forms, _Form, lambda form: seconds[form.name])
    assert taken.name == chosen
    bar = precision.verdicts(_table(precision, int8=(0.5, ratio)), "none")[3]
    assert bar.passed == (chosen == "fp32")


def _table(precision: ModuleType, **changes: tuple[float, float]) -> list[Any]:
    """Rows whose (share, ratio) meet every bar, but for those named."""
    figures = {"pytorch": (0.4, 1.0), "onnxruntime": (0.6, 1.0), "openvino": (0.3, 0.5)}
    figures |= {"int8": (0.5, 3.5)} | changes
    return [
        precision.Row(
            f"openvino {name}" if name == "int8" else f"{name} fp32",
            "int8" if name == "int8" else "fp32",
            *(10.0, 11.0, 100.0, share, ratio, True),
        )
        for name, (share, ratio) in figures.items()
    ]


@pytest.mark.parametrize(
    ("changes", "path", "met"),
    [
        ({}, "vnni", [True, True, True, True]),
        ({"onnxruntime": (0.59, 1.0)}, "vnni", [False, True, True, True]),
        ({"onnxruntime": (0.59, 1.0), "openvino": (0.6, 1.1)}, "vnni", [True, True, True, True]),
        ({"onnxruntime": (0.6, 0.99)}, "vnni", [True, False, True, True]),
        ({"int8": (0.49, 9.0)}, "amx", [True, True, False, True]),
        ({"int8": (0.5, 3.4)}, "vnni", [True, True, True, False]),
        ({"int8": (0.5, 3.4)}, "amx", [True, True, True, False]),
        ({"int8": (0.5, 3.4)}, "dot product", [True, True, True, False]),
        ({"int8": (0.5, 3.4)}, "i8mm", [True, True, True, False]),
        ({"int8": (0.5, 1.0)}, "avx2", [True, True, True, True]),
        ({"int8": (0.5, 0.99)}, "avx2", [True, True, True, False]),
        ({"int8": (0.5, 0.99)}, "none", [True, True, True, False]),
        ({"int8": (0.5, 1.5), "onnxruntime": (0.7, 1.6)}, "unknown", [True, True, True, False]),
        ({"int8": (0.5, 0.7)}, "none", [True, True, True, True]),  # so float32 is chosen
        ({"int8": (0.5, 0.7)}, "vnni", [True, True, True, False]),
    ],
)
def test_bars_depend_on_the_int8_path(
    precision: ModuleType,
    changes: dict[str, tuple[float, float]],
    path: str,
    met: list[bool],
) -> None:
    bars = precision.verdicts(_table(precision, **changes), path)
    assert [bar.passed for bar in bars] == met
    assert path in bars[3].name


def test_every_int8_path_has_its_bar(precision: ModuleType) -> None:
    assert set(get_args(Int8Path)) - set(precision.SUMS_IN_32_BITS) == {"avx2", "none", "unknown"}


def test_the_page_shows_every_figure(precision: ModuleType) -> None:
    table = [replace(row, steady=row.precision == "int8") for row in _table(precision)]
    peaks = {"fp32": {"pytorch": 160.0, "openvino": 1234.5}, "int8": {"openvino": 2000.0}}
    bars = precision.verdicts(_table(precision, int8=(0.4, 3.5)), "amx")
    page = precision.markdown("A processor.", peaks, table, bars).splitlines()
    assert "A processor." in page
    assert "| kernels | pytorch | openvino |" in page
    assert "| fp32 | 160 | 1,234 |" in page
    assert "| int8 |  | 2,000 |" in page
    assert "| pytorch fp32 (not steady) | 10.0 | 11.0 | 100 | 40% | 1.00 |" in page
    assert "| openvino int8 | 10.0 | 11.0 | 100 | 50% | 3.50 |" in page
    assert "| float32 at 0.6 of the peak | 0.60, onnxruntime fp32 | met |" in page
    assert "| int8 at 0.5 of the peak | 0.40, openvino int8 | **missed** |" in page


def test_kernels_count_their_multiply_adds(precision: ModuleType) -> None:
    counted = {kernel.name: kernel.macs for kernel in precision.kernels()}
    assert counted == {
        "3x3 convolutions": 6 * 32 * 32 * 256 * 256 * 9,
        "1x1 convolutions": 16 * 32 * 32 * 512 * 512,
        "matrix products": 4 * 768 * 1024 * 1024,
    }


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_laid_module_computes_in_its_layout(
    precision: ModuleType, layout: torch.memory_format
) -> None:
    convolution = nn.Conv2d(3, 4, 3)
    seen = []
    convolution.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    copied = precision.laid(nn.Sequential(convolution), layout)
    images = torch.rand(2, 3, 8, 8)
    for given in (images, images.contiguous(memory_format=torch.channels_last)):
        torch.testing.assert_close(copied(given), convolution(images))
        assert seen[-2].is_contiguous(memory_format=layout)
    assert copied[0].weight.is_contiguous(memory_format=layout)


@pytest.mark.parametrize(
    ("layers", "places", "classes"),
    [([nn.Conv2d(8, 8, 3, padding=1)], 1024, 8), ([nn.Linear(1024, 1024)], 8, 8)],
)
def test_a_kernel_is_a_classifier_that_uses_every_weight_in_all_places(
    precision: ModuleType, layers: list[nn.Module], places: int, classes: int
) -> None:
    kernel = precision.kernel("kernel", layers, places)
    seen = []
    layers[0].register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    logits = TorchBackend(kernel.model, kernel.card).infer(golden_frames(32, 32)[:1])
    assert logits.shape == (1, classes) == (1, kernel.card.classes)
    assert seen[0].numel() == places * len(layers[0].weight)
