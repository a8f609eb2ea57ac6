from __future__ import annotations

from typing import Any

import pytest
from harness import Stage, call
from hypothesis import given
from hypothesis import strategies as st
from reachable import reachable
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metaproxy.codecs.thrift import Thrift
from metaproxy.filters.rate_limit.local import LocalRateLimit
from metaproxy.interfaces import IFilter
from metaproxy.message import ErrorKind, Kind, Reply, Side
from metaproxy.plugins import OptionError, Registry
from metaproxy.support.worker_share import set_workers
from metaproxy.testing import check_filter
from metaproxy.units import Percent, Seconds


class At:
    """An exchange that began at a time, with metadata; what is put into its answer is in `noted`."""

    def __init__(self, started: float, **metadata: str) -> None:
        self.started = started
        self.metadata = metadata
        self.noted: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        return self.metadata.get(key)

    def set(self, key: str, value: str) -> None:
        self.noted[key] = value


def passed(limit: LocalRateLimit, *times: float) -> list[bool]:
    """Which of the requests that begin at these times go on."""
    exchanges: list[Any] = [At(time) for time in times]
    return [limit.on_request(exchange) is None for exchange in exchanges]


def test_it_keeps_the_contract() -> None:
    check_filter(LocalRateLimit(5))


def test_a_full_bucket_lets_as_many_pass_as_it_holds_and_no_more() -> None:
    assert passed(LocalRateLimit(3), *[100.0] * 5) == [True, True, True, False, False]


def test_what_is_refused_is_told_as_limited() -> None:
    limit = LocalRateLimit(1)
    passed(limit, 100.0)
    exchange: Any = At(100.0)
    reply = limit.on_request(exchange)
    assert isinstance(reply, Reply)
    assert (reply.kind, reply.text) == (ErrorKind.LIMITED, "local_rate_limit: too many requests")


def test_an_empty_bucket_refills_evenly() -> None:
    limit = LocalRateLimit(2, per=Seconds(1.0))
    assert passed(limit, 0.0, 0.0, 0.4, 0.5, 0.6, 1.0) == [True, True, False, True, False, True]


def test_per_says_in_which_time_the_limit_counts() -> None:
    limit = LocalRateLimit(6, per=Seconds(60.0), burst=1)
    assert passed(limit, 0.0, 9.0, 10.0, 11.0, 20.0) == [True, False, True, False, True]


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    limit = LocalRateLimit(100, burst=2)
    assert passed(limit, 0.0, *[1000.0] * 3) == [True, True, True, False]


def test_a_limit_below_one_lets_one_pass_after_a_while() -> None:
    assert passed(LocalRateLimit(0.5), 0.0, 1.0, 2.0) == [True, False, True]


def test_an_exchange_that_began_before_another_fills_no_token_twice() -> None:
    """One that waited in an earlier filter comes here later than others that began after it."""
    limit = LocalRateLimit(1, burst=1)
    assert passed(limit, 10.0, 5.0, 10.0, 10.5) == [True, False, False, False]


def test_refused_requests_do_not_put_off_the_next_token() -> None:
    limit = LocalRateLimit(1)
    times = [0.0, *(step / 10 for step in range(1, 10)), 1.0]
    assert passed(limit, *times) == [True, *[False] * 9, True]


@pytest.mark.parametrize(
    ("options", "noted"),
    [
        ({"limit": 0}, "must be greater than 0"),
        ({"limit": -1}, "must be greater than 0"),
        ({"limit": 1, "per": 0}, "must be greater than 0"),
        ({"limit": 1, "burst": -1}, "burst must be 1 or more"),
        ({"limit": 1, "burst": 0.5}, "burst must be 1 or more"),
    ],
)
def test_options_with_which_nothing_could_pass_are_refused(options: dict[str, object], noted: str) -> None:
    with pytest.raises(ValueError, match=noted):
        Registry().factory(IFilter, "local_rate_limit", options)()


@pytest.mark.parametrize("options", [{}, {"conditions": []}])
def test_a_limit_or_conditions_must_be_there(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="limit is missing; write how many"):
        Registry().factory(IFilter, "local_rate_limit", options)()


def ask(limit: LocalRateLimit, started: float, **metadata: str) -> bool:
    """Whether a request with these metadata goes on."""
    exchange: Any = At(started, **metadata)
    return limit.on_request(exchange) is None


def test_with_refill_interval_all_tokens_come_at_once_at_the_end_of_each_interval() -> None:
    """The original's max_tokens 3, tokens_per_fill 2, fill_interval 10 s."""
    limit = LocalRateLimit(2, Seconds(10.0), burst=3, refill="interval")
    assert passed(limit, 100.0, 101.0, 102.0, 109.9) == [True, True, True, False]
    assert passed(limit, 110.0, 111.0, 112.0) == [True, True, False]
    assert passed(limit, 200.0, 200.0, 200.0, 200.0) == [True, True, True, False]


