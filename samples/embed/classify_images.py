"""Classify images in your own program: python classify_images.py vgg16.onnx cat.jpg ..."""

import sys

from edgecat_runtime import Classifier, EdgecatError
from edgecat_runtime.images import read_image


def main(model: str, pictures: list[str]) -> None:
    """Print one line per image."""
    with Classifier.open(model) as classifier:  # runs the self-test on this device
        for path in pictures:
            print(f"{path}: {classifier.classify(read_image(path))}")


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2:])
    except (EdgecatError, IndexError) as end:
        sys.exit(str(end) if isinstance(end, EdgecatError) else __doc__)
