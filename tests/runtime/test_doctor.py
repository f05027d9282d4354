from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgecat_runtime import doctor
from edgecat_runtime.doctor import CHECKS, Finding, can_serve, diagnose, gpu, libraries, probes
from edgecat_runtime.doctor.libraries import (
    _providers_found,
    check_onnxruntime,
    check_opencv_wheels,
)
from edgecat_runtime.doctor.probes import Reason, Unwell, in_child, why_not
from edgecat_runtime.doctor.system import (
    check_cameras,
    check_jetpack,
    check_power_mode,
    check_python,
)
from edgecat_runtime.doctor.tiny import tiny_engine, tiny_graph
from edgecat_runtime.nvidia.driver import Device, Driver, driver, limits
from edgecat_runtime.nvidia.tensorrt import KINDS, tensorrt
from edgecat_runtime.system import machine

ORIN = "NVIDIA Jetson Orin Nano Developer Kit"
RELEASE = "# R{} (release), REVISION: {}, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
MODES = (
    "# comment\n< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n\n"
    "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=0 >\n"
)

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Write files of a system, path by path, and let it be the one that is looked at."""

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(machine, "ROOT", tmp_path / "root")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        return tmp_path

    return write


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    return diagnose()


def test_every_finding_is_green_or_says_what_to_do(findings: list[Finding]) -> None:
    assert len(findings) == len(CHECKS)
    assert len({finding.name for finding in findings}) == len(CHECKS)
    for finding in findings:
        assert finding.value
        assert finding.ok is not bool(finding.fix), finding
        assert "\n" not in finding.value + finding.fix


def test_this_machine_serves_with_every_backend_that_is_installed(findings: list[Finding]) -> None:
    by_name = {finding.name: finding for finding in findings}
    assert can_serve(findings)
    assert "onnxruntime" in by_name["serves"].value
    assert f"{onnxruntime.__version__}: CPU" in by_name["ONNX Runtime"].value


@pytest.mark.parametrize("serves", [True, False])
def test_the_last_word_is_that_of_one_finding(serves: bool) -> None:
    assert can_serve([Finding("x", False, "y", "z"), Finding("serves", serves, "a")]) is serves


def test_a_check_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_the_moon() -> Finding:
        raise RuntimeError("eclipse")

    monkeypatch.setattr(doctor, "CHECKS", (check_the_moon,))
    (finding,) = diagnose()
    assert (finding.name, finding.ok) == ("the moon", False)
    assert "eclipse" in finding.value


@pytest.mark.parametrize(
    ("files", "board", "ok", "value"),
    [
        ({}, None, True, "none: this is not a Jetson"),
        ({"proc/device-tree/model": "Raspberry Pi 5\0"}, None, True, "not a Jetson"),
        (
            {
                "proc/device-tree/model": f"{ORIN}\0",
                "etc/nv_tegra_release": RELEASE.format(36, "4.3"),
            },
            machine.Jetson(ORIN, "36.4.3", "6"),
            True,
            f"{ORIN}, JetPack 6 (L4T 36.4.3)",
        ),
        (
            {"etc/nv_tegra_release": RELEASE.format(38, "2.1")},
            machine.Jetson("NVIDIA Jetson", "38.2.1", "7"),
            True,
            "JetPack 7 (L4T 38.2.1)",
        ),
        (
            {"etc/nv_tegra_release": RELEASE.format(35, "6.0")},
            machine.Jetson("NVIDIA Jetson", "35.6.0", "5"),
            False,
            "JetPack 5",
        ),
        (
            {"proc/device-tree/model": ORIN},
            machine.Jetson(ORIN, "", ""),
            False,
            "unknown release",
        ),
    ],
)
def test_a_jetson_is_known_by_its_files(
    tree: Tree, files: dict[str, str], board: machine.Jetson | None, ok: bool, value: str
) -> None:
    tree(files)
    assert machine.jetson() == board
    finding = check_jetpack()
    assert (finding.ok, bool(finding.fix)) == (ok, not ok)
    assert value in finding.value


@pytest.mark.parametrize(
    ("said", "status", "mode", "ok"),
    [
        ("NVPM WARN: fan mode is not set!\nNV Power Mode: MAXN\n0\n", "", "MAXN", True),
        ("NV Power Mode: 15W\n1\n", "pmode:0002", "15W", False),
        ("", "pmode:0002 fmode:cool", "MAXN_SUPER", True),
        ("", "pmode:0000", "15W", False),
        ("", "pmode:0007", "mode 7", False),
        ("", "", "", False),
    ],
)
def test_the_power_mode_is_asked_of_nvpmodel_then_of_its_files(
    tree: Tree, said: str, status: str, mode: str, ok: bool
) -> None:
    place = tree(
        {
            "proc/device-tree/model": ORIN,
            "etc/nvpmodel.conf": MODES,
            "var/lib/nvpmodel/status": status,
        }
    )
    if said:
        (place / "bin").mkdir()
        program = place / "bin" / "nvpmodel"
        program.write_text(f"#!/bin/sh\n[ $1 = -q ] && printf '{said}'\n")
        program.chmod(0o755)
    assert machine.power_mode() == mode
    finding = check_power_mode()
    assert finding.ok is ok
    assert (mode or "unknown") in finding.value


def test_clocks_are_read_from_the_systems_files(tree: Tree) -> None:
    cpu = "sys/devices/system/cpu/cpu{}/cpufreq/{}"
    tree(
        {
            "proc/device-tree/model": ORIN,
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\ncpu MHz\t\t: 800.5\n",
            cpu.format(0, "scaling_cur_freq"): "729600\n",
            cpu.format(1, "scaling_cur_freq"): "1510400\n",
            cpu.format(0, "scaling_governor"): "schedutil\n",
            "sys/class/devfreq/17000000.gpu/cur_freq": "624750000\n",
            "sys/class/devfreq/17000000.emc/cur_freq": "2133000000\n",
            "var/lib/nvpmodel/status": "pmode:0000",
            "etc/nvpmodel.conf": MODES,
        }
    )
    found = machine.this_machine()
    assert found == machine.Machine(
        ORIN, "Some CPU @ 2 GHz", machine.cores(), 1510, "schedutil", "15W", 625
    )
    assert str(found) == (
        f"{ORIN}, {machine.cores()} cores at 1510 MHz (schedutil), power mode 15W, GPU at 625 MHz"
    )


CPUINFO = "processor\t: 0\nmodel name\t: Some CPU\n{}\t\t: fpu {}\n\nprocessor\t: 1\n"


@pytest.mark.parametrize(
    ("key", "flags", "path"),
    [
        ("flags", "sse2 avx2 avx512_vnni amx_tile amx_int8 amx_bf16", "amx"),
        ("flags", "sse2 avx2 avx512f avx512bw avx512_vnni", "vnni"),
        ("flags", "sse2 avx2 avx_vnni", "vnni"),
        ("flags", "sse2 avx avx2", "avx2"),
        ("flags", "sse2 avx2 avx512f avx512bw", "avx2"),
        ("flags", "sse2 avx2_of_another_name", "none"),
        ("Features", "asimd asimddp i8mm bf16", "i8mm"),
        ("Features", "asimd asimdrdm asimddp", "dot product"),
        ("Features", "asimd crc32", "none"),
        ("Features", "half thumb vfp neon", "none"),
        ("isa", "rv64imafdc", "unknown"),
    ],
)
def test_the_int8_path_is_read_from_the_flags(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, key: str, flags: str, path: str
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    tree({"proc/cpuinfo": CPUINFO.format(key, flags)})
    assert machine.int8_path() == path


@pytest.mark.parametrize(
    ("architecture", "true", "path"),
    [
        ("arm64", "arm64 arm.FEAT_DotProd arm.FEAT_I8MM", "i8mm"),
        ("arm64", "arm64 arm.FEAT_DotProd", "dot product"),
        ("arm64", "arm64", "none"),
        ("arm64", "", "unknown"),
        ("x86_64", "sse4_2 avx2_0 avx512vnni", "vnni"),
        ("x86_64", "sse4_2 avx2_0 arm64 arm.FEAT_I8MM", "avx2"),  # Rosetta on Apple silicon
        ("x86_64", "sse4_2", "none"),
    ],
)
def test_the_int8_path_is_asked_of_macos(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, architecture: str, true: str, path: str
) -> None:
    place = tree({}) / "bin"
    place.mkdir()
    program = place / "sysctl"
    names = "|".join(f"hw.optional.{name}" for name in true.split()) or "nothing"
    program.write_text(f"#!/bin/sh\ncase $2 in {names}) echo 1;; *) exit 1;; esac\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(machine.platform, "machine", lambda: architecture)
    assert machine.int8_path() == path


def test_the_int8_path_is_unknown_where_the_system_does_not_say(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree({})
    for system in ("linux", "win32", "darwin"):
        monkeypatch.setattr(sys, "platform", system)
        assert machine.int8_path() == "unknown"


def test_a_venv_on_a_jetson_must_see_jetpacks_packages(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree({"proc/device-tree/model": ORIN})
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    for seen in ("false", "true"):
        (tmp_path / "pyvenv.cfg").write_text(f"include-system-site-packages = {seen}\n")
        assert check_python().ok is (seen == "true")
    (tmp_path / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
    monkeypatch.setattr(machine, "ROOT", tmp_path / "elsewhere")
    assert check_python().ok


VIDEO = "sys/class/video4linux/video{}/{}"


@pytest.mark.parametrize(
    ("nodes", "devices", "ok", "value"),
    [
        ([], [], False, "none"),
        ([(0, "0", "A webcam"), (1, "1", "A webcam")], [0, 1], True, "video0 (A webcam)"),
        ([(0, "0", "A"), (2, "0", "B"), (10, "0", "C")], [0, 2, 10], True, "video10 (C)"),
        ([(0, "0", "A webcam")], [], False, "permission denied"),
    ],
)
def test_cameras_are_found_without_opening_them(
    tree: Tree, nodes: list[tuple[int, str, str]], devices: list[int], ok: bool, value: str
) -> None:
    files = {f"dev/video{number}": "" for number in devices}
    for number, index, name in nodes:
        files |= {VIDEO.format(number, "index"): index, VIDEO.format(number, "name"): name}
    tree(files)
    finding = check_cameras()
    assert (finding.ok, bool(finding.fix)) == (ok, not ok)
    assert finding.value.endswith(value)
    assert "video1 " not in finding.value


@pytest.mark.parametrize(
    ("names", "jetson", "ok", "fix"),
    [
        (["opencv_python"], False, True, ""),
        (["opencv_python"], True, False, "pip uninstall -y opencv-python, in a venv"),
        (
            ["opencv_python", "opencv-contrib-python-headless"],
            False,
            False,
            "pip uninstall -y opencv-python opencv-contrib-python-headless, then pip install "
            "opencv-python",
        ),
    ],
)
def test_opencv_wheels_that_overwrite_each_other_are_found(
    tree: Tree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    jetson: bool,
    ok: bool,
    fix: str,
) -> None:
    tree({"proc/device-tree/model": ORIN} if jetson else {})
    _install(tmp_path / "site", names)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    finding = check_opencv_wheels()
    assert finding.ok is ok
    assert fix in finding.fix


def test_two_wheels_of_onnx_runtime_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(tmp_path, ["onnxruntime", "onnxruntime_gpu"])
    monkeypatch.syspath_prepend(tmp_path)
    finding = check_onnxruntime()
    assert not finding.ok
    assert "onnxruntime and onnxruntime-gpu overwrite each other" in finding.value


def _install(folder: Path, names: list[str]) -> None:
    for name in names:
        place = folder / f"{name.replace('-', '_')}-5.0.dist-info"
        place.mkdir(parents=True)
        (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 5.0\n")


def test_a_provider_that_does_not_start_is_named_with_the_reason() -> None:
    found = _providers_found("1.2", {"CPUExecutionProvider": "", "CUDAExecutionProvider": "why"})
    assert (found.ok, found.value) == (False, "1.2: CPU, CUDA fails to start (why)")
    assert "onnxruntime" in found.fix
    assert _providers_found("1.2", {"CPUExecutionProvider": ""}).ok


def test_a_provider_that_falls_back_to_the_cpu_has_not_started() -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime is built for CUDA")
    assert "falls back to the CPU" in why_not("start_provider", "CUDAExecutionProvider")
    assert why_not("start_provider", "CPUExecutionProvider") == ""


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose driver lists two GPUs; where there is none, nothing works on them."""
    if driver().devices:
        pytest.skip("there is a GPU here: tests/gpu asks it")
    gpus = tuple(Device(f"GPU {n}", 89, 1 << 30, limits(89, 1, 1, 1, 1)) for n in range(2))
    for module in (probes, gpu, libraries):
        monkeypatch.setattr(module, "driver", lambda: Driver("13.0", gpus))


