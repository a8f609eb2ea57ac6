from metaproxy.admin.view import counts, latency
from metaproxy.counts import ClusterCounts, EndpointCounts, Histogram


def test_percentiles_are_milliseconds() -> None:
    histogram = Histogram()
    assert latency(histogram) == {"p50": None, "p90": None, "p99": None}
    for _ in range(100):
        histogram.add(0.002)
    assert latency(histogram) == {"p50": 1.99, "p90": 2.063, "p99": 2.08}


def test_all_counters_are_shown_and_nothing_else() -> None:
    endpoint = EndpointCounts()
    endpoint.requests = 5
    shown = counts(endpoint)
    assert shown["requests"] == 5
    assert set(shown) == set(EndpointCounts.__slots__) - {"latency"}
    assert "no_endpoint" not in counts(ClusterCounts(), but=["no_endpoint"])
