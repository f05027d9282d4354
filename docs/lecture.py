"""Extract the figures of the lecture, in both languages, from the output of its commands.

make demo
sudo apt install fonts-nanum  # or another Korean font; its letters become paths in the figures
for study in $(edgecat study | cut -d" " -f1)
do edgecat study $study --language both; done
edgecat deepvis top demo/pets/train --engine shipped --layers features.42 --units 37
edgecat deepvis synthesise --engine shipped --layers features.42 --units 37
python docs/lecture.py studies
"""

from __future__ import annotations

import base64
import re
import sys
from html import unescape
from pathlib import Path

import cv2
import numpy as np

from edgecat.deepvis import open_probe
from edgecat.deepvis.rendering import enlarged, heat_over
from edgecat.deepvis.results import KINDS, Results
from edgecat.pets.synthetic import draw_pet
from edgecat.pretrained import CHECKPOINT
from edgecat.study.words import LANGUAGES, speaking, tr

FIGURES = {
    "gradients": ("activations", "Gradient norms by layer and by depth"),
    "activations": ("activations", "Loss and accuracy during training"),
    "batch": ("batch", "Loss by epochs and by seconds"),
    "paths": ("batch", "Paths and cosines"),
    "learning-rate": ("learning-rate", "Loss by epoch and by rate"),
    "parabola": ("learning-rate", "Steps on a parabola"),
    "optimizers": ("optimizers", "Loss and accuracy by optimiser"),
    "dropout": ("dropout", "Training and validation accuracy, the gap, and the loss"),
    "occlusion": ("dropout", "Accuracy by hidden area"),
    "filters": ("convolution", "An image after four filters, ReLU and max pooling"),
    "shift": ("convolution", "Change of the map against the shift"),
    "weights": ("convolution", "Weights, layer by layer"),
    "receptive-fields": ("convolution", "Receptive fields of VGG16"),
    "first-layer": ("convolution", "The first layer of the model that ships"),
    "architectures": ("architectures", "Accuracy against multiply-adds, weights and latency"),
    "shortcuts": ("shortcuts", "Gradient by layer and by depth, before training"),
    "sequence": ("sequence", "Accuracy by reader and kind of frame"),
}
"""By name: the study, and the figure's description on its English page."""
UNIT = "features.42", 37
_TILE = 320


def main(studies: Path) -> None:
    """Write each figure into `docs/lecture/`, the Korean ones into `docs/lecture/ko/`."""
    folder = Path(__file__).with_name("lecture")
    for language in LANGUAGES:
        english = language == "en"
        target = folder if english else folder / language
        target.mkdir(parents=True, exist_ok=True)
        with speaking(language):
            for name, (study, alt) in FIGURES.items():
                page = studies / (f"{study}.html" if english else f"{study}.{language}.html")
                (target / f"{name}.svg").write_text(figure(page, tr(alt)))
    write_image(folder / "unit-37.jpg", unit_images())
    write_image(folder / "gradcam.jpg", heat_images())


def figure(page: Path, alt: str) -> str:
    """Return a page's figure as SVG, on a white background."""
    image = r'<img class="plot" alt="([^"]*)" src="data:image/svg\+xml;base64,([^"]*)"'
    for found, data in re.findall(image, page.read_text()):
        if unescape(found) == alt:
            svg = base64.b64decode(data).decode()
            svg = re.sub(r"@media \(prefers-color-scheme: dark\)\{.*?\}\}", "", svg)
            return re.sub(r"(<svg[^>]*>)", r'\1<rect width="100%" height="100%" fill="#fff"/>',
                          svg, count=1)  # fmt: skip
    raise SystemExit(f"{page} has no figure {alt!r}")


def unit_images() -> list[np.ndarray]:
    """Return one unit's top images, their deconvolutions, and the image synthesised for it."""
    probe = open_probe(CHECKPOINT)
    results = Results(CHECKPOINT, probe.card)
    layer, unit = UNIT
    found = [results.picture(kind, probe.layer(layer), unit) for kind in KINDS]
    missing = [kind for kind, picture in zip(KINDS, found, strict=True) if picture is None]
    if missing:
        raise SystemExit(f"{results.folder} has no {', '.join(missing)} of {layer}, unit {unit}")
    return [picture for picture in found if picture is not None]


def heat_images() -> list[np.ndarray]:
    """Return drawn pets, each followed by its Grad-CAM overlay."""
    probe = open_probe(CHECKPOINT)
    pictures = []
    for seed in (4, 11):
        pet = draw_pet(seed, seed % 2, _TILE)[0]
        heat = probe.gradcam(pet, int(probe.run(pet).probabilities.argmax()))
        pictures += [pet, heat_over(pet, enlarged(heat, _TILE, _TILE))]
    return pictures


def write_image(path: Path, pictures: list[np.ndarray]) -> None:
    """Write square images side by side, on white."""
    tiles = [cv2.resize(p, (_TILE, _TILE), interpolation=cv2.INTER_AREA) for p in pictures]
    gap = np.full((_TILE, 12, 3), 255, np.uint8)
    row = np.hstack([part for tile in tiles for part in (tile, gap)][:-1])
    path.write_bytes(cv2.imencode(".jpg", row, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
