"""
A rate limit service: envoy.service.ratelimit.v3.RateLimitService over gRPC.

Lives here: requests and answers as messages of that service. Does not: calls (`metaproxy.clients.grpc`); what is asked.
Needs the extra `grpc`, so it is imported when a configuration names a service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from metaproxy.clients.grpc import CallFailed, Method, MissingExtra
from metaproxy.filters.rate_limit.descriptors import Asked
from metaproxy.filters.rate_limit.fixed_window import Decision
from metaproxy.filters.rate_limit.quota_headers import Quota
from metaproxy.filters.service_cluster import Calls, Clusters, GrpcToCluster
from metaproxy.support.extras import install

if TYPE_CHECKING:
    from envoy.config.core.v3.base_pb2 import HeaderValue
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

try:
    from envoy.extensions.common.ratelimit.v3.ratelimit_pb2 import RateLimitDescriptor
    from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
    from envoy.type.v3.ratelimit_unit_pb2 import RateLimitUnit
except ImportError as error:
    raise MissingExtra(f"xds-protos is not installed; install it with: {install('grpc')}") from error

PATH = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
MOST_HEADERS = 32
"""Headers of an answer that are passed on."""

_Unit = RateLimitResponse.RateLimit.Unit
_SECONDS = {
    _Unit.SECOND: 1, _Unit.MINUTE: 60, _Unit.HOUR: 3600, _Unit.DAY: 86400, _Unit.WEEK: 7 * 86400,
    _Unit.MONTH: 30 * 86400, _Unit.YEAR: 365 * 86400,
}  # fmt: skip


class RateLimitService:
    """
    The service at `target`, or in a cluster. timeout: seconds for each call; reactor: the one that runs, also a clock
    in a check.
    """

    failures: tuple[type[Exception], ...] = (CallFailed,)

    def __init__(
        self, target: str, domain: str, timeout: float, reactor: IReactorTime, clusters: Clusters | None = None
    ) -> None:
        """target: a cluster's name when clusters are given."""
        self._domain = domain
        self.timeout = timeout

        def method(target: str) -> Method[RateLimitRequest, RateLimitResponse]:
            return Method(target, PATH, RateLimitRequest, RateLimitResponse, reactor)

        self.calls: Calls[RateLimitRequest, RateLimitResponse] = (
            GrpcToCluster(clusters, target, method, CallFailed, reactor) if clusters is not None else method(target)
        )

    def ask(self, asked: Sequence[Asked], hits: int) -> Deferred[Decision]:
        request = RateLimitRequest(domain=self._domain, hits_addend=hits)
        for one in asked:
            descriptor = request.descriptors.add()
            for key, value in one.entries:
                descriptor.entries.add(key=key, value=value.encode("utf-8", "replace").decode())
            if one.limit is not None:
                unit = RateLimitUnit.Value(one.limit.unit.upper())
                override = RateLimitDescriptor.RateLimitOverride(requests_per_unit=one.limit.requests, unit=unit)
                descriptor.limit.CopyFrom(override)
        return self.calls.call(request, self.timeout).addCallback(decision)

    def stop(self) -> None:
        self.calls.close()


def decision(response: RateLimitResponse) -> Decision:
    """What an answer of the service says. What it does not know passes."""
    passed = response.overall_code != RateLimitResponse.OVER_LIMIT
    request, answer = _headers(response.request_headers_to_add), _headers(response.response_headers_to_add)
    quotas = {
        place: _quota(status) for place, status in enumerate(response.statuses) if status.current_limit.unit in _SECONDS
    }
    over = [
        (place, quota)
        for place, quota in quotas.items()
        if response.statuses[place].code == RateLimitResponse.OVER_LIMIT
    ]
    least = min(quotas.values(), key=lambda quota: quota.remaining, default=None)
    return Decision(passed, least, request, answer, over)


def _quota(status: RateLimitResponse.DescriptorStatus) -> Quota:
    limit = status.current_limit
    reset = status.duration_until_reset
    remaining = status.limit_remaining
    return Quota(limit.requests_per_unit, _SECONDS[limit.unit], remaining, reset.seconds + reset.nanos / 1e9)


def _headers(headers: Iterable[HeaderValue]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for header in headers:
        if len(found) < MOST_HEADERS:
            found[header.key] = header.value or header.raw_value.decode("utf-8", "replace")
    return found
