from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from browser import Desk


class Bench:
    """A proxy whose endpoints and route get answers that last as long as a test says, on a clock."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.desk.admin.windows.start()
        self.endpoints = [one.counts for one in self.desk.running.endpoints]
        self.target = self.desk.proxy.listeners["front"].snapshot.routes.routes[0].targets[0].counts

    def serve(self, seconds: int, *lasts: float, rate: int = 10) -> None:
        """lasts: of each endpoint's answers."""
        for _ in range(seconds):
            for counts, duration in zip(self.endpoints, lasts, strict=False):
                for _ in range(rate):
                    counts.latency.add(duration)
                    self.target.latency.add(duration)
                counts.requests += rate
            self.desk.clock.advance(1.0)

    def slow(self, query: str = "") -> list[dict[str, Any]]:
        return [one for one in self.desk.get(f"/problems{query}").json["problems"] if one["kind"] == "slow"]

    def p99s(self, query: str = "") -> Sequence[float]:
        (cluster,) = self.desk.get(f"/clusters{query}").json["clusters"]
        return [one["latency_ms"]["p99"] for one in cluster["endpoints"]]


def test_a_server_that_becomes_slow_shows_it_within_the_window_and_is_a_problem() -> None:
    bench = Bench()
    bench.serve(900, 0.001, 0.001, rate=50)
    assert bench.slow() == []
    bench.serve(10, 0.8, 0.001, rate=2)
    slow, well = bench.p99s()
    assert slow == pytest.approx(800, rel=0.1)
    assert well == pytest.approx(1, rel=0.1)
    (one,) = bench.slow()
    assert one["what"].startswith("Endpoint 127.0.0.1:1000 of demo is slow: p99 is ")
    assert one["what"].endswith(" times its usual")
    assert one["p99_ms"] / one["usual_p99_ms"] == pytest.approx(800, rel=0.1)
    assert (one["level"], one["cluster"], one["endpoints"]) == ("warn", "demo", ["127.0.0.1:1000"])


def test_the_route_and_the_cluster_show_it_too_and_what_was_since_the_start_has_a_name_of_its_own() -> None:
    bench = Bench()
    bench.serve(900, 0.001, 0.001, rate=50)
    bench.serve(10, 0.8, 0.8, rate=2)
    (listener,) = bench.desk.get("/routes").json["listeners"]
    target = listener["routes"][0]["targets"][0]
    (cluster,) = bench.desk.get("/clusters").json["clusters"]
    for one in (target, cluster, cluster["endpoints"][0]):
        assert one["latency_ms"]["p99"] == pytest.approx(800, rel=0.1)
    for one in (target, cluster["endpoints"][0]):
        assert one["latency_total_ms"]["p99"] == pytest.approx(1, rel=0.1)
        assert one["usual_p99_ms"] == pytest.approx(1, rel=0.1)
        assert one["latency_60s_ms"]["p50"] == pytest.approx(1, rel=0.1)


def test_one_client_that_waits_for_each_answer_is_enough() -> None:
    bench = Bench()
    bench.serve(20, 0.001, rate=50)
    for _ in range(12):
        bench.endpoints[0].latency.add(0.8)
        bench.desk.clock.advance(0.8)
    assert len(bench.slow()) == 1


def test_a_busy_client_that_has_to_wait_now_is_seen_although_a_minute_has_thousands_of_quick_answers() -> None:
    bench = Bench()
    bench.serve(60, 0.001, rate=50)
    bench.serve(10, 0.8, rate=1)
    assert len(bench.slow()) == 1


def test_few_answers_are_looked_at_over_a_minute() -> None:
    bench = Bench()
    bench.serve(60, 0.001, rate=50)
    bench.desk.clock.advance(60.0)
    for _ in range(6):
        bench.endpoints[0].latency.add(0.8)
        for _ in range(3):
            bench.desk.clock.advance(2.0)
    (one,) = bench.slow()
    assert "in the last 60 s" in one["detail"]


def test_all_endpoints_of_a_cluster_are_one_problem_and_its_route_is_none() -> None:
    bench = Bench()
    bench.serve(60, 0.001, 0.002)
    bench.serve(10, 0.1, 0.2)
    (one,) = bench.slow()
    assert one["what"].startswith("All endpoints of demo are slow: p99 is ")


def test_a_route_is_told_where_no_endpoint_is_to_blame() -> None:
    bench = Bench()
    bench.serve(60, 0.001, 0.001)
    for _ in range(10):
        for _ in range(20):
            bench.target.latency.add(0.4)
        bench.desk.clock.advance(1.0)
    (one,) = bench.slow()
    assert one["what"].startswith("Route main to demo is slow")
    assert one["route"] == "main"


@pytest.mark.parametrize(
    ("before", "after", "rate"),
    [
        (0.001, 0.0025, 50),  # two and a half times
        (0.0003, 0.004, 50),  # many times, and still nothing that anybody notices
        (0.1, 0.2, 50),
    ],
)
def test_what_is_not_far_from_the_usual_is_no_problem(before: float, after: float, rate: int) -> None:
    bench = Bench()
    bench.serve(120, before, before, rate=rate)
    bench.serve(10, after, after, rate=rate)
    assert bench.slow() == []


def test_a_few_slow_answers_are_chance() -> None:
    bench = Bench()
    bench.serve(120, 0.001, rate=2)
    bench.serve(8, 0.001, rate=2)
    for _ in range(4):
        bench.endpoints[0].latency.add(2.0)
    assert bench.slow() == []
    bench.endpoints[0].latency.add(2.0)
    assert len(bench.slow()) == 1


def test_without_a_history_nothing_is_usual() -> None:
    bench = Bench()
    bench.serve(6, 0.8, 0.8)
    assert bench.slow() == []


def test_it_is_over_when_it_is_over() -> None:
    bench = Bench()
    bench.serve(120, 0.001, 0.001)
    bench.serve(120, 0.8, 0.001)
    assert len(bench.slow()) == 1, "it does not become the usual"
    bench.serve(12, 0.001, 0.001)
    assert bench.slow() == []


def test_what_is_asked_for_is_how_far_is_looked_back() -> None:
    bench = Bench()
    bench.serve(60, 0.001, 0.001)
    bench.serve(20, 0.8, 0.001)
    bench.serve(12, 0.001, 0.001)
    assert bench.p99s()[0] == pytest.approx(1, rel=0.1)
    assert bench.p99s("?seconds=60")[0] == pytest.approx(800, rel=0.1)
    assert (bench.slow(), len(bench.slow("?seconds=60"))) == ([], 1)
