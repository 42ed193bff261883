"""The front's metrics, as Prometheus reads them.

Labels have few values: kinds of requests, status codes, names of models. No text of a user, and no path, is in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from topcoat.usage.capture.observing.figures import AnswerFigures
from topcoat.usage.capture.observing.observation import Observation
from topcoat.usage.capture.recorder import RecordingFigures

__all__ = ["Metrics"]

_ANSWER_SECONDS = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
    163.84,
    327.68,
)
"""OpenTelemetry's buckets for requests to a model, and two more: a local model takes its time."""
_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
"""OpenTelemetry's buckets for the time of one token."""
_OPENMETRICS = "application/openmetrics-text"


class Metrics:
    """The metrics of one front. Each method may be called from any thread."""

    def __init__(self, version: str) -> None:
        self._registry = registry = CollectorRegistry()
        asked, answered = ("api", "model"), ("model",)
        Info("topcoat", "The version of topcoat.", registry=registry).info({"version": version})
        self._requests = Counter(
            "topcoat_requests",
            'Requests, by the status of their answers; "gone" if the client left before.',
            ("api", "code", "model"),
            registry=registry,
        )
        self._running = Gauge("topcoat_requests_in_progress", "Requests that are being answered.", registry=registry)
        self._seconds = Histogram(
            "topcoat_answer_seconds",
            "The time from a request to the end of its complete answer.",
            asked,
            registry=registry,
            buckets=_ANSWER_SECONDS,
        )
        self._first = Histogram(
            "topcoat_first_data_seconds",
            "The time from a request to the first data of a streamed answer.",
            asked,
            registry=registry,
            buckets=_ANSWER_SECONDS,
        )
        self._each = Histogram(
            "topcoat_output_token_seconds",
            "The mean time of a token after the first, of streamed answers whose tokens the model server counts.",
            answered,
            registry=registry,
            buckets=_TOKEN_SECONDS,
        )
        self._broken = Counter(
            "topcoat_broken_answers", "Answers that broke off before their end.", asked, registry=registry
        )
        self._answers = Counter(
            "topcoat_answers", "Answers, by why they ended.", ("model", "finish"), registry=registry
        )
        self._tokens = Counter(
            "topcoat_tokens", "Tokens, as the model server counts them.", ("model", "type"), registry=registry
        )
        self._uncounted = Counter(
            "topcoat_uncounted_answers",
            "Answers whose tokens aren't in topcoat_tokens, because the model server doesn't say them.",
            answered,
            registry=registry,
        )
        self._unread = Counter(
            "topcoat_unread_answers",
            "Answers that are in no other metric of answers and tokens: unreadable, or too many at once.",
            answered,
            registry=registry,
        )
        ProcessCollector(registry=registry)

    def begun(self) -> None:
        self._running.inc()

    def ended(self, seen: Observation) -> None:
        """Count a request whose answer is over."""
        self._running.dec()
        self._requests.labels(seen.api, seen.code, seen.model).inc()
        if seen.exchange is None:
            return
        if not seen.exchange.whole:
            self._broken.labels(seen.api, seen.model).inc()
        else:
            self._seconds.labels(seen.api, seen.model).observe(seen.seconds)
        if seen.first is not None:
            self._first.labels(seen.api, seen.model).observe(seen.first)

    def unread(self, seen: Observation) -> None:
        self._unread.labels(seen.model).inc()

    def read(self, seen: Observation, figures: AnswerFigures) -> None:
        """Count what was read of an answer."""
        for finish in figures.finishes:
            self._answers.labels(seen.model, finish).inc()
        for name, tokens in (("input", figures.input_tokens), ("output", figures.output_tokens)):
            if tokens is not None:
                self._tokens.labels(seen.model, name).inc(tokens)
        if figures.output_tokens is None:
            self._uncounted.labels(seen.model).inc()
        elif seen.first is not None and figures.output_tokens > 1:
            self._each.labels(seen.model).observe((seen.seconds - seen.first) / (figures.output_tokens - 1))

    def exposition(self, recording: RecordingFigures, accept: str) -> tuple[bytes, str]:
        """All metrics, with what the recorder counts, and their media type.

        It is OpenMetrics if `accept`, a request's header, names it, else plain text.
        """
        everything = _Everything(self._registry, recording)
        if _OPENMETRICS in accept:
            return openmetrics.generate_latest(everything), openmetrics.CONTENT_TYPE_LATEST  # type: ignore[no-untyped-call]
        return generate_latest(everything), CONTENT_TYPE_PLAIN_0_0_4


@dataclass(frozen=True, slots=True)
class _Everything(Collector):
    """The metrics of a registry, and what the recorder counts."""

    registry: CollectorRegistry
    recording: RecordingFigures

    def collect(self) -> Iterator[Metric]:
        yield from self.registry.collect()
        now = self.recording
        written = now.kept + now.gone
        yield CounterMetricFamily("topcoat_exchanges_recorded", "Exchanges that were recorded.", written)
        yield CounterMetricFamily("topcoat_exchanges_lost", "Exchanges that could not be kept.", now.lost)
        yield CounterMetricFamily(
            "topcoat_exchanges_gone", "Exchanges that were recorded in a file which was then removed.", now.gone
        )
        yield GaugeMetricFamily("topcoat_exchanges_waiting", "Exchanges that wait to be written.", now.waiting)
