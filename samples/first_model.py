"""A first model, from drawn pets to a proven int8 file: python first_model.py FOLDER.

What `make demo` does, in a few lines of the library. Each `# %%` starts a cell for editors and
notebooks (VS Code, Spyder, `jupytext --to ipynb`), where every result shows itself.
"""

import sys
from pathlib import Path

import edgecat
from edgecat.pets.synthetic import write_pets

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else sys.exit(__doc__)

# %% Draw cats and dogs: no photographs, no download. `test/` is never trained on.
write_pets(FOLDER / "pets/train", count=1600, seed=1, size=64)
test = write_pets(FOLDER / "pets/test", count=200, seed=5001, size=64)

# %% Train a small VGG16; `reporter` shows the progress.
run = edgecat.train(
    FOLDER / "pets",
    reporter=edgecat.Terminal(),
    output=FOLDER,
    arch="vgg16",
    size=32,
    width=0.25,
    epochs=8,
    batch_size=32,
    optimizer="adamw",
    lr=0.002,
    threads=1,  # enough for so small a network, and unhurt by other programs
)
print(repr(run))

# %% Export it to float32, half precision and int8. A file is written only if it passes its gate.
models = [edgecat.export(run), edgecat.export(run, precision="fp16")]
try:
    models.append(edgecat.export(run, precision="int8", calibrate=FOLDER / "pets/train", gate=test))
except edgecat.GateError as refused:  # so small a model may be too unsure for int8
    print(refused)
print(*map(repr, models), sep="\n")

# %% Verify them against PyTorch, on every backend present and on images they have never seen.
# Float32 always agrees; so small a model has close calls that a rounding may turn.
report = edgecat.verify(run, *models, data=test)
print(report)

# %% Classify with the smallest.
found = edgecat.classify(test / "cat", models[-1])
print(repr(found))
