"""Files of PyTorch, which have no card: how they are recognised, and what to do with them."""

from __future__ import annotations

from pathlib import Path

TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".torchscript", ".pt2")


def torch_advice(path: Path) -> str:
    """What to do with a torch file, as the end of a message; empty for another."""
    if path.suffix not in TORCH_SUFFIXES:
        return ""
    return (
        ". A torch file has no card and may contain code: load it in Python, write it with "
        "torch.onnx.export (TorchScript: torch.jit.load, then dynamo=False) and describe that "
        "file: edgecat export model.onnx --labels labels.txt --mean 0.485,0.456,0.406 --std "
        "0.229,0.224,0.225 --size 224"
    )
