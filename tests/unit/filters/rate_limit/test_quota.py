"""`quota`: what is over it waits, and answers say for how long."""

from __future__ import annotations

from typing import Any

import pytest

from metaproxy.filters.rate_limit.quota import Quota
from metaproxy.message import Kind, Message
from metaproxy.support.worker_share import set_workers
from metaproxy.testing import Clock, FakeExchange, check_filter
from metaproxy.units import Bytes, Seconds


def request(size: int = 10, **metadata: str) -> FakeExchange:
    return FakeExchange(message=Message(Kind.REQUEST, bytes(size), 1, dict(metadata)))


def asked(quota: Quota, exchange: FakeExchange) -> list[object]:
    """What has come of the request so far: [None] once it passes."""
    waiting: Any = quota.on_request(exchange)
    if waiting is None:
        return [None]
    found: list[object] = []
    waiting.addCallback(found.append)
    return found


def answered(quota: Quota, exchange: FakeExchange, size: int = 0) -> str | None:
    """What the answer tells."""
    exchange.response = Message(Kind.RESPONSE, bytes(size), 1)
    quota.on_response(exchange)
    return exchange.changes.set.get("wait")


def test_the_contract_of_a_filter_is_kept() -> None:
    check_filter(Quota(Clock(), requests=10))


def test_who_is_over_the_quota_waits_until_it_is_filled_up_again() -> None:
    clock = Clock()
    quota = Quota(clock, requests=2)
    assert [asked(quota, request()) for _ in range(3)] == [[None]] * 3
    late = asked(quota, request())
    clock.advance(0.4)
    assert late == []
    clock.advance(0.2)
    assert (late, quota.counters["delayed"]) == ([None], 1)


def test_an_answer_tells_for_how_long_its_client_is_to_wait() -> None:
    quota = Quota(Clock(), bytes=Bytes(1000), delay_key="wait")
    first, second = request(1000), request(500)
    assert asked(quota, first) == [None]
    assert answered(quota, first, 250) == "250"
    asked(quota, second)
    assert answered(quota, second) == "750"


def test_nothing_is_announced_while_there_is_something_left() -> None:
    quota = Quota(Clock(), requests=2, delay_key="wait")
    exchange = request()
    asked(quota, exchange)
    assert answered(quota, exchange) is None


@pytest.mark.parametrize(("of", "seconds"), [("both", 0.7), ("requests", 0.3), ("answers", 0.4)])
def test_bytes_are_counted_at_the_end_whatever_was_known_before(of: Any, seconds: float) -> None:
    clock = Clock()
    quota = Quota(clock, bytes=Bytes(1000), of=of, delay_key="wait")
    exchange = request(1300)
    asked(quota, exchange)
    answered(quota, exchange, 400 if of == "both" else 1400)
    quota.on_complete(exchange)
    late = asked(quota, request())
    clock.advance(seconds - 0.01)
    assert late == []
    clock.advance(0.02)
    assert late == [None]


def test_each_value_of_the_key_has_a_quota_of_its_own() -> None:
    quota = Quota(Clock(), requests=1, key="client_id")
    for client in ("a", "a", "b"):
        assert asked(quota, request(client_id=client)) == [None]
    assert asked(quota, request(client_id="a")) == []


def test_what_does_not_match_costs_nothing() -> None:
    quota = Quota(Clock(), requests=1, match={"api": "Produce"})
    assert [asked(quota, request(api="Fetch")) for _ in range(5)] == [[None]] * 5


def test_nothing_waits_longer_than_the_longest_delay() -> None:
    clock = Clock()
    quota = Quota(clock, bytes=Bytes(10), max_delay=Seconds(2.0))
    asked(quota, request(10_000))
    late = asked(quota, request())
    clock.advance(2.0)
    assert late == [None]


def test_an_exchange_that_ends_waits_no_more() -> None:
    clock = Clock()
    quota = Quota(clock, requests=1)
    waiting = [request() for _ in range(3)]
    found = [asked(quota, one) for one in waiting]
    for one in waiting:
        quota.on_complete(one)
    assert (found[2], clock.getDelayedCalls(), quota.gauges["waiting"]) == ([], [], 0)


def test_a_new_configuration_goes_on_with_what_is_owed() -> None:
    clock = Clock()
    before, after = Quota(clock, requests=1), Quota(clock, requests=1)
    for _ in range(3):
        asked(before, request())
    after.inherit(before)
    assert asked(after, request()) == []


@pytest.mark.parametrize(
    "options",
    [{}, {"requests": 1.0, "bytes": Bytes(1)}, {"requests": 1.0, "of": "answers"}, {"bytes": Bytes(1), "of": "x"}],
)
def test_what_can_not_be_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"write|leave it out"):
        Quota(Clock(), **options)


def test_what_was_streamed_until_the_answer_is_counted_for_what_it_tells() -> None:
    quota = Quota(Clock(), bytes=Bytes(1000), delay_key="wait")
    exchange = request(10)
    asked(quota, exchange)
    exchange.message = Message(Kind.STREAM_OPEN, bytes(1500), 1)  # as much as has passed meanwhile
    assert answered(quota, exchange) == "500"


def test_of_several_workers_each_has_a_part_of_the_quota() -> None:
    set_workers(4)
    try:
        quota = Quota(Clock(), requests=8)
    finally:
        set_workers(1)
    assert [asked(quota, request()) for _ in range(4)] == [[None]] * 3 + [[]]
