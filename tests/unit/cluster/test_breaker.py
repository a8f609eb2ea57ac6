from __future__ import annotations

from metaproxy.cluster.breaker import Breaker


def test_nothing_is_under_way_at_first() -> None:
    breaker = Breaker()
    assert (breaker.connections, breaker.pending, breaker.requests, breaker.retries) == (0, 0, 0, 0)


def test_the_limits_are_those_that_were_given() -> None:
    breaker = Breaker(max_connections=1, max_pending=2, max_requests=3, max_retries=4, retry_budget=5.0)
    limits = (breaker.max_connections, breaker.max_pending, breaker.max_requests, breaker.max_retries)
    assert (*limits, breaker.retry_budget) == (1, 2, 3, 4, 5.0)


def test_a_failed_assertion_shows_what_is_under_way_and_what_is_allowed() -> None:
    breaker = Breaker(10, 20, 30)
    breaker.requests = 7
    assert repr(breaker) == "Breaker(connections 0/10, pending 0/20, requests 7/30)"
