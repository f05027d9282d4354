"""Export to a Triton model repository: the ONNX file behind its gate, then the folder around it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from edgecat.workflows.export import ExportRequest
from edgecat.workflows.export_result import ExportResult
from edgecat.workflows.reporter import SILENT, Reporter
from edgecat_export.triton import TritonOptions, write_repository
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.trust import own_output

REPOSITORY = Path("triton")


def export_repository(
    request: ExportRequest, options: TritonOptions, reporter: Reporter = SILENT
) -> ExportResult:
    """Write a Triton model repository with one model.

    Args:
        request: the model, its precision and how it is judged; `output` is the repository, None
            for `triton/` here. An engine or an ONNX file that needs no conversion is copied.
        options: of Triton.
        reporter: receives the progress.

    Returns:
        The result; its file is the model's folder.

    Raises:
        UserError: the folder exists, or the model does not suit the platform.
        GateError: the ONNX file would drift beyond the limit; nothing was written.
    """
    output = request.output or REPOSITORY
    source = request.source
    name = source.name.partition(".")[0]
    if _is_finished(request):
        folder = write_repository(source, output, name=name, options=options)
        return ExportResult((folder,), read_card(source))
    with tempfile.TemporaryDirectory() as place:
        made = replace(request, to="onnx", output=Path(place) / f"{name}.onnx").run(reporter)
        with own_output():
            folder = write_repository(made.path, output, name=name, options=options)
    return replace(made, files=(folder,))


def _is_finished(request: ExportRequest) -> bool:
    """Whether the source is deployed as it is."""
    if request.source.suffix == ".safetensors" or request.foreign.given:
        return False
    card = read_card(request.source)
    return request.precision in (None, card.precision)