@pytest.mark.usefixtures("two_gpus")
def test_every_gpu_is_tried_and_named() -> None:
    """A driver that lists GPUs is not yet one on which anything runs."""
    pytest.importorskip("cuda.bindings", reason="needs cuda-bindings")
    cuda, torch = gpu.check_cuda(), libraries.check_torch()
    for found in (cuda, torch):
        assert not found.ok
        assert re.search("GPU 0 .+; GPU 1 .+", found.value), found
        assert found.fix
    assert "GPU 0 no NVIDIA driver was found" in cuda.value
    assert cuda.fix.startswith("Use a .onnx file on the CPU, or install the driver")
    started = libraries._started(["CPUExecutionProvider", "CUDAExecutionProvider"])
    names = ["CPUExecutionProvider", *(f"CUDAExecutionProvider on GPU {n}" for n in range(2))]
    assert list(started) == names
    assert not started["CPUExecutionProvider"]
    assert all(started[name] for name in names[1:])
    value = _providers_found("1.2", started).value
    assert value.startswith("1.2: CPU, CUDA on GPU 0 fails to start (")


@pytest.mark.usefixtures("two_gpus")
def test_an_engine_is_run_on_every_gpu() -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="needs TensorRT-RTX")
    found = gpu.check_tensorrt_rtx()
    assert not found.ok
    assert re.search("GPU 0 no NVIDIA driver .*GPU 1 no NVIDIA driver", found.value)
    assert "tensorrt-rtx" not in libraries.check_serving().value


