"""Classify camera frames in your own program.

    python classify_camera.py vgg16.onnx 0

The second argument is a camera number, a video file, or a folder of images.
"""

import sys

from edgecat_runtime import Camera, Classifier, EdgecatError, Pipeline


def main(engine: str, source: str) -> None:
    """Print every change of the decision, and the loop's statistics at the end."""
    with Camera.open(source) as camera, Classifier.open(engine) as classifier:
        pipeline = Pipeline(camera, classifier)
        for answer in pipeline:
            if answer.changed:
                print(f"frame {answer.frame.index}: {answer.smoothed}")
    print(pipeline.summary)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (EdgecatError, KeyboardInterrupt) as end:
        sys.exit(str(end))
