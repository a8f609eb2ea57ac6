from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from harness import HEAD, Stage, answer, call
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.filters.concurrency_limit.filter import ConcurrencyLimit
from metaproxy.interfaces import IFilter
from metaproxy.message import ErrorKind, Hold, Kind, Message
from metaproxy.plugins import OptionError, Registry
from metaproxy.support.worker_share import set_workers
from metaproxy.testing import check_filter


class Asked:
    """An exchange, as far as a limit looks at it."""

    def __init__(self, started: float = 1.0, hold: Hold = Hold.NONE, **metadata: str) -> None:
        self.started = started
        self.ended = 0.0
        self.outcome = ""
        self.streamed = False
        self.message = Message(Kind.REQUEST, b"", metadata=metadata, hold=hold)
        self.get = metadata.get


def begin(limit: ConcurrencyLimit, **asked: Any) -> tuple[Any, bool]:
    exchange: Any = Asked(**asked)
    return exchange, limit.on_request(exchange) is None


def end(limit: ConcurrencyLimit, exchange: Any, outcome: str = "ok", took: float = 0.01) -> None:
    exchange.outcome, exchange.ended = outcome, exchange.started + took
    limit.on_complete(exchange)


def test_it_keeps_the_contract() -> None:
    check_filter(ConcurrencyLimit(1))
    check_filter(ConcurrencyLimit(adaptive={}))


def test_more_than_the_limit_under_way_are_refused_as_an_overload_until_one_ends() -> None:
    limit = ConcurrencyLimit(2)
    (first, _), (_, second) = begin(limit), begin(limit)
    assert second
    exchange: Any = Asked()
    reply = limit.on_request(exchange)
    assert reply is not None
    assert (reply.kind, reply.text) == (ErrorKind.OVERLOAD, "concurrency_limit: too many requests under way")
    end(limit, exchange, "overload")
    assert not begin(limit)[1], "the end of a refused request makes no room"
    end(limit, first)
    assert [begin(limit)[1], begin(limit)[1]] == [True, False]
    assert limit.counters == {"ok": 3, "blocked": 3}
    assert limit.gauges == {"under_way": 2, "limit": 2}


@pytest.mark.parametrize("outcome", ["ok", "error", "timeout", "downstream_gone", "reset", "oneway", "internal"])
def test_whatever_the_end_of_a_request_it_makes_room(outcome: str) -> None:
    limit = ConcurrencyLimit(1)
    for _ in range(5):
        exchange, passed = begin(limit)
        assert passed
        end(limit, exchange, outcome)


def test_an_exchange_that_never_came_here_changes_nothing_when_it_ends() -> None:
    limit = ConcurrencyLimit(1)
    begin(limit)
    stranger: Any = Asked()
    end(limit, stranger)
    assert not begin(limit)[1]


def test_each_value_of_the_key_has_a_limit_of_its_own() -> None:
    limit = ConcurrencyLimit(1, key="user")
    asked = [begin(limit, user=user) for user in ("ann", "bob", "ann")]
    assert [passed for _, passed in asked] == [True, True, False]
    assert limit.gauges == {"under_way": 2, "keys": 2}
    for exchange, _ in asked:
        end(limit, exchange)
    assert limit.gauges == {"under_way": 0, "keys": 0}


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), max_size=100), st.booleans())
def test_values_are_forgotten_and_those_with_requests_under_way_are_not(
    steps: list[tuple[str, bool]], adaptive: bool
) -> None:
    limit = ConcurrencyLimit(0 if adaptive else 3, {"max_limit": 3} if adaptive else None, key="user", max_keys=3)
    under_way: list[Any] = []
    for user, finish in steps:
        if finish and under_way:
            end(limit, under_way.pop(0))
        exchange, passed = begin(limit, user=user)
        if passed:
            under_way.append(exchange)
        busy = Counter(exchange.get("user") for exchange in under_way)
        assert limit.gauges["under_way"] == len(under_way)
        assert limit.gauges["keys"] <= max(3, len(busy) + 1)
        # One that was forgotten while it has requests under way would get as many again.
        assert all(number <= 3 for number in busy.values())


def test_an_adaptive_limit_begins_low_and_grows_with_quick_answers() -> None:
    limit = ConcurrencyLimit(adaptive={"update_interval": 1, "min_rtt": {"requests": 5, "min_concurrency": 3}})
    begun = [begin(limit) for _ in range(4)]
    assert [passed for _, passed in begun] == [True, True, True, False]
    for exchange, _ in begun:
        end(limit, exchange)
    for second in range(1, 20):
        for part in range(5):
            exchange, passed = begin(limit, started=second + part / 10)
            assert passed
            end(limit, exchange)
    gauges = limit.gauges
    assert gauges["limit"] > 20
    assert gauges["min_rtt_seconds"] == pytest.approx(0.01)
    assert gauges["measuring"] == 0


def test_how_long_a_stream_lasts_is_no_sample() -> None:
    limit = ConcurrencyLimit(adaptive={"min_rtt": {"requests": 1}})
    exchange, _ = begin(limit)
    exchange.streamed = True
    end(limit, exchange)
    assert (limit.gauges["measuring"], limit.gauges["under_way"]) == (1, 0)


@pytest.mark.parametrize(
    ("outcome", "hold"), [("downstream_gone", Hold.NONE), ("connect", Hold.NONE), ("ok", Hold.BLOCKING)]
)
def test_what_says_nothing_of_a_servers_speed_is_no_sample(outcome: str, hold: Hold) -> None:
    limit = ConcurrencyLimit(adaptive={"min_rtt": {"requests": 1}})
    exchange, _ = begin(limit, hold=hold)
    end(limit, exchange, outcome)
    assert limit.gauges["measuring"] == 1
    exchange, _ = begin(limit)
    end(limit, exchange, "timeout", took=5.0)
    assert (limit.gauges["measuring"], limit.gauges["min_rtt_seconds"]) == (0, 5.0)


def test_on_the_whole_path_requests_that_time_out_or_whose_client_leaves_make_room() -> None:
    limit = ConcurrencyLimit(2)
    hooks = {"on_request": (limit.on_request,), "on_complete": (limit.on_complete,)}
    stage = Stage(hooks=hooks, request_timeout=5.0)
    client, other = stage.client(), stage.client()
    stage.say(client, call(1) + call(2))
    refusal = b"concurrency_limit: too many requests under way"
    stage.say(other, call(3))
    assert other.take() == HEAD.pack(9 + len(refusal), 3, 0x80) + refusal
    stage.clock.advance(5.5)
    assert limit.gauges["under_way"] == 0
    stage.say(client, call(4) + call(5))
    assert limit.gauges["under_way"] == 2
    client.end()
    assert limit.gauges["under_way"] == 0
    stage.say(other, call(6))
    stage.say(stage.server, answer(5))
    assert other.take() == answer(6)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "write limit, how many"),
        ({"limit": 1, "adaptive": {}}, "one of them"),
        ({"limit": -1}, "-1 is less than 1"),
        ({"limit": 1, "max_keys": 0}, "0 is less than 1"),
        ({"adaptive": {"min_rtt": {"requests": 0}}}, "0 is less than 1"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises((ValueError, OptionError), match=told):
        Registry().factory(IFilter, "concurrency_limit", options)()


def test_of_several_workers_each_has_its_part_of_the_limit_rounded_up() -> None:
    set_workers(2)
    try:
        limit = ConcurrencyLimit(3)
    finally:
        set_workers(1)
    assert [begin(limit)[1] for _ in range(3)] == [True, True, False]