def test_the_tiny_engine_builds() -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="needs TensorRT-RTX")
    assert tiny_engine(tensorrt("tensorrt_rtx")).nbytes > 1000


@pytest.mark.parametrize(
    ("outcomes", "ok", "fix"),
    [
        ({"GPU 0": Reason(), "GPU 1": Reason()}, True, ""),
        (
            {"GPU 0": Reason(), "GPU 1": Reason("does not serve H100 (sm_90)", kind="NotServed")},
            False,
            "Serve",
        ),
        ({"GPU 0": Reason("crashes: SIGSEGV"), "GPU 1": Reason()}, False, "Reinstall it"),
    ],
)
def test_what_became_of_an_engine_on_each_gpu(
    outcomes: dict[str, Reason], ok: bool, fix: str
) -> None:
    found = gpu._engines_found(KINDS["tensorrt_rtx"], "1.7", outcomes)
    assert (found.ok, found.fix.startswith(fix)) == (ok, True)
    assert found.value.startswith("1.7: GPU 0 ")


def test_a_child_brings_back_values_and_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, providers = in_child("ort_providers")
    assert (number, "CPUExecutionProvider" in providers) == (onnxruntime.__version__, True)
    nothing = why_not("run_backend", "nothing")
    assert ("backend 'nothing'" in nothing, nothing.kind, nothing.fix) == (True, "UserError", "")
    no_gpu = why_not("run_tensor", 99)
    assert no_gpu.kind in ("DeviceError", "BackendMissing")
    assert no_gpu.endswith(no_gpu.fix)
    for script, reason in (("kill -ABRT $$", "crashed: SIGABRT"), ("exit 7", "exited with code 7")):
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        with pytest.raises(Unwell, match=reason):
            in_child("ort_providers")


