"""Ask a model that `edgecat serve` serves: python client.py URL IMAGE...

    edgecat serve vgg16.onnx --port 8000
    python client.py http://127.0.0.1:8000/v2/models/vgg16 cat.jpg dog.jpg

Needs nothing but Python. EDGECAT_WEB_TOKEN is the service's token, if it has one.
"""

import base64
import json
import os
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

if len(sys.argv) < 3:
    sys.exit(__doc__)
url, *paths = sys.argv[1:]

# One tensor of image files; in JSON they are base64. Frames, and bytes without JSON, work too.
images = {
    "name": "images",
    "datatype": "BYTES",
    "shape": [len(paths)],
    "data": [base64.b64encode(Path(path).read_bytes()).decode() for path in paths],
}
request = Request(f"{url}/infer", json.dumps({"inputs": [images]}).encode())
if token := os.environ.get("EDGECAT_WEB_TOKEN"):
    request.add_header("Authorization", f"Bearer {token}")
try:
    with urlopen(request, timeout=60) as response:
        answer = json.load(response)
except HTTPError as error:  # 503: too many requests wait, try again; 400: the sentence says why
    sys.exit(f"{error.code}: {json.load(error)['error']}")
outputs = {output["name"]: output for output in answer["outputs"]}
classes = outputs["probabilities"]["shape"][1]
for number, (path, label) in enumerate(zip(paths, outputs["label"]["data"], strict=True)):
    row = outputs["probabilities"]["data"][number * classes : (number + 1) * classes]
    print(f"{path}  {label} {max(row):.1%}")
