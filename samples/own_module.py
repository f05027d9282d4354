"""Your own PyTorch module: its card, a verified ONNX file, and a prediction.

Usage: python own_module.py FOLDER

Replace `Net` with your module and its trained weights, and the card's fields with your own.
Afterwards `edgecat camera --model FOLDER/own.onnx` serves it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

import edgecat
from edgecat import ModelCard
from edgecat_export.graph import export_onnx


class Net(nn.Module):
    """Takes float32 (n, 3, 96, 96), RGB, normalised; returns logits (n, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2)
        )
        self.classifier = nn.Linear(32, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the logits."""
        logits: torch.Tensor = self.classifier(self.features(images).relu().mean((2, 3)))
        return logits


def main(folder: Path) -> None:
    """Export the module, verify the file, and classify an image."""
    torch.manual_seed(0)
    model = Net()  # then model.load_state_dict(torch.load("own.pt", weights_only=True))
    card = ModelCard(
        architecture="own",
        labels=("cat", "dog"),  # in the order of the logits
        height=96,
        width=96,
        mean=(0.485, 0.456, 0.406),  # as in your training: of RGB values in 0..1
        std=(0.229, 0.224, 0.225),
    )
    path = folder / "own.onnx"
    for pair in export_onnx(model, card, path):  # writes nothing if a backend answers differently
        print(pair)
    image = np.full((120, 160, 3), 127, np.uint8)  # BGR as from OpenCV; "photo.jpg" works too
    print(edgecat.classify(image, path)[0])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python own_module.py FOLDER")
    main(Path(sys.argv[1]))
