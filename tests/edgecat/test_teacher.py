"""Knowledge distillation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy, softmax

from edgecat.models.checkpoint import load_checkpoint
from edgecat.models.frames import input_from_frames
from edgecat.training.teacher import load_teacher
from edgecat_runtime import UserError

CPU = torch.device("cpu")


def _frames(size: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, size, size, 3), dtype=torch.uint8, generator=random)


def test_the_loss_is_the_labels_and_the_teachers_answers(checkpoint) -> None:
    labels, temperature, weight = torch.tensor([0, 1, 1]), 3.0, 0.75
    teacher = load_teacher(
        str(checkpoint), ("cat", "dog"), CPU, temperature=temperature, weight=weight
    )
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.0], [-3.0, 1.0]], requires_grad=True)
    labelled = cross_entropy(logits, labels)
    loss = teacher.loss(labelled, logits, _frames(32))
    model, card = load_checkpoint(checkpoint)
    with torch.no_grad():
        wanted = softmax(model(input_from_frames(_frames(32), card)) / temperature, 1)
    said = softmax(logits / temperature, 1)
    apart = (wanted * (wanted.log() - said.log())).sum(1).mean()
    torch.testing.assert_close(loss, 0.25 * labelled + 0.75 * 9 * apart)
    loss.backward()
    assert logits.grad is not None
    assert all(parameter.grad is None for parameter in teacher.model.parameters())


def test_frames_of_another_size_are_resized(checkpoint) -> None:
    teacher = load_teacher(str(checkpoint), ("cat", "dog"), CPU, temperature=1, weight=1)
    teacher = replace(teacher, card=replace(teacher.card, height=48, width=40))
    seen = []
    teacher.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    assert teacher.logits(_frames(32)).shape == (3, 2)
    assert seen == [(3, 3, 48, 40)]


def test_other_labels_are_refused(checkpoint) -> None:
    with pytest.raises(UserError, match=r"has the labels cat, dog; expected .*: ant, bee\. T"):
        load_teacher(str(checkpoint), ("ant", "bee"), CPU, temperature=1, weight=1)
