"""The bundled model: cats and dogs, a VGG16 that edgecat trained from scratch.

`docs/model.md` documents its training, its scores, and the licences of its photographs.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
CHECKPOINT = FOLDER / "vgg16.safetensors"
FP16 = FOLDER / "vgg16.fp16.onnx"
INT8 = FOLDER / "vgg16.int8.onnx"


def shipped(model: Path) -> bool:
    """Whether a path is a bundled model, next to which nothing should be written."""
    return model.resolve().parent == FOLDER.resolve()
