"""TensorRT and TensorRT-RTX behind one interface, which hides the differences between versions.

The same code supports TensorRT 10.3 (JetPack 6.2), 10.16 (JetPack 7.2), 11 and TensorRT-RTX. The
builder and the backend call directly what all of them have; what only some have is looked up by
name here, and nowhere else. `docs/tensorrt.md` has a table.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from edgecat_runtime.errors import BackendMissing, UserError

Flavour = Literal["tensorrt", "tensorrt_rtx"]


@dataclass(frozen=True)
class Kind:
    """The properties of one flavour and its engines.

    Attributes:
        flavour: value for `engine_from_onnx`.
        title: the product's name.
        modules: Python modules that provide its API, best first.
        suffix: suffix of its engine files.
        backend: value for `--backend`, and the key of its version in a card's tools.
        target: value for `edgecat export --to`.
        install: install instructions.
    """

    flavour: Flavour
    title: str
    modules: tuple[str, ...]
    suffix: str
    backend: str
    target: str
    install: str


KINDS: dict[Flavour, Kind] = {
    "tensorrt": Kind(
        "tensorrt",
        "TensorRT",
        ("tensorrt", "tensorrt_bindings"),
        ".trt",
        "tensorrt",
        "trt",
        "on a Jetson it comes with JetPack (create the venv with --system-site-packages); "
        "elsewhere install NVIDIA's tensorrt wheel, and 'edgecat-runtime[tensorrt]' on both",
    ),
    "tensorrt_rtx": Kind(
        "tensorrt_rtx",
        "TensorRT-RTX",
        ("tensorrt_rtx", "tensorrt_rtx_bindings"),
        ".rtx",
        "tensorrt-rtx",
        "trt-rtx",
        "pip install 'edgecat-runtime[tensorrt-rtx]'",
    ),
}


def kind_of(flavour: str) -> Kind:
    """Return the kind of this flavour.

    Raises:
        UserError: no such flavour.
    """
    for kind in KINDS.values():
        if kind.flavour == flavour:
            return kind
    raise UserError(f"flavour is {flavour!r}; expected one of {', '.join(KINDS)}")


def module_name(flavour: Flavour) -> str:
    """The installed module with this flavour's API, else the preferred one; imports nothing."""
    names = KINDS[flavour].modules
    return next((name for name in names if find_spec(name) is not None), names[0])


@cache
def tensorrt(flavour: Flavour) -> TensorRT:
    """The installed flavour; one object per process, since TensorRT keeps its first logger.

    Raises:
        BackendMissing: it is not installed, or its libraries do not load.
        UserError: no such flavour.
    """
    kind = kind_of(flavour)
    try:
        return TensorRT(kind, import_module(module_name(flavour)))
    except ImportError as error:  # it or a library that it links is missing
        reason = "is not installed" if error.name in kind.modules else f"does not load ({error})"
        raise BackendMissing(f"{kind.title} {reason}: {kind.install}") from error