def test_the_first_condition_that_holds_decides_alone() -> None:
    limit = LocalRateLimit(
        1,
        conditions=[
            {"match": {"method": "pay", "user": {"present": True}}, "limit": 2, "per": "1m"},
            {"match": {"method": {"prefix": "p"}}, "limit": 1},
        ],
    )
    assert [ask(limit, 5.0, method="pay", user="ann") for _ in range(3)] == [True, True, False]
    assert [ask(limit, 5.0, method="pay") for _ in range(2)] == [True, False]
    assert [ask(limit, 5.0, method="buy") for _ in range(2)] == [True, False]


def test_a_condition_without_a_match_holds_always() -> None:
    limit = LocalRateLimit(100, conditions=[{"match": {}, "limit": 1}])
    assert [ask(limit, 5.0, method="pay"), ask(limit, 5.0)] == [True, False]


def test_where_no_condition_holds_and_there_is_no_limit_everything_passes() -> None:
    limit = LocalRateLimit(conditions=[{"match": {"method": "pay"}, "limit": 1}])
    assert all(ask(limit, 5.0, method="buy") for _ in range(100))
    assert limit.counters == {"ok": 0, "rate_limited": 0, "enforced": 0}


def test_each_value_of_the_key_has_a_bucket_of_its_own() -> None:
    limit = LocalRateLimit(1, key="user")
    asked = [ask(limit, 5.0, user=user) for user in ("ann", "bob", "ann", "bob", "ann")]
    assert asked == [True, True, False, False, False]
    assert [ask(limit, 5.0), ask(limit, 5.0, user="")] == [True, False], "a missing key is a value like another"


def test_several_keys_tell_callers_apart_together() -> None:
    limit = LocalRateLimit(1, key=["user", "method"])
    assert [ask(limit, 5.0, user=user, method=method) for user in "ab" for method in "xyx"] == [True, True, False] * 2


def test_a_condition_may_have_keys_too() -> None:
    limit = LocalRateLimit(conditions=[{"match": {"method": "pay"}, "limit": 1, "key": "user"}])
    assert [ask(limit, 5.0, method="pay", user=user) for user in "aba"] == [True, True, False]


def test_of_more_values_than_allowed_the_one_that_was_silent_for_longest_is_forgotten() -> None:
    limit = LocalRateLimit(1, key="user", max_keys=2)
    assert [ask(limit, 5.0, user=user) for user in "abacab"] == [True, True, False, True, False, True]
    assert limit.gauges == {"buckets": 2}


@given(st.lists(st.text(max_size=400), max_size=50), st.integers(1, 5))
def test_whatever_values_come_their_number_and_size_stay_bounded(values: list[str], most: int) -> None:
    limit = LocalRateLimit(1, key="user", max_keys=most)
    for value in values:
        ask(limit, 5.0, user=value)
    assert limit.gauges["buckets"] <= most
    assert all(len(one) <= 128 for one in reachable(limit) if isinstance(one, str))


def test_passed_and_refused_requests_are_counted() -> None:
    limit = LocalRateLimit(2)
    passed(limit, *[5.0] * 5)
    assert limit.counters == {"ok": 2, "rate_limited": 3, "enforced": 3}


def test_with_headers_an_answer_tells_what_is_left_and_a_refusal_when_to_come_back() -> None:
    limit: Any = LocalRateLimit(2, Seconds(10.0), headers=True)
    check_filter(limit)
    exchanges: list[Any] = [At(5.0) for _ in range(3)]
    replies = [limit.on_request(exchange) for exchange in exchanges]
    for exchange in exchanges[:2]:
        assert limit.on_response(exchange) is None
    assert [one.noted.get("x-ratelimit-remaining") for one in exchanges] == ["1", "0", None]
    assert exchanges[0].noted["x-ratelimit-limit"] == "2, 2;w=10"
    assert exchanges[1].noted["x-ratelimit-reset"] == "5"
    assert replies[2] is not None and replies[2].text == "local_rate_limit: too many requests; retry in 5 s"
    assert replies[2].metadata is not None and replies[2].metadata["x-ratelimit-remaining"] == "0"
    for exchange in exchanges:
        limit.on_complete(exchange)
    assert not [one for one in reachable(limit) if isinstance(one, At)], "nothing is kept of those that have ended"


def test_without_headers_there_is_no_hook_for_answers() -> None:
    limit = LocalRateLimit(1)
    assert not hasattr(limit, "on_response") and not hasattr(limit, "on_complete")


@pytest.mark.parametrize(
    ("conditions", "path", "noted"),
    [
        ([{"limit": 1}, {"limit": "x"}], (1, "limit"), "'x' is not a number"),
        ([{"limit": 0}], (0, "limit"), "must be greater than 0"),
        ([{"limit": 1, "math": {}}], (0, "math"), "no option 'math'; did you mean 'match'?"),
        ([{"match": {}}], (0,), "option 'limit' is missing"),
        ([{"limit": 1, "match": {"method": {"prefx": "a"}}}], (0, "match", "method"), "did you mean 'prefix'"),
        ([{"limit": 1, "max_keys": 0}], (0, "max_keys"), "0 is less than 1"),
        (["x"], (0,), "'x' is not a mapping"),
    ],
)
def test_what_is_wrong_in_a_condition_is_told_with_its_place(
    conditions: list[object], path: tuple[object, ...], noted: str
) -> None:
    with pytest.raises(OptionError) as caught:
        LocalRateLimit(1, conditions=conditions)
    assert (caught.value.option, caught.value.path) == ("conditions", path)
    assert noted in str(caught.value)


