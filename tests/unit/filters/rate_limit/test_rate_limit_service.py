from __future__ import annotations

from typing import Any

from envoy.config.core.v3.base_pb2 import HeaderValue
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from google.protobuf.duration_pb2 import Duration
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metaproxy.filters.rate_limit.descriptors import Asked, Limit
from metaproxy.filters.rate_limit.fixed_window import Decision
from metaproxy.filters.rate_limit.quota_headers import Quota
from metaproxy.filters.rate_limit.service import MOST_HEADERS, RateLimitService, decision

OK, OVER = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT


class Line:
    """In the place of the method: what was asked, and the answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, float]] = []
        self.answer: Deferred[Any] = Deferred()
        self.closed = False

    def call(self, request: Any, timeout: float) -> Deferred[Any]:
        self.asked.append((request, timeout))
        return self.answer

    def close(self) -> None:
        self.closed = True


def test_a_request_has_a_descriptor_for_each_with_its_entries_and_its_own_limit() -> None:
    service = RateLimitService("127.0.0.1:1", "shop", 0.02, Clock())
    line: Any = Line()
    service.calls = line
    decisions: list[Decision] = []
    asked = [Asked((("user", "ann"), ("what", "pay\ud800")), None), Asked((("a", ""),), Limit(7, "hour"))]
    service.ask(asked, 4).addCallback(decisions.append)
    ((request, timeout),) = line.asked
    assert (request.domain, request.hits_addend, timeout) == ("shop", 4, 0.02)
    assert [[(entry.key, entry.value) for entry in one.entries] for one in request.descriptors] == [
        [("user", "ann"), ("what", "pay?")],
        [("a", "")],
    ]
    assert not request.descriptors[0].HasField("limit")
    assert (request.descriptors[1].limit.requests_per_unit, request.descriptors[1].limit.unit) == (7, 3)
    assert RateLimitRequest.FromString(request.SerializeToString()) == request
    line.answer.callback(RateLimitResponse(overall_code=OVER))
    assert [one.passed for one in decisions] == [False]
    service.stop()
    assert line.closed


def test_only_over_limit_refuses() -> None:
    codes = (OK, OVER, RateLimitResponse.UNKNOWN, 77)
    assert [decision(RateLimitResponse(overall_code=code)).passed for code in codes] == [True, False, True, True]


def test_the_quota_is_that_of_the_status_with_the_least_left() -> None:
    def status(requests: int, unit: int, left: int) -> Any:
        limit = RateLimitResponse.RateLimit(requests_per_unit=requests, unit=unit)
        reset = Duration(seconds=9, nanos=500000000)
        return RateLimitResponse.DescriptorStatus(current_limit=limit, limit_remaining=left, duration_until_reset=reset)

    unlimited = RateLimitResponse.DescriptorStatus(code=OK)
    answer = RateLimitResponse(overall_code=OK, statuses=[status(9, 3, 8), unlimited, status(5, 2, 4)])
    assert decision(answer).quota == Quota(5, 60, 4, 9.5)
    assert decision(RateLimitResponse(statuses=[unlimited])).quota is None


def test_descriptors_that_are_over_their_limit_are_named_with_their_place() -> None:
    limit = RateLimitResponse.RateLimit(requests_per_unit=5, unit=2)
    over = RateLimitResponse.DescriptorStatus(code=OVER, current_limit=limit, duration_until_reset=Duration(seconds=9))
    unlimited = RateLimitResponse.DescriptorStatus(code=OK)
    assert decision(RateLimitResponse(overall_code=OVER, statuses=[unlimited, over])).over == [(1, Quota(5, 60, 0, 9))]


def test_headers_for_request_and_answer_are_taken_over_and_bounded() -> None:
    many = [HeaderValue(key=f"k{number}", value="v") for number in range(MOST_HEADERS + 5)]
    raw = HeaderValue(key="raw", raw_value=b"\xff")
    found = decision(RateLimitResponse(request_headers_to_add=[raw], response_headers_to_add=many))
    assert found.request == {"raw": "\ufffd"}
    assert len(found.response) == MOST_HEADERS and found.response["k0"] == "v"