def test_a_turned_clip_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """With OpenCV's own turn undone, as in versions that do not turn, it is noticed."""
    from edgecat_runtime.camera.sources import video
    from edgecat_runtime.doctor.video import read_turned_clip

    read_turned_clip()
    for turns in (1, 2, 3):
        monkeypatch.setattr(video, "_turns", lambda capture, turns=turns: turns)
        with pytest.raises(Unwell, match="turned wrongly"):
            read_turned_clip()
    fault = Reason("phone videos are turned wrongly", kind="Unwell")
    monkeypatch.setattr(libraries, "why_not", lambda *_: fault)
    found = libraries.check_ffmpeg()
    assert (found.ok, "turned wrongly" in found.value, bool(found.fix)) == (False, True, True)


def test_the_tiny_graph_is_a_whole_model() -> None:
    onnx.checker.check_model(onnx.load_from_string(tiny_graph()), full_check=True)
    session = onnxruntime.InferenceSession(tiny_graph(), providers=["CPUExecutionProvider"])
    frames = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    (logits,) = session.run(None, {"frames": frames})
    assert np.allclose(logits, frames.mean((1, 2)))


@pytest.mark.parametrize(
    ("chip", "published"),  # GB/s, then TFLOP/s: fp32 and dense fp16, as NVIDIA's data sheets say
    [
        ((80, 108, 1_410_000, 1_215_000, 5120), (1555, 19.5, 312)),
        ((90, 132, 1_830_000, 2_619_000, 5120), (3352, 62, 989)),
        ((89, 128, 2_520_000, 10_501_000, 384), (1008, 82.6, 330)),
        ((87, 16, 1_300_000, 3_200_000, 256), (204.8, 5.3, 42.5)),
    ],
)
def test_limits_are_those_of_the_data_sheets(
    chip: tuple[int, int, int, int, int], published: tuple[float, float, float]
) -> None:
    found = limits(*chip)
    figures = (found.bytes_per_s / 1e9, 2e-12 * found.fp32_per_s, 2e-12 * found.fp16_per_s)
    assert figures == pytest.approx(published, rel=0.02)
    assert found.int8_per_s == 2 * found.fp16_per_s


def test_a_bare_board_can_be_asked(tmp_path: Path) -> None:
    """With Python, numpy and nothing else it answers, and says that no model can be served."""
    for part in [*Path(np.__file__).parent.parent.glob("numpy*")]:
        (tmp_path / part.name).symlink_to(part)
    runtime = Path(doctor.__file__).parent.parent
    (tmp_path / runtime.name).symlink_to(runtime)
    program = (
        "from edgecat_runtime.doctor import diagnose, can_serve\n"
        "found = diagnose()\n"
        "assert not can_serve(found)\n"
        "assert not [f for f in found if f.ok is bool(f.fix)], found\n"
        "by_name = {f.name: f for f in found}\n"
        "assert by_name['FFmpeg'].value == by_name['GStreamer'].value == 'needs OpenCV'\n"
        "assert by_name['FFmpeg'].fix == by_name['GStreamer'].fix == by_name['OpenCV'].fix\n"
        "print(by_name['OpenCV'].fix)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-S", "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert "edgecat-runtime[headless]" in ran.stdout
