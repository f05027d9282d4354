"""One run of TensorRT's builder: parse, configure, build, read the card back."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgecat_export.engine.errors import EngineError, builder_error, parser_error, silent_error
from edgecat_export.engine.monitor import Progress, monitor_for, watched
from edgecat_export.engine.timings import cache_path, load_timings, save_timings, timing_folder
from edgecat_runtime.errors import GateError, UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.engine_card import UNSEALED, card_in_plan, sealed_plan
from edgecat_runtime.nvidia.cuda import Gpu
from edgecat_runtime.nvidia.tensorrt import TensorRT

log = logging.getLogger("edgecat_export")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How to build an engine.

    Attributes:
        min_batch: smallest batch size; smaller batches are padded.
        opt_batch: the batch size to optimise for.
        max_batch: largest batch size; larger batches are split.
        workspace: bytes for TensorRT besides the weights; None: half of the free memory.
        hardware_compatible: run on every GPU since Ampere, somewhat slower (no Jetson).
        version_compatible: run on later TensorRT versions too, somewhat slower.
        refit: allow the weights to be replaced later.
        strip: leave out the weights that a refit would supply.
        timing_cache: folder of the timing cache; None: the user's cache folder.
        gpu: CUDA index of the GPU to build and verify the engine on.

    Example:
        >>> EngineOptions(opt_batch=4, workspace=1 << 30).max_batch
        8
    """

    min_batch: int = 1
    opt_batch: int = 1
    max_batch: int = 8
    workspace: int | None = None
    hardware_compatible: bool = False
    version_compatible: bool = False
    refit: bool = False
    strip: bool = False
    timing_cache: Path | None = None
    gpu: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.min_batch <= self.opt_batch <= self.max_batch:
            raise UserError(
                f"batches are {self.min_batch}, {self.opt_batch} and {self.max_batch}; expected "
                "1 <= minimum <= optimal <= maximum"
            )
        if self.workspace is not None and self.workspace <= 0:
            raise UserError(f"workspace is {self.workspace} bytes; expected a positive number")


