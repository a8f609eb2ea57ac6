"""Error rates of nodes."""

from __future__ import annotations

import pytest

from metaproxy.control.rates import Counts, Rates, counts_of


def test_metaproxys_exchanges_are_counted_by_outcome() -> None:
    stats = {
        'metaproxy_exchanges_total{listener="l",outcome="ok"}': 90,
        'metaproxy_exchanges_total{listener="l",outcome="error"}': 7,
        'metaproxy_exchanges_total{listener="l",outcome="timeout"}': 2,
        'metaproxy_exchanges_total{listener="l",outcome="downstream_gone"}': 1,
        "metaproxy_uptime_seconds": 5.5,
    }
    assert counts_of(stats) == Counts(100, 9)


def test_envoys_counters_are_those_of_its_listeners_without_its_admin_api() -> None:
    stats = {
        "stats": [
            {"name": "http.web.downstream_rq_completed", "value": 10},
            {"name": "http.web.downstream_rq_5xx", "value": 2},
            {"name": "http.admin.downstream_rq_completed", "value": 99},
            {"name": "tcp.db.downstream_cx_total", "value": 5},
            {"name": "cluster.db.upstream_cx_connect_fail", "value": 1},
            {"histograms": {}},
        ]
    }
    assert counts_of(stats) == Counts(15, 3)


@pytest.mark.parametrize("stats", [None, [], "x", 1])
def test_anything_else_is_refused(stats: object) -> None:
    with pytest.raises(ValueError, match="not the counters"):
        counts_of(stats)


def test_what_was_counted_before_is_not_of_the_rollout() -> None:
    rates = Rates(60)
    rates.add("a", True, Counts(1000, 500), 0)
    rates.add("a", True, Counts(1100, 510), 5)
    new, old = rates.rates(5)
    assert (new.requests, new.errors, new.percent) == (100, 10, 10.0)
    assert old.requests == 0
    assert old.percent == 0


def test_both_sides_are_counted_apart_and_a_node_that_changes_sides_begins_again() -> None:
    rates = Rates(60)
    for node, new in (("a", True), ("b", False), ("c", False)):
        rates.add(node, new, Counts(0, 0), 0)
    rates.add("a", True, Counts(10, 1), 5)
    rates.add("b", False, Counts(20, 0), 5)
    rates.add("c", True, Counts(500, 400), 5)
    rates.add("c", True, Counts(510, 401), 10)
    assert rates.rates(10) == ((20, 2), (20, 0))


def test_a_node_that_was_restarted_begins_again() -> None:
    rates = Rates(60)
    rates.add("a", True, Counts(1000, 0), 0)
    rates.add("a", True, Counts(10, 10), 5)
    rates.add("a", True, Counts(20, 10), 10)
    assert rates.rates(10)[0] == (10, 0)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    rates = Rates(60)
    rates.add("a", True, Counts(0, 0), 0)
    rates.add("a", True, Counts(10, 10), 5)
    assert rates.rates(64)[0].requests == 10
    assert rates.rates(66)[0].requests == 0
