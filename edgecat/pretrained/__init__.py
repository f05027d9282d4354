"""The model that ships with edgecat: cats and dogs, a VGG16 that edgecat trained from nothing.

`docs/model.md` says how it was trained, what it scores, and on what terms its photographs came.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
CHECKPOINT = FOLDER / "vgg16.safetensors"
FP16 = FOLDER / "vgg16.fp16.onnx"
INT8 = FOLDER / "vgg16.int8.onnx"


def shipped(model: Path) -> bool:
    """Whether a model is one of those here, beside which nothing should be written."""
    return model.resolve().parent == FOLDER.resolve()
