"""Every TensorRT version that edgecat serves has every name that the code takes of it.

The real bindings of each version are imported against stubs of the libraries that they link, which
need a GPU's driver and gigabytes. They lie in `tensorrt-bindings/VERSION` of the environment:

    pip install --no-deps --target PREFIX/tensorrt-bindings/10.3.0 tensorrt-cu12-bindings==10.3.0
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import edgecat_export
import edgecat_runtime

SCRIPT = Path(__file__).with_name("tensorrt_names.py")
EXPORT = Path(edgecat_export.__file__).parent
RUNTIME = Path(edgecat_runtime.__file__).parent
SOURCES = [
    *(EXPORT / "engine").glob("*.py"),
    RUNTIME / "nvidia" / "tensorrt.py",
    RUNTIME / "model" / "engine_card.py",
    RUNTIME / "doctor" / "tiny.py",
    RUNTIME / "backends" / "tensorrt.py",
]
BINDINGS = Path(os.environ.get("EDGECAT_TENSORRT_BINDINGS", Path(sys.prefix) / "tensorrt-bindings"))
STUBS = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
VALIDITY = {"EngineInvalidityDiagnostics", "EngineInvalidityDiagnostics.__members__"}
EAGER = {"IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy"}
CONFIG = {"ICudaEngine.create_runtime_config"}
STAT = {"ICudaEngine.get_engine_stat"}
# What nvidia/tensorrt.py looks for before it uses it.
ABSENT = {
    "10.3.0": VALIDITY
    | EAGER
    | {"ICudaEngine.create_runtime_config", "ICudaEngine.get_engine_stat"},
    "10.16.1.11": VALIDITY | EAGER,
    "11.4.0.106": VALIDITY | EAGER,
}


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with libraries that hold nothing but the symbols that the bindings link."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("stub libraries need Linux and a C compiler")
    folder = tmp_path_factory.mktemp("stubs")
    source = folder / "stub.c"
    source.write_text("".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS))
    for major in (10, 11):
        for name in (f"lib{stub}.so.{major}" for stub in STUBS):
            command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name]
            subprocess.run([*command, source], check=True)
    return folder


def names(module: str, **environment: str) -> Any:
    ran = subprocess.run(
        [sys.executable, SCRIPT, module, *SOURCES],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("version", ABSENT)
def test_every_name_exists(version: str, stubs: Path) -> None:
    folder = BINDINGS / version
    if not any(folder.glob("tensorrt_bindings/tensorrt*")):
        pytest.skip(f"the bindings of TensorRT {version} are not in {folder}")
    found = names("tensorrt_bindings", PYTHONPATH=str(folder), LD_LIBRARY_PATH=str(stubs))
    assert found["version"] == version
    assert found["names"] > 60
    assert set(found["lacking"]) == ABSENT[version]


def test_every_name_exists_in_tensorrt_rtx() -> None:
    pytest.importorskip(
        "tensorrt_rtx_bindings", reason="needs TensorRT-RTX: pip install '.[tensorrt-rtx]'"
    )
    found = names("tensorrt_rtx_bindings")
    assert found["lacking"] == []
    assert {"Builder.create_network", "ICudaEngine.get_engine_stat"} <= set(found["all"])
