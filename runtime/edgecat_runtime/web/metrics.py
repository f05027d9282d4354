"""Prometheus metrics, computed from the loop's clocks and counts on each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from edgecat_runtime.errors import BackendMissing
from edgecat_runtime.model.status import Status

if TYPE_CHECKING:
    from edgecat_runtime.web.loop_status import LoopStatus

_QUANTILES = (0.5, 0.95, 0.99)
_LABELS = ["camera", "source"]
_COUNTERS = {
    "frames": "Frames classified.",
    "frames_dropped": "Frames replaced by newer ones before they were classified.",
    "frames_skipped": "Frames that could not be decoded.",
    "losses": "Number of times the source was lost.",
    "changes": "Label changes, including the first label.",
}
_GAUGES = {
    "up": "1 while frames arrive.",
    "frozen": "1 while the camera repeats one image.",
    "silence_seconds": "Time since the newest answer.",
}


def exposition(feed: LoopStatus, viewers: Callable[[], int]) -> Callable[[], tuple[bytes, str]]:
    """Return a function that returns the metrics' text and its content type.

    It has its own registry, without the other metrics of the process.

    Raises:
        BackendMissing: prometheus-client is not installed.
    """
    try:
        import prometheus_client
    except ImportError as error:
        raise BackendMissing(
            "prometheus-client is not installed: pip install 'edgecat-runtime[metrics]'"
        ) from error
    registry = prometheus_client.CollectorRegistry()
    registry.register(_Collector(feed, viewers))
    return lambda: (
        prometheus_client.generate_latest(registry),
        prometheus_client.CONTENT_TYPE_LATEST,
    )


class _Collector:
    """Creates the metrics of one loop on each scrape."""

    def __init__(self, feed: LoopStatus, viewers: Callable[[], int]) -> None:
        self._feed = feed
        self._viewers = viewers

    def collect(self) -> Iterator[Any]:
        """Yield every metric."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            InfoMetricFamily,
        )

        counters = {
            name: CounterMetricFamily(f"edgecat_{name}", text, labels=_LABELS)
            for name, text in _COUNTERS.items()
        }
        gauges = {
            name: GaugeMetricFamily(f"edgecat_{name}", text, labels=_LABELS)
            for name, text in _GAUGES.items()
        }
        answers = CounterMetricFamily(
            "edgecat_answers", "Frames by label.", labels=[*_LABELS, "label"]
        )
        for view in self._feed.views:
            figures = view.to_dict()
            values = [str(figures["camera"]), figures["source"]]
            for name, counter in counters.items():
                counter.add_metric(values, figures[name.removeprefix("frames_")])
            for label, count in view.labels.copy().items():
                answers.add_metric([*values, label], count)
            gauges["up"].add_metric(values, float(view.state is Status.LIVE))
            gauges["frozen"].add_metric(values, float(view.camera.frozen))
            gauges["silence_seconds"].add_metric(values, view.silence)
        yield from counters.values()
        yield answers
        yield from gauges.values()
        yield GaugeMetricFamily("edgecat_viewers", "Connected viewers.", value=self._viewers())
        yield InfoMetricFamily(
            "edgecat_engine", "Model and backend in use.", value=self._feed.engine()
        )
        yield from self._updates()
        yield from self._clocks()

    def _updates(self) -> Iterator[Any]:
        """Yield how a channel of models is being followed, if one is."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        if (status := self._feed.loop.updates) is None:
            return
        labels = [status.channel, status.board]
        for name, (text, value) in status.gauges().items():
            gauge = GaugeMetricFamily(f"edgecat_{name}", text, labels=["channel", "board"])
            gauge.add_metric(labels, value)
            yield gauge
        failures = CounterMetricFamily(
            "edgecat_update_failures",
            "Attempts that did not reach the channel.",
            labels=["channel", "board"],
        )
        failures.add_metric(labels, status.failures)
        yield failures
        refusals = CounterMetricFamily(
            "edgecat_update_refusals", "Updates refused.", labels=["channel", "board", "reason"]
        )
        for cause, count in status.refusals.items():
            refusals.add_metric([*labels, cause], count)
        yield refusals

    def _clocks(self) -> Iterator[Any]:
        """Yield the stages and the frame age as summaries; quantiles are over the whole run."""
        from prometheus_client.core import SummaryMetricFamily

        clocks = dict(self._feed.loop.clocks)
        age = clocks.pop("age")
        stages = SummaryMetricFamily(
            "edgecat_stage_seconds", "Durations of the loop's stages.", labels=["stage"]
        )
        ages = SummaryMetricFamily("edgecat_frame_age_seconds", "From capture to answer.")
        rows = [(stages, {"stage": name}, clock) for name, clock in clocks.items()]
        for family, labels, clock in [*rows, (ages, {}, age)]:
            family.add_metric(list(labels.values()), clock.count, clock.total)
            for quantile in _QUANTILES:
                seconds = clock.percentile_ms(100 * quantile) / 1e3
                family.add_sample(family.name, {**labels, "quantile": str(quantile)}, seconds)
        yield stages
        yield ages
