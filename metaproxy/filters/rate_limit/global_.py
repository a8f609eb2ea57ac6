"""
`global_rate_limit`: limits that many proxies share.

Lives here: which requests ask, what becomes of them, what counts as a failure. Does not: who counts (`windows`,
`rate_limit_service`); by what (`descriptors`).
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from zope.interface import implementer

from metaproxy.clients.redis import Redis
from metaproxy.filters.options import matching
from metaproxy.filters.outage_log import OutageLog
from metaproxy.filters.rate_limit.descriptors import Descriptor, descriptors
from metaproxy.filters.rate_limit.fixed_window import Decision, InProcess, OnRedis
from metaproxy.filters.rate_limit.over_limit_cache import OverLimitCache, Service
from metaproxy.filters.rate_limit.quota_headers import ALL, ResponseMetadata, is_enforced
from metaproxy.filters.service_cluster import Clusters, check_known, no_endpoint
from metaproxy.interfaces import IExchange, IOnRequest
from metaproxy.message import ErrorKind, Reply
from metaproxy.options import made
from metaproxy.plugins import OptionError
from metaproxy.routing.expression import ALWAYS
from metaproxy.support.worker_share import whole_part
from metaproxy.units import Option, OptionsOf, Percent, Seconds, Secret

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

_TIMEOUT = Seconds(0.02)
_TEXT = "global_rate_limit: too many requests"
_REFUSAL = Reply(ErrorKind.LIMITED, _TEXT)
_FAILED = Reply(ErrorKind.LIMITED, "global_rate_limit: the limit can't be asked", details="global_rate_limit: failed")

_NO_PASSWORD = Secret()
_MOST = (1 << 32) - 1


class _Where:
    """`service:`. Exactly one of `grpc`, `redis` and `cluster`."""

    def __init__(
        self,
        grpc: Annotated[str, Option("`HOST:PORT` or `unix:/path` of a rate limit service.", default="one of")] = "",
        redis: Annotated[str, Option("`HOST:PORT` or `unix:/path` of a Redis.", default="one of")] = "",
        user: Annotated[str, Option("As whom to log in at Redis.")] = "",
        password: Annotated[Secret, Option("With which password.")] = _NO_PASSWORD,
        database: Annotated[int, Option("The number of the database in Redis.", least=0)] = 0,
        prefix: Annotated[str, Option("What the names in Redis begin with.")] = "",
        cluster: Annotated[
            str, Option("The [cluster](#services-in-clusters) where the service is.", default="one of")
        ] = "",
        kind: Annotated[Literal["grpc", "redis", ""], Option("What `cluster` is.", default="`grpc`")] = "",
    ) -> None:
        if bool(grpc) + bool(redis) + bool(cluster) != 1:
            raise ValueError("write grpc: HOST:PORT, or redis: HOST:PORT, or cluster: NAME; one of them")
        if kind and not cluster:
            raise OptionError("kind", "goes with cluster")
        self.cluster = cluster
        self.redis = redis or (cluster if kind == "redis" else "")
        self.grpc = "" if self.redis else grpc or cluster
        if self.grpc and (user or password or database or prefix):
            raise ValueError("user, password, database and prefix go with redis")
        if not cluster:
            _check_target("grpc" if grpc else "redis", grpc or redis)
        self.user, self.password, self.database, self.prefix = user, password, database, prefix


def _check_target(option: str, target: str) -> None:
    host, _, port = target.rpartition(":")
    if target.startswith("unix:/"):
        return
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise OptionError(option, f"{target!r:.100} is not an address; write HOST:PORT or unix:/path")


@implementer(IOnRequest)
class GlobalRateLimit:
    """Refuses what exceeds limits that are counted for all proxies together. service: who counts."""

    def __init__(
        self,
        descriptors: Annotated[list[object], Option("What is counted; see below.", least=1)],
        clock: IReactorTime,
        service: Annotated[
            dict[str, object] | None, OptionsOf(_Where), Option("What counts.", default="this process")
        ] = None,
        domain: Annotated[str, Option("Sets these limits apart from others of the service.", least=1)] = "metaproxy",
        match: Annotated[
            dict[str, object] | None,
            Option(
                "Which requests are counted: as a route's [`match`](routing.md), also `and`, `or`, `not`.",
                default="every request",
            ),
        ] = None,
        timeout: Annotated[Seconds, Option("Time for the answer.", above="0s")] = _TIMEOUT,
        on_failure: Annotated[Literal["allow", "deny"], Option("What happens without one.")] = "allow",
        enforced: Annotated[
            Percent, Option("Share of what is over the limit that is refused; the rest passes, and is counted.")
        ] = ALL,
        hits_addend: Annotated[int, Option("As how many a request counts.", least=1, most=_MOST)] = 1,
        headers: Annotated[bool, Option("Show clients what is left, see [Remaining](#remaining).")] = False,
        remember_over_limit: Annotated[
            bool,
            Option("What a service said to be over its limit is refused until its window ends, without asking again."),
        ] = False,
        max_keys: Annotated[
            int, Option("Sets of values that this process counts, or remembers, at a time.", least=1, most=_MOST)
        ] = 10000,
        clusters: Clusters | None = None,
    ) -> None:
        self._asked_at = (domain, json.dumps(service, sort_keys=True, default=str))
        where = None if service is None else made(_Where, service, "service")
        self._descriptors = _descriptors(descriptors, where)
        expression = matching(match)
        self._holds = None if expression is ALWAYS else expression.holds
        self._hits = hits_addend
        self._enforced = enforced
        self._deny = on_failure == "deny"
        self._headers = headers
        if where is None and remember_over_limit:
            raise OptionError("remember_over_limit", "there is no service that would be asked less")
        quotas = headers or remember_over_limit
        if where is not None and where.cluster:
            check_known(clusters, where.cluster)
        self.asks = () if where is None or not where.cluster else (where.cluster,)
        self.service: Service = _service(where, domain, timeout, clock, max_keys, quotas, clusters)
        if remember_over_limit:
            self.service = OverLimitCache(self.service, clock, max_keys)
        self._notes = ResponseMetadata(self) if headers or (where is not None and where.grpc) else None
        self._trouble = OutageLog("global_rate_limit", "the limit is asked again", clock)
        self.counters = {"ok": 0, "over_limit": 0, "enforced": 0, "error": 0, "failure_mode_allowed": 0}

    def on_request(self, exchange: IExchange) -> Reply | Deferred[Reply | None] | None:
        get = exchange.get
        if self._holds is not None and not self._holds(get):
            return None
        asked = [one for one in [descriptor.asked(get) for descriptor in self._descriptors] if one is not None]
        if not asked:
            return None
        decision = self.service.ask(asked, self._hits)
        if isinstance(decision, Decision):
            return self._decided(decision, exchange)
        return decision.addCallbacks(self._decided, self._failed, callbackArgs=(exchange,))

    def inherit(self, previous: object) -> None:
        """Goes on with its counts, and with what the same service said to be over its limit."""
        if not isinstance(previous, GlobalRateLimit) or previous._asked_at != self._asked_at:
            return
        self._trouble = previous._trouble
        if isinstance(self.service, (InProcess, OverLimitCache)):
            self.service.inherit(previous.service)

    def stop(self) -> None:
        self.service.stop()

    def _decided(self, decision: Decision, exchange: IExchange) -> Reply | None:
        self._trouble.answered()
        metadata: dict[str, str] = dict(decision.response)
        if self._headers and decision.quota is not None:
            metadata.update(decision.quota.metadata())
        if decision.passed:
            self.counters["ok"] += 1
        else:
            self.counters["over_limit"] += 1
            if is_enforced(self._enforced):
                self.counters["enforced"] += 1
                text = self._text(decision)
                return Reply(ErrorKind.LIMITED, text, details=_TEXT, metadata=metadata) if metadata else _REFUSAL
        for key, value in decision.request.items():
            exchange.set(key, value)
        if metadata and self._notes is not None:
            self._notes.note(exchange, metadata)
        return None

    def _text(self, decision: Decision) -> str:
        if not self._headers or decision.quota is None:
            return _TEXT
        return f"{_TEXT}; retry in {decision.quota.reset:.3g} s"

    def _failed(self, failure: Failure) -> Reply | Failure | None:
        """The limit can't be asked. All else that fails is a mistake of ours, and reported as such."""
        if failure.check(*self.service.failures) is None:
            return failure
        self.counters["error"] += 1
        self._trouble.failed(failure.getErrorMessage())
        if self._deny:
            return _FAILED
        self.counters["failure_mode_allowed"] += 1
        return None


