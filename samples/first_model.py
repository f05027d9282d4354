"""A first model, from drawn pets to verified files: python first_model.py FOLDER.

What `make demo` does, in ten statements. Each `# %%` starts a cell for editors and notebooks
(VS Code, Spyder, `jupytext --to ipynb`), where every result displays itself.
"""

import sys
from pathlib import Path

import edgecat
from edgecat.pets.synthetic import write_pets

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else sys.exit(__doc__)

# %% Draw cats and dogs: no photographs, no download. `test/` is never trained on.
write_pets(folder / "pets/train", count=1600, seed=1, size=64)
test = write_pets(folder / "pets/test", count=200, seed=5001, size=64)

# %% Train a small VGG16; `reporter` shows the progress.
run = edgecat.train(
    folder / "pets",
    reporter=edgecat.Terminal(),
    output=folder,
    arch="vgg16",
    size=32,
    width=0.25,
    epochs=8,
    batch_size=32,
    optimizer="adamw",
    lr=0.002,
    threads=1,  # enough for so small a network
)

# %% Export it in float32 and in half precision. A file is written only if it passes its gate.
models = [edgecat.export(run), edgecat.export(run, precision="fp16")]

# %% Verify both against PyTorch, on every backend present and on images they have never seen.
report = edgecat.verify(run, *models, data=test)

# %% Classify with the smaller one, and show everything.
predictions = edgecat.classify(test / "cat", models[-1])
print(repr(run), *map(repr, models), report, repr(predictions), sep="\n")
