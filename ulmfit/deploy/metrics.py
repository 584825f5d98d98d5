"""A server's metrics for Prometheus. Names and meaning: docs/serving.md."""

from collections.abc import Callable, Mapping

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The metrics of one server; `waiting`: name of a queue → function that counts the texts waiting in it."""

    def __init__(self, waiting: Mapping[str, Callable[[], float]]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        from prometheus_client.process_collector import ProcessCollector

        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory, CPU time, open files
        self._requests = Counter(
            "ulmfit_requests",
            "Requests answered",
            ["endpoint", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "ulmfit_request_seconds",
            "From a request's first line to its answer",
            ["endpoint"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "ulmfit_batch_texts",
            "Texts read together",
            buckets=TEXTS,
            registry=self._registry,
        )
        queues = Gauge(
            "ulmfit_waiting", "Texts waiting to be read", ["queue"], registry=self._registry
        )
        for queue, count in waiting.items():
            queues.labels(queue).set_function(count)

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request and its duration."""
        self._requests.labels(endpoint, str(status)).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def read(self, texts: int) -> None:
        """Count a batch of texts."""
        self._batches.observe(texts)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)