@given(
    st.floats(0.1, 100), st.floats(0.1, 100), st.floats(1, 100), st.lists(st.floats(0, 50), min_size=1, max_size=200)
)
def test_in_no_stretch_of_time_more_pass_than_the_burst_and_what_was_filled_in_it(
    limit: float, per: float, burst: float, times: list[float]
) -> None:
    times.sort()
    went = [
        time for time, on in zip(times, passed(LocalRateLimit(limit, Seconds(per), burst), *times), strict=True) if on
    ]
    for first in range(0, len(went), 7):
        for last in range(first, len(went), 7):
            allowed = burst + (went[last] - went[first]) * limit / per
            assert last - first + 1 <= allowed + 1e-6


def test_with_nothing_enforced_everything_passes_and_what_would_be_refused_is_counted() -> None:
    limit = LocalRateLimit(2, enforced=Percent(0.0))
    assert all(passed(limit, *[5.0] * 5))
    assert limit.counters == {"ok": 2, "rate_limited": 3, "enforced": 0}


def test_on_the_whole_path_tokens_come_with_the_time() -> None:
    limit = LocalRateLimit(1, Seconds(2.0))
    stage = Stage(hooks={"on_request": (limit.on_request,)})
    client = stage.client()
    passes = []
    for id in range(1, 8):
        stage.say(client, call(id))
        (data,) = [client.take()]
        passes.append(data == b"")
        stage.clock.advance(0.5)
    assert passes == [True, False, False, False, True, False, False]


THRIFT_CALL = bytes.fromhex("80010001 00000004 6563686f 00000007 0b 0001 00000002 6869 00")
"""echo("hi"), strict binary; see test_thrift_header.py"""


def test_a_refusal_in_theader_carries_what_is_left() -> None:
    limit = LocalRateLimit(1, Seconds(10.0), headers=True)
    stage = Stage(Thrift(), hooks={"on_request": (limit.on_request,)})
    client = stage.client()
    head = bytes.fromhex("0fff 0000 00000007 0001 00000000")
    assert ask(limit, 0.0)
    stage.say(client, (len(head + THRIFT_CALL)).to_bytes(4, "big") + head + THRIFT_CALL)
    (refusal,) = Thrift().session(Side.SERVER, 1 << 20).receive(client.take())
    assert refusal.kind is Kind.ERROR
    assert (refusal.get("x-ratelimit-remaining"), refusal.get("x-ratelimit-reset")) == ("0", "10")


# -- waiting in the place of a refusal


AT_ONCE: Any = At(0.0)


def test_what_is_over_the_limit_waits_for_its_turn_one_behind_the_other() -> None:
    clock = Clock()
    limit = LocalRateLimit(2, max_wait=Seconds(1.0), clock=clock)
    said = [limit.on_request(AT_ONCE) for _ in range(6)]
    turns = [one for one in said if isinstance(one, Deferred)]
    assert [type(one) for one in said] == [type(None), type(None), Deferred, Deferred, Reply, Reply]
    clock.advance(0.5)
    assert [turn.called for turn in turns] == [True, False]
    clock.advance(0.5)
    assert [turn.called for turn in turns] == [True, True]
    assert limit.counters == {"ok": 2, "rate_limited": 4, "waited": 2, "enforced": 2}


def test_who_comes_later_waits_behind_those_that_wait() -> None:
    clock = Clock()
    limit = LocalRateLimit(1, max_wait=Seconds(5.0), clock=clock)
    limit.on_request(AT_ONCE), limit.on_request(AT_ONCE)
    clock.advance(0.5)
    late: Any = At(0.5)
    turn = limit.on_request(late)
    assert isinstance(turn, Deferred)
    clock.advance(1.0)
    assert not turn.called
    clock.advance(0.5)
    assert turn.called


def test_with_intervals_turns_come_with_the_tokens() -> None:
    clock = Clock()
    limit = LocalRateLimit(2, refill="interval", max_wait=Seconds(1.0), clock=clock)
    said = [limit.on_request(AT_ONCE) for _ in range(5)]
    assert [type(one) for one in said] == [type(None), type(None), Deferred, Deferred, Reply]
    clock.advance(1.0)
    assert all(one.called for one in said if isinstance(one, Deferred))


def test_of_several_workers_each_has_its_part_of_the_limit_and_lets_something_pass() -> None:
    set_workers(4)
    try:
        shared, small = LocalRateLimit(limit=8), LocalRateLimit(limit=1)
    finally:
        set_workers(1)
    assert passed(shared, *[1.0] * 4) == [True, True, False, False]
    # A bucket holds a whole token at least, which fills at the rate of its part.
    assert passed(small, 1.0, 1.5, 4.9, 5.1) == [True, False, False, True]
