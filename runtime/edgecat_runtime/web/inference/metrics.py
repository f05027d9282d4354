"""Prometheus metrics of the inference service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecat_runtime.errors import BackendMissing

if TYPE_CHECKING:
    from edgecat_runtime.web.inference.batcher import Batcher

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class ServiceMetrics:
    """Metrics of one model, in a registry of their own.

    Args:
        model: its name, a label of every metric.
        batcher: whose counts are shown.

    Raises:
        BackendMissing: prometheus-client is not installed.
    """

    def __init__(self, model: str, batcher: Batcher) -> None:
        try:
            import prometheus_client as prometheus
        except ImportError as error:
            raise BackendMissing(
                "prometheus-client is not installed: pip install 'edgecat-runtime[metrics]'"
            ) from error
        self._prometheus = prometheus
        self._registry = prometheus.CollectorRegistry()
        self._latency = prometheus.Histogram(
            "edgecat_request_seconds",
            "Time from a request's headers to its response.",
            ["model"],
            buckets=_SECONDS,
            registry=self._registry,
        ).labels(model)
        counts = batcher.counts
        shown = {
            "edgecat_frames": ("Frames classified.", lambda: counts.frames),
            "edgecat_batches": ("Batches classified.", lambda: counts.batches),
            "edgecat_refused": ("Requests refused with 503.", lambda: counts.refused),
            "edgecat_network_seconds": (
                "Time in the network, the sum over its instances.",
                lambda: counts.seconds,
            ),
            "edgecat_waiting": ("Frames that wait.", lambda: batcher.waiting),
        }
        for name, (text, value) in shown.items():
            gauge = prometheus.Gauge(name, text, ["model"], registry=self._registry)
            gauge.labels(model).set_function(value)

    def answered(self, seconds: float) -> None:
        """Count a response."""
        self._latency.observe(seconds)

    def text(self) -> tuple[bytes, str]:
        """The metrics, and their content type."""
        prometheus = self._prometheus
        return prometheus.generate_latest(self._registry), prometheus.CONTENT_TYPE_LATEST
