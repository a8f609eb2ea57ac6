"""What each filter with a state takes over from the one that it replaces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from metaproxy.config.model import Node
from metaproxy.filters.concurrency_limit.filter import ConcurrencyLimit
from metaproxy.filters.ext_authz.authorization import Decision as Verdict
from metaproxy.filters.ext_authz.filter import ExtAuthz
from metaproxy.filters.fault.filter import fault
from metaproxy.filters.istio.stats import IstioStats
from metaproxy.filters.jwt.keys import RemoteKeys
from metaproxy.filters.rate_limit.fixed_window import Decision
from metaproxy.filters.rate_limit.global_ import GlobalRateLimit
from metaproxy.filters.rate_limit.local import LocalRateLimit
from metaproxy.filters.rate_limit.over_limit_cache import OverLimitCache
from metaproxy.filters.rate_limit.quota_headers import Quota
from metaproxy.testing import FakeExchange


class Exchange(FakeExchange):
    def __init__(self, **metadata: str) -> None:
        super().__init__(metadata=metadata, started=1.0, cluster="c", protocol="quill")
        self.complete(ended=1.5)


class Service:
    """Who is asked, and answers at once. asked: how often."""

    failures = ()

    def __init__(self, decision: Any) -> None:
        self.decision = decision
        self.asked = 0

    def ask(self, *question: object) -> Deferred[Any]:
        self.asked += 1
        return succeed(self.decision)

    def stop(self) -> None:
        """Nothing is open."""


def passes(filter: Any, count: int, **metadata: str) -> list[bool]:
    return [filter.on_request(Exchange(**metadata)) is None for _ in range(count)]


# -- local_rate_limit


def test_buckets_go_on_with_what_is_left_under_another_limit() -> None:
    old, new = LocalRateLimit(10.0), LocalRateLimit(100.0)
    assert all(passes(old, 10))
    new.inherit(old)
    assert passes(new, 1) == [False]


def test_a_bucket_never_holds_more_than_the_new_burst() -> None:
    old, new = LocalRateLimit(10.0), LocalRateLimit(3.0)
    new.inherit(old)
    assert passes(new, 4) == [True, True, True, False]


def test_each_value_of_a_key_goes_on_with_its_own_bucket() -> None:
    old, new = LocalRateLimit(2.0, key="user"), LocalRateLimit(5.0, key="user", refill="interval")
    passes(old, 2, user="ann")
    new.inherit(old)
    assert passes(new, 1, user="ann") == [False]
    assert passes(new, 5, user="bob") == [True] * 5
    assert new.gauges["buckets"] == 2


def test_other_keys_begin_with_full_buckets() -> None:
    old, new = LocalRateLimit(1.0, key="user"), LocalRateLimit(1.0, key="tenant")
    passes(old, 1, user="ann", tenant="t")
    new.inherit(old)
    assert passes(new, 1, user="ann", tenant="t") == [True]


def test_conditions_are_known_by_what_they_match_and_not_by_their_place() -> None:
    a, b = {"match": {"m": "a"}, "limit": 1}, {"match": {"m": "b"}, "limit": 1}
    old, new = LocalRateLimit(conditions=[a, b]), LocalRateLimit(conditions=[b, a])
    passes(old, 1, m="a")
    new.inherit(old)
    assert (passes(new, 1, m="b"), passes(new, 1, m="a")) == ([True], [False])


# -- global_rate_limit

DESCRIPTOR = {"entries": [{"key": "k", "value": "v"}], "limit": {"requests_per_unit": 2, "unit": "hour"}}


def test_counts_of_a_window_go_on_under_another_limit() -> None:
    clock = Clock()
    more = {**DESCRIPTOR, "limit": {"requests_per_unit": 3, "unit": "hour"}}
    old, new = GlobalRateLimit([DESCRIPTOR], clock), GlobalRateLimit([more], clock)
    assert passes(old, 2) == [True, True]
    new.inherit(old)
    assert passes(new, 2) == [True, False]


def test_another_domain_counts_for_itself() -> None:
    clock = Clock()
    old, new = GlobalRateLimit([DESCRIPTOR], clock), GlobalRateLimit([DESCRIPTOR], clock, domain="other")
    passes(old, 2)
    new.inherit(old)
    assert passes(new, 1) == [True]


def test_what_a_service_said_to_be_over_its_limit_stays_known() -> None:
    clock = Clock()
    service: Any = {"redis": "127.0.0.1:1"}
    old = GlobalRateLimit([DESCRIPTOR], clock, service, remember_over_limit=True)
    new = GlobalRateLimit([DESCRIPTOR], clock, service, remember_over_limit=True, hits_addend=2)
    over = Decision(False, over=[(0, Quota(2, 60, -1, 50))])
    for filter in (old, new):
        assert isinstance(filter.service, OverLimitCache)
        filter.service.service = Service(over)
    assert passes(old, 1) == [False]
    new.inherit(old)
    assert passes(new, 1) == [False]
    assert isinstance(new.service, OverLimitCache) and len(new.service) == 1


# -- fault


def test_faults_under_way_count_and_end_in_the_new_one() -> None:
    clock = Clock()
    written = {"name": "slow", "percentage": 100, "delay": "10s"}
    old, new = fault([written], clock, max_active=1), fault([{**written, "delay": "5s"}], clock, max_active=1)
    exchange = Exchange()
    assert isinstance(old.on_request(exchange), Deferred)
    new.inherit(old)
    assert new.gauges["active"] == 1
    assert new.on_request(Exchange()) is None
    assert new.counters["overflow"] == 1
    old.on_complete(exchange)
    assert new.gauges["active"] == 0


def test_turns_of_callers_go_on_even_over_a_time_without_faults() -> None:
    clock = Clock()

    def made(percentage: int) -> Any:
        return fault([{"name": "first", "percentage": percentage, "first": 1, "error": "timeout"}], clock)

    one, off, two = made(100), made(0), made(100)
    assert one.on_request(Exchange()) is not None
    off.inherit(one)
    two.inherit(off)
    assert two.on_request(Exchange()) is None


def test_the_same_seed_goes_on_drawing_where_it_was() -> None:
    def made() -> Any:
        return fault([{"name": "some", "percentage": 50, "error": "timeout"}], Clock(), seed=7)

    whole, one, two = made(), made(), made()
    expected = passes(whole, 20)
    found = passes(one, 10)
    two.inherit(one)
    assert found + passes(two, 10) == expected


# -- concurrency_limit


@pytest.mark.parametrize("keys", [("", ""), ("user", "user"), ("", "user"), ("user", ""), ("user", ["user", "x"])])
def test_what_is_under_way_counts_against_the_new_limit(keys: Any) -> None:
    old, new = ConcurrencyLimit(2, key=keys[0]), ConcurrencyLimit(2, key=keys[1])
    first, second = Exchange(user="ann"), Exchange(user="ann")
    assert old.on_request(first) is None
    new.inherit(old)
    assert new.gauges["under_way"] == 1
    assert new.on_request(second) is None
    assert passes(new, 1, user="ann") == [False]
    old.on_complete(first)
    new.on_complete(second)
    assert new.gauges["under_way"] == 0
    assert passes(new, 2, user="ann") == [True, True]


def test_an_adaptive_limit_goes_on_with_what_it_found() -> None:
    adaptive: Any = {"min_rtt": {"fixed": "10ms"}}
    old, new = ConcurrencyLimit(adaptive=adaptive), ConcurrencyLimit(adaptive={**adaptive, "max_limit": 20})
    now = 1.0
    while old.gauges["limit"] <= 20:
        exchange = FakeExchange(started=now)
        assert old.on_request(exchange) is None
        exchange.complete(ended=now + 0.01)
        old.on_complete(exchange)
        now += 0.1
    new.inherit(old)
    assert new.gauges["limit"] == 20


@pytest.mark.parametrize("options", [{"limit": 3}, {"adaptive": {}}, {"adaptive": {"min_rtt": {"fixed": "1ms"}}}])
@pytest.mark.parametrize("before", [{"limit": 3}, {"adaptive": {}}, {"adaptive": {"min_rtt": {"fixed": "1ms"}}}])
def test_any_kind_of_limit_may_follow_any_other(before: Any, options: Any) -> None:
    old, new = ConcurrencyLimit(**before), ConcurrencyLimit(**options)
    exchange = Exchange()
    old.on_request(exchange)
    new.inherit(old)
    old.on_complete(exchange)
    assert passes(new, 3) == [True, True, True]
    assert new.gauges["under_way"] == 3


# -- ext_authz, jwt, istio_stats


def test_decisions_are_kept_while_the_same_is_asked_of_the_same_service() -> None:
    def made(service: str = "http://127.0.0.1:1", **options: Any) -> Any:
        return ExtAuthz({"http": service}, Clock(), cache={"key": ["user"]}, **options)

    old = made()
    old.service = Service(Verdict(True))
    old.on_request(Exchange(user="ann"))
    asked = []
    for one in (made(fail="open"), made("http://127.0.0.1:2"), made(context={"a": "b"})):
        one.inherit(old)
        one.service = Service(Verdict(True))
        one.on_request(Exchange(user="ann"))
        asked.append(one.service.asked)
    assert asked == [0, 1, 1]


JWKS = json.dumps({"keys": [{"kty": "oct", "k": "A" * 43}]}).encode()


def test_keys_of_the_same_url_are_there_at_once_and_fetched_again_when_that_was_due() -> None:
    clock, fetched = Clock(), []

    def made(url: str) -> RemoteKeys:
        return RemoteKeys(url, 100.0, clock, lambda: (fetched.append(url), succeed(JWKS))[1], dict.fromkeys(  # type: ignore[func-returns-value]
            ("jwks_fetch_success", "jwks_fetch_failed"), 0
        ))  # fmt: skip

    old, new, other = made("one"), made("one"), made("two")
    old.fetched(0.0)
    clock.advance(40)
    new.inherit(old)
    other.inherit(old)
    old.stop()
    assert new.current(40.0) is not None and other.current(40.0) is None
    clock.advance(59)
    assert fetched == ["one"]
    clock.advance(1)
    assert fetched == ["one", "one"]
    new.stop()


def test_series_go_on_where_the_labels_are_the_same() -> None:
    def made(direction: Any, most: int = 500) -> IstioStats:
        return IstioStats(Node(), direction, max_series=most)

    old, new, other = made("inbound"), made("inbound", 7), made("outbound")
    old.on_complete(Exchange())
    new.inherit(old)
    other.inherit(old)
    new.on_complete(Exchange())
    samples = [sample for family in new.collect() for sample in family.samples if sample.name == "istio_requests_total"]
    assert [sample.value for sample in samples] == [2]
    assert other.gauges == {"series": 0}


@pytest.mark.parametrize(
    "new",
    [
        LocalRateLimit(1.0), GlobalRateLimit([DESCRIPTOR], Clock()), fault([], Clock()), ConcurrencyLimit(1),
        ExtAuthz({"http": "http://127.0.0.1:1"}, Clock()), IstioStats(Node()),
    ],
)  # fmt: skip
def test_something_of_another_kind_is_let_be(new: Any) -> None:
    new.inherit(object())
