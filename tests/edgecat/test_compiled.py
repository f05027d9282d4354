"""`--compile`: the same training, under the same names."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from edgecat.training import assembly, shared_model
from edgecat.training.config import TrainConfig
from edgecat.training.loop import train


def test_compiled_steps_learn_the_same(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of torch.compile but its last step, which calls a C++ compiler for minutes."""
    compiled: list[nn.Module] = []

    def traced(model: nn.Module) -> nn.Module:
        compiled.append(torch.compile(model, backend="aot_eager"))
        return compiled[-1]

    monkeypatch.setattr(shared_model, "compiled", traced)
    monkeypatch.setattr(assembly, "check_compiler", lambda device: None)
    tiny = replace(config, epochs=1, batch_size=18, batch_norm=False)
    plain, fused = (train(replace(tiny, name=str(flag), compiled=flag)) for flag in (False, True))
    assert len(compiled) == 1
    assert fused.best.train_loss == pytest.approx(plain.best.train_loss, abs=1e-5)
    weights = load_file(fused.checkpoint)
    for name, tensor in load_file(plain.checkpoint).items():
        torch.testing.assert_close(weights.pop(name), tensor, rtol=0, atol=1e-5)
    assert not weights
