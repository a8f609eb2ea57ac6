from __future__ import annotations

import random
from typing import Any

from zope.interface import implementer

from metaproxy.filters.rate_limit.quota_headers import Quota, ResponseMetadata, is_enforced
from metaproxy.interfaces import IExchange, IOnRequest
from metaproxy.testing import check_filter


@implementer(IOnRequest)
class Noting:
    def __init__(self) -> None:
        self.notes = ResponseMetadata(self)

    def on_request(self, exchange: IExchange) -> None:
        self.notes.note(exchange, {"a": "1", "b": "2"})
        self.notes.note(exchange, {"b": "3"})


class Told:
    def __init__(self) -> None:
        self.told: dict[str, str] = {}

    def set(self, key: str, value: str) -> None:
        self.told[key] = value


def test_a_quota_is_written_as_envoy_writes_it() -> None:
    assert Quota(10, 60.0, 3.7, 1.2).metadata() == {
        "x-ratelimit-limit": "10, 10;w=60",
        "x-ratelimit-remaining": "3",
        "x-ratelimit-reset": "2",
    }


def test_nothing_is_left_of_a_limit_that_was_exceeded() -> None:
    assert Quota(10, 1.0, -2, 0).metadata()["x-ratelimit-remaining"] == "0"


def test_what_was_noted_of_an_exchange_is_put_into_its_answer_and_into_no_other() -> None:
    noting: Any = Noting()
    check_filter(noting)
    one: Any = Told()
    other: Any = Told()
    noting.on_request(one)
    for exchange in (one, other):
        assert noting.on_response(exchange) is None
    assert (one.told, other.told) == ({"a": "1", "b": "3"}, {})


def test_what_was_noted_is_forgotten_at_the_end() -> None:
    noting: Any = Noting()
    exchange: Any = Told()
    noting.on_request(exchange)
    assert len(noting.notes) == 1
    noting.on_complete(exchange)
    assert len(noting.notes) == 0


def test_so_many_percent_are_enforced() -> None:
    """Of 10000 with 30%: 3000 +- 5 standard deviations of 46."""
    rng = random.Random(3)
    assert abs(sum(is_enforced(30.0, rng) for _ in range(10000)) - 3000) < 230
    assert all(is_enforced(100.0) for _ in range(100)) and not any(is_enforced(0.0) for _ in range(100))
