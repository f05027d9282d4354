"""The ways that `benchmarks/gpu.py` compares, on a GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the peers need torch")

from edgecat.models import architecture, build_model  # noqa: E402
from edgecat.models.backend import TorchBackend  # noqa: E402
from edgecat.models.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from edgecat_export.graph.deployed import card_for_onnx, onnx_from_model  # noqa: E402
from edgecat_export.publish import save_onnx  # noqa: E402
from edgecat_runtime.backends.onnxruntime import has_provider  # noqa: E402

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="PyTorch has no CUDA GPU here"
)
LIMITS = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 2e-1}


@pytest.fixture(scope="module")
def on_gpu() -> Any:
    from on_gpu import ceilings, measure, parts, ways

    return SimpleNamespace(ceilings=ceilings, measure=measure, parts=parts, ways=ways)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small network, and its card with golden logits."""
    torch.manual_seed(0)
    card = architecture("vgg16").card(("cat", "dog"), size=64, head="gap", factor=0.125)
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    save_checkpoint(path, build_model(card).eval(), card)
    return load_checkpoint(path)


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        ("Eager", "fp32"),
        ("Eager", "fp16"),
        ("Recorded", "fp32"),
        ("Recorded", "fp16"),
        ("Recorded", "bf16"),
        ("Bound", "fp32"),
    ],
)
def test_a_peer_answers_as_pytorch_on_the_cpu(
    on_gpu: Any, small: Any, tmp_path: Path, kind: str, precision: str
) -> None:
    (model, card), cuda = small, torch.device("cuda")
    with on_gpu.parts.own_stream(cuda), on_gpu.parts.arithmetic():
        if kind == "Bound":
            if not has_provider("cuda"):
                pytest.skip("this onnxruntime has no CUDA provider")
            path, deployed = tmp_path / "small.onnx", card_for_onnx(card)
            save_onnx(onnx_from_model(model, card), deployed, path)
            way = on_gpu.ways.Bound(kind, path, deployed, device=cuda)
        else:
            options = {"device": cuda, "precision": precision, "channels_last": precision != "fp32"}
            way = getattr(on_gpu.ways, kind)(kind, model, card, **options)
        inputs = on_gpu.measure.Inputs(card, TorchBackend(model, card).infer)
        for batch in (1, 5):
            way.prepare(batch)
            for number in range(8):
                error = inputs.error(number, way.infer(inputs.batch(number, batch)))
                assert error < LIMITS[precision], (number, error)
            stages = way.stages()
            assert min(stages.up, stages.gpu, stages.down) > 0


def test_the_ceilings_are_those_of_a_gpu(on_gpu: Any) -> None:
    found = on_gpu.ceilings.ceilings_of(torch.device("cuda"), None)
    assert found.source == "measured"
    assert found.memory_gb_s > found.up_gb_s > 0.5
    assert found.fp16_tflop_s > found.fp32_tflop_s > 0.1


def test_copies_are_timed_over_edgecats_own_layer(on_gpu: Any) -> None:
    up, down = on_gpu.ways.copies_ms(1 << 24, 1 << 10)
    assert up > down > 0
