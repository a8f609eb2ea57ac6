from __future__ import annotations

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from metaproxy.proxy.snapshot import FilterUse
from metaproxy.telemetry.metrics.collector import exposition
from metaproxy.telemetry.metrics.merge import cut, entries, merged


class Collecting:
    def __init__(self, *metrics: Metric) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return list(self._metrics)


def counter(**values: float) -> Metric:
    family = CounterMetricFamily("calls", "Calls.", labels=["who"])
    for who, value in values.items():
        family.add_metric([who], value)
    return family


def histogram(*counts: int) -> Metric:
    family = HistogramMetricFamily("size", "Sizes.", labels=["who"])
    family.add_metric(["a"], list(zip(("1", "+Inf"), counts, strict=True)), sum(counts))
    return family


def values(metrics: list[Metric]) -> dict[str, float]:
    return {f"{one.name}{sorted(one.labels.values())}": one.value for metric in metrics for one in metric.samples}


def test_a_family_of_several_collectors_is_there_once_and_equal_series_are_added_up() -> None:
    own = GaugeMetricFamily("own", "Alone.", value=7)
    found = merged([Collecting(counter(a=1, b=2), own), Collecting(counter(b=3, c=4))])
    assert [metric.name for metric in found] == ["calls", "own"]
    assert values(found) == {"calls_total['a']": 1, "calls_total['b']": 5, "calls_total['c']": 4, "own[]": 7}
    assert len(found[0].samples) == 3


def test_histograms_are_added_bucket_by_bucket() -> None:
    found = values(merged([Collecting(histogram(1, 2)), Collecting(histogram(3, 5))]))
    assert found == {
        "size_bucket['1', 'a']": 4,
        "size_bucket['+Inf', 'a']": 7,
        "size_count['a']": 7,
        "size_sum['a']": 11,
    }


def test_pieces_of_a_family_are_one_family_to_a_scraper() -> None:
    (family,) = merged([Collecting(counter(**{f"w{number}": number for number in range(7)}))])
    pieces = list(cut(family, 3))
    assert [len(piece.samples) for piece in pieces] == [3, 3, 1]
    whole = b"".join(exposition([family], "")[1])
    assert b"".join(exposition(pieces, "")[1]) == whole
    assert [piece.samples for piece in cut(merged([Collecting(counter())])[0], 3)] == [[]]


class Limit:
    def __init__(self, **gauges: float) -> None:
        self.gauges = gauges


def test_entries_of_one_name_in_one_listener_are_added_up() -> None:
    uses = [
        FilterUse("front", "limit", Limit(open=1, more=2)),
        FilterUse("front", "limit", Limit(open=3)),
        FilterUse("back", "limit", Limit(open=4)),
        FilterUse("back", "other", object()),
    ]
    assert entries(uses, "gauges") == {
        ("front", "limit", "open"): 4,
        ("front", "limit", "more"): 2,
        ("back", "limit", "open"): 4,
    }
