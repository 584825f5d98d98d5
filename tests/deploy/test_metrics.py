"""What is counted, as Prometheus reads it."""

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from ulmfit.deploy.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {(s.name, *s.labels.values()): s.value for f in families for s in f.samples}


def test_requests_batches_and_queues() -> None:
    queue = [1, 2, 3]
    metrics = Metrics({"predict": queue.__len__})
    for seconds in (0.003, 0.3):
        metrics.answered("/predict", 200, seconds)
    metrics.answered("other", 404, 0.0)
    metrics.read(5)
    found = samples(metrics)
    assert found["ulmfit_requests_total", "/predict", "200"] == 2
    assert found["ulmfit_requests_total", "other", "404"] == 1
    assert found["ulmfit_request_seconds_bucket", "/predict", "0.1"] == 1
    assert found["ulmfit_request_seconds_sum", "/predict"] == pytest.approx(0.303)
    assert found["ulmfit_batch_texts_sum",] == 5 and found["ulmfit_batch_texts_count",] == 1
    assert found["ulmfit_waiting", "predict"] == 3
    queue.clear()
    assert samples(metrics)["ulmfit_waiting", "predict"] == 0


def test_servers_count_for_themselves() -> None:
    first, second = Metrics({}), Metrics({})
    first.read(1)
    assert samples(first)["ulmfit_batch_texts_count",] == 1
    assert samples(second)["ulmfit_batch_texts_count",] == 0