@dataclass(frozen=True)
class Build:
    """One run of the builder.

    Attributes:
        api: the TensorRT flavour.
        gpu: to build on; None if TensorRT-RTX builds without one.
        options: batches, memory, compatibility.
        progress: called with the builder's current activity.
        name: of the graph, for error messages.
    """

    api: TensorRT
    gpu: Gpu | None
    options: EngineOptions
    progress: Progress | None
    name: str

    def run(self, payload: bytes, card: ModelCard) -> memoryview:
        """Parse, configure and build; raises as `engine_from_onnx`.

        Args:
            payload: a serialised ONNX model.
            card: stored as the network's name.
        """
        with self.gpu.in_use() if self.gpu is not None else nullcontext():
            return self._run(payload, card)

    def _run(self, payload: bytes, card: ModelCard) -> memoryview:
        api = self.api
        api.log.clear()
        builder = api.trt.Builder(api.logger)
        network = builder.create_network(api.network_flags)
        parser = api.trt.OnnxParser(network, api.logger)  # owns the weights until the build is done
        if not parser.parse(payload) or not network.num_inputs or not network.num_outputs:
            raise parser_error(api, parser, self.name)
        if error := silent_error(api, self.name):
            raise error
        card = replace(card, payload_bytes=0, payload_sha256=UNSEALED)
        text = card.to_json(labels=card.fits)
        network.name = text
        config = builder.create_builder_config()
        config.add_optimization_profile(self._profile(builder, network, card))
        self._configure(config, card)
        plan = self._built(builder, network, config)
        if card_in_plan(plan) != ModelCard.from_json(text):
            raise GateError(
                f"{api} did not preserve the model card of {self.name}. Shorten the labels"
            )
        return self._sealed(plan)

    def _sealed(self, plan: memoryview) -> memoryview:
        """Write the plan's hash into its card.

        Without one remain plans that are meant to be changed, and those that TensorRT would then
        not load, where that can be tried.
        """
        if self.options.refit or self.options.strip:
            return plan
        sealed = sealed_plan(plan)
        if self.gpu is not None and not self._loads(sealed) and self._loads(plan):
            log.warning("%s gets no hash: %s does not load it with one", self.name, self.api)
            return plan
        plan.release()
        return memoryview(sealed)

    def _loads(self, plan: Any) -> bool:
        runtime = self.api.trt.Runtime(self.api.logger)
        if self.options.version_compatible:
            runtime.engine_host_code_allowed = True  # it brings its own lean runtime
        return runtime.deserialize_cuda_engine(plan) is not None

    def _built(self, builder: Any, network: Any, config: Any) -> memoryview:
        config.progress_monitor = monitor = monitor_for(self.api.trt, self.progress)
        timings, kept_at = None, None
        if self.api.keeps_timings and self.gpu is not None:
            folder = self.options.timing_cache or timing_folder()
            kept_at = cache_path(folder, self.api, self.gpu)
            timings = load_timings(config, kept_at)
        with watched(monitor):
            plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise builder_error(self.api, self.name, needs_gpu=self._unmet())
        if timings is not None and kept_at is not None:
            trouble = save_timings(timings, kept_at)
            if trouble and self.progress:
                self.progress(f"the timing cache was not saved: {trouble}")
        return memoryview(plan)

    def _profile(self, builder: Any, network: Any, card: ModelCard) -> Any:
        """The range of batch sizes, after checking that this is a deployed graph."""
        frames, logits = network.get_input(0), network.get_output(0)
        expected = ((card.height, card.width, 3), (card.classes,))
        found = (tuple(frames.shape), tuple(logits.shape))
        kinds = (self.api.trt.DataType.UINT8, self.api.trt.DataType.FLOAT)
        one_each = network.num_inputs == network.num_outputs == 1
        same = (found[0][1:], found[1][1:]) == expected
        if not (one_each and same and (frames.dtype, logits.dtype) == kinds):
            raise EngineError(
                f"{self.name} takes {frames.dtype.name} {found[0]} and returns "
                f"{logits.dtype.name} {found[1]}; expected one input, uint8 "
                f"{('batch', *expected[0])}, and one output, float32 "
                f"{('batch', *expected[1])}. Wrap a foreign model first: edgecat export "
                "MODEL.onnx --labels FILE"
            )
        fixed = found[0][0]
        sizes = (self.options.min_batch, self.options.opt_batch, self.options.max_batch)
        if fixed >= 0 and set(sizes) != {fixed}:
            raise EngineError(
                f"{self.name} has a fixed batch of {fixed}; got batch sizes {sizes}. Export "
                f"it with a dynamic batch, or request {fixed}"
            )
        profile = builder.create_optimization_profile()
        profile.set_shape(frames.name, *((size, *expected[0]) for size in sizes))
        return profile

    def _configure(self, config: Any, card: ModelCard) -> None:
        options, trt = self.options, self.api.trt
        if card.precision == "fp32":  # TF32 is on by default and exceeds the parity limit
            config.clear_flag(trt.BuilderFlag.TF32)
        workspace = options.workspace
        if workspace is None and self.gpu is not None:
            workspace = self.gpu.free_memory() // 2
        if workspace is not None:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
        self.api.make_capturable(config)
        if options.hardware_compatible:
            self.api.make_hardware_compatible(config)
        if options.version_compatible:
            self.api.make_version_compatible(config)
        if options.refit:
            config.set_flag(trt.BuilderFlag.REFIT)
        if options.strip:
            config.set_flag(trt.BuilderFlag.STRIP_PLAN)

    def _unmet(self) -> tuple[str, ...]:
        """The options set that TensorRT-RTX supports only with a GPU, if there is none."""
        if self.gpu is not None:
            return ()
        return tuple(name for name in ("refit", "strip") if getattr(self.options, name))