def _descriptors(written: list[object], where: _Where | None) -> list[Descriptor]:
    found = descriptors(written)
    for place, one in enumerate(found):
        if one.limit is None and (where is None or where.redis):
            text = "limit is missing, as no rate limit service knows it; write {entries: [...], limit: {...}}"
            raise OptionError("descriptors", text, path=(place,))
        if one.limit is not None and where is None:
            one.limit.requests = whole_part(one.limit.requests)  # of several workers each counts by itself
    return found


def _service(
    where: _Where | None,
    domain: str,
    timeout: float,
    clock: IReactorTime,
    most: int,
    quotas: bool,
    clusters: Clusters | None,
) -> Service:
    if where is None:
        return InProcess(clock, most, quotas)
    if where.redis:
        connector = partial(_connector, clusters, where.cluster) if where.cluster and clusters is not None else None
        redis = Redis(where.redis, clock, timeout, where.user, where.password, where.database, connector)
        return OnRedis(domain, clock, redis, where.prefix, quotas)
    from metaproxy.filters.rate_limit.service import RateLimitService  # grpcio is there only if somebody wants it

    return RateLimitService(where.grpc, domain, timeout, clock, clusters if where.cluster else None)


def _connector(clusters: Clusters, name: str) -> IStreamClientEndpoint:
    """For one connection of a Redis: all calls share it. Raises LookupError."""
    picked = clusters.pick(name)
    if picked is None:
        raise LookupError(no_endpoint(name))
    picked.end(True)
    return picked.connector()