class TensorRT:
    """One flavour's module, its log, and the features of its version.

    Attributes:
        kind: which flavour.
        trt: the module.
        version: for example `10.3.0`.
        log: TensorRT's messages since `log.clear()`.
        logger: the `ILogger` to hand to TensorRT.
    """

    def __init__(self, kind: Kind, trt: Any) -> None:
        self.kind = kind
        self.trt = trt
        self.version: str = trt.__version__
        self.log = Log()
        self.logger = _logger(trt, self.log)

    def __str__(self) -> str:
        return f"{self.kind.title} {self.version}"

    @property
    def rtx(self) -> bool:
        """Whether this is TensorRT-RTX, which compiles for the GPU only when it runs."""
        return self.kind.flavour == "tensorrt_rtx"

    @property
    def network_flags(self) -> int:
        """Flags for `create_network`: strongly typed, whichever bit that is (1 on 10, 0 on 11)."""
        flag = getattr(self.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        return 0 if flag is None else 1 << int(flag)

    @property
    def keeps_timings(self) -> bool:
        """Whether a timing cache does anything: on TensorRT-RTX it is a no-op."""
        return not self.rtx

    def set_flag(self, config: Any, name: str) -> None:
        """Set a builder flag by name.

        Raises:
            UserError: this version has no such flag.
        """
        flag = getattr(self.trt.BuilderFlag, name, None)
        if flag is None:
            raise UserError(f"{self} has no builder flag {name}. Omit that option")
        config.set_flag(flag)

    def make_version_compatible(self, config: Any) -> None:
        """Let later versions run the engine; TensorRT-RTX has no lean runtime to pack into it."""
        self.set_flag(config, "VERSION_COMPATIBLE")
        if self.rtx:
            self.set_flag(config, "EXCLUDE_LEAN_RUNTIME")

    def make_capturable(self, config: Any) -> None:
        """Let a CUDA graph record the engine: else TensorRT-RTX may allocate while it runs."""
        if self.rtx:
            self.set_flag(config, "REQUIRE_USER_ALLOCATION")

    def make_hardware_compatible(self, config: Any) -> None:
        """Let every GPU since Ampere run the engine; TensorRT-RTX builds for all that it serves."""
        if not self.rtx:
            level = self.trt.HardwareCompatibilityLevel.AMPERE_PLUS
            config.hardware_compatibility_level = level

    def context(self, engine: Any) -> Any:
        """Create an execution context, or None if memory is insufficient.

        TensorRT-RTX compiles kernels for a shape lazily by default, and a CUDA graph captured
        before that is done would replay the slow ones forever: compile eagerly.
        """
        strategies = getattr(self.trt, "DynamicShapesKernelSpecializationStrategy", None)
        if strategies is None:
            return engine.create_execution_context()
        settings = engine.create_runtime_config()
        settings.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        return engine.create_execution_context(settings)

    def capturable(self, context: Any, stream: int) -> bool:
        """Whether a CUDA graph can capture the context; True if the version cannot tell."""
        ask = getattr(context, "is_stream_capturable", None)
        return ask is None or bool(ask(stream))

    def stripped(self, engine: Any) -> bool:
        """Whether the engine lacks its weights; versions before 10.16 cannot tell."""
        stats = getattr(self.trt, "EngineStat", None)
        return stats is not None and engine.get_engine_stat(stats.STRIPPED_WEIGHTS_SIZE) > 0

    @property
    def served(self) -> tuple[int, ...]:
        """Compute capabilities that TensorRT-RTX has kernels for; empty where any may do."""
        known = getattr(self.trt, "ComputeCapability", None)
        named = known.__members__.items() if known is not None else ()
        return tuple(sorted(int(value) for name, value in named if name.startswith("SM")))

    def serves(self, capability: int) -> bool:
        """Whether a GPU of this compute capability can run engines at all, as far as is known."""
        return not self.served or capability in self.served

    def why_invalid(self, runtime: Any, plan: Any) -> str:
        """Why TensorRT-RTX rejects a plan, such as `UNSUPPORTED_CC`; empty for TensorRT."""
        ask = getattr(runtime, "get_engine_validity", None)
        if ask is None:
            return ""
        _, found = ask(plan)
        causes = self.trt.EngineInvalidityDiagnostics.__members__
        return ", ".join(name for name, value in causes.items() if int(value) & int(found))


class Log:
    """TensorRT's messages, for use in errors."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def clear(self) -> None:
        """Clear the log."""
        self.errors.clear()
        self.warnings.clear()

    @property
    def first_error(self) -> str:
        """The first error, cleaned up; empty if there is none."""
        return next((text for error in self.errors if (text := plainly(error))), "")


def plainly(text: str) -> str:
    """Strip source locations and follow-up errors from TensorRT's message."""
    lines = [line for line in text.splitlines() if line.strip() and "catchCudaError" not in line]
    line = re.sub(r"\s+In \S+ at \S+:\d+.*", "", lines[-1]) if lines else ""
    line = re.sub(r"^.*?Error Code \d+: [^(]*\(?", "", line)
    return line.removeprefix("Assertion failed: ").strip().rstrip(".")


def _logger(trt: Any, log: Log) -> Any:
    severity = trt.ILogger.Severity
    python = logging.getLogger("edgecat.tensorrt")

    class Logger(trt.ILogger):  # type: ignore[misc]  # its base class is known only at run time
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, level: Any, text: str) -> None:
            if level in (severity.INTERNAL_ERROR, severity.ERROR):
                log.errors.append(text)
            elif level == severity.WARNING:
                log.warnings.append(text)
            python.debug("%s: %s", level, text)

    return Logger()
