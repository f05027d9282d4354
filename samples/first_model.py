"""A first model, from drawn pets to a proven int8 file: python first_model.py FOLDER.

What `make demo` does, in ten lines of the library. Each `# %%` starts a cell for editors and
notebooks (VS Code, Spyder, `jupytext --to ipynb`), where every result shows itself.
"""

import sys
from pathlib import Path

import edgecat
from edgecat.pets.synthetic import write_pets

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else sys.exit(__doc__)

# %% Draw cats and dogs: no photographs, no download. `test/` is never trained on.
write_pets(FOLDER / "pets/train", count=800, seed=1, size=64)
test = write_pets(FOLDER / "pets/test", count=200, seed=5001, size=64)

# %% Train a small VGG16; `reporter` shows the progress.
run = edgecat.train(
    FOLDER / "pets",
    reporter=edgecat.Terminal(),
    output=FOLDER,
    arch="vgg16",
    size=32,
    width=0.25,
    epochs=6,
    batch_size=32,
    optimizer="adamw",
    lr=0.002,
)
print(repr(run))

# %% Export it to half precision and to int8; a file is written only if it passes its gate.
half = edgecat.export(run, precision="fp16")
int8 = edgecat.export(run, precision="int8", calibrate=FOLDER / "pets/train", gate=test)
print(f"{half!r}\n{int8!r}, in floating point: {int8.kept_float or 'nothing'}")

# %% Verify both against PyTorch, on every backend present and on images they have never seen.
report = edgecat.verify(run, half, int8, data=test)
print(report)

# %% Classify with the int8 model.
found = edgecat.classify(test / "cat", int8)
print(repr(found))
