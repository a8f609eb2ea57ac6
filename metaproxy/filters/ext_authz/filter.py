"""
`ext_authz`: a service outside decides which requests may pass.

Lives here: which requests ask, decisions that are kept, what becomes of a request. Does not: what is sent and answered
(`authorization`), and over what (`authz_grpc`, `authz_http`).

Semantics: Envoy's "External Authorization" filter. docs/reference/filters.md says where ours differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from metaproxy.filters.details import note
from metaproxy.filters.ext_authz.authorization import Asked, Decision, TooMuch, asked, change
from metaproxy.filters.options import matching
from metaproxy.filters.outage_log import OutageLog
from metaproxy.filters.rate_limit.quota_headers import ResponseMetadata
from metaproxy.filters.service_cluster import Clusters, check_known
from metaproxy.filters.unclear import has_one_value, is_unclear, values_of
from metaproxy.interfaces import IExchange, IOnRequest
from metaproxy.message import ErrorKind, Reply
from metaproxy.options import made
from metaproxy.plugins import OptionError
from metaproxy.routing.expression import ALWAYS, Expression
from metaproxy.support.bounded_map import BoundedMap
from metaproxy.units import Bytes, Option, OptionsOf, Seconds

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

_TIMEOUT, _TTL = Seconds(0.2), Seconds(10.0)
_METADATA = Bytes(65536)
_ADDRESS = re.compile(r"unix:/.+|(?:\[[0-9a-fA-F:.]+\]|[^\[\]:/\s]+):\d{1,5}")
_FAILED = Reply(ErrorKind.DENIED, "ext_authz: the authorization service can't be asked", details="ext_authz_error")
_TOO_MUCH = Reply(
    ErrorKind.BAD_REQUEST, "ext_authz: more metadata than may be asked about", details="ext_authz_metadata_too_large"
)
_UNCLEAR = Reply(
    ErrorKind.DENIED,
    "ext_authz: metadata with several values, or that can't be read",
    details="ext_authz_metadata_unclear",
)


class Service(Protocol):
    """Who decides. failures: what its Deferreds fail with when it can't be asked."""

    failures: tuple[type[Exception], ...]

    def ask(self, asked: Asked) -> Deferred[Decision]: ...

    def stop(self) -> Deferred[None] | None: ...


class _Where:
    """`service:`. Exactly one of `grpc`, `http` and `cluster`, or `cluster` with `http`."""

    def __init__(
        self,
        grpc: Annotated[str, Option("`HOST:PORT` or `unix:/path`: asked over gRPC.", default="one of")] = "",
        http: Annotated[str, Option("A URL: asked over plain HTTP.", default="one of")] = "",
        headers: Annotated[
            dict[str, str] | None, Option("Headers that go with each question over HTTP.", secret=True)
        ] = None,
        upstream_headers: Annotated[
            list[str] | None, Option("Headers of an answer over HTTP that the request gets.")
        ] = None,
        cluster: Annotated[
            str,
            Option(
                "The cluster that is asked, over gRPC, or over HTTP with `http` beside; see "
                "[Services in clusters](#services-in-clusters).",
                default="one of",
            ),
        ] = "",
    ) -> None:
        if bool(grpc) + bool(http or cluster) != 1:
            raise ValueError("write grpc: HOST:PORT, or http: URL, or cluster: NAME with http or without; one of them")
        if not http and (headers or upstream_headers):
            raise ValueError("headers and upstream_headers go with http")
        if grpc and not _ADDRESS.fullmatch(grpc):
            raise OptionError("grpc", f"{grpc!r:.100} is not an address; write HOST:PORT or unix:/path")
        if cluster and http.startswith("https:"):
            raise OptionError("http", "the cluster's `tls` decides; write http://")
        self.grpc, self.http, self.cluster = grpc, http, cluster
        self.headers = list((headers or {}).items())
        self.upstream_headers = upstream_headers or []

    def service(self, timeout: float, clock: IReactorTime, clusters: Clusters | None) -> Service:
        known = check_known(clusters, self.cluster) if self.cluster else None
        if not self.http:
            from metaproxy.filters.ext_authz.grpc import GrpcService  # grpcio is there only if somebody wants it

            return GrpcService(self.grpc or self.cluster, timeout, clock, known)
        from metaproxy.clients.http import check_url
        from metaproxy.filters.ext_authz.http import HttpService

        url = check_url(self.http)
        return HttpService(url, timeout, self.headers, self.upstream_headers, clock, known, self.cluster)


class _Kept:
    """`cache:`. Decisions by the values of `key`, each for `ttl` seconds, `max` at a time."""

    def __init__(
        self,
        key: Annotated[list[str], Option("Metadata keys or facts that a decision depends on.", least=1)],
        ttl: Annotated[Seconds, Option("How long a decision is kept.", above="0s")] = _TTL,
        max: Annotated[int, Option("Decisions that are kept at a time.", least=1)] = 1000,
    ) -> None:
        self.keys, self._ttl, self._most = tuple(key), ttl, max
        self._kept: BoundedMap[Hashable, tuple[float, Decision]] = BoundedMap(max)

    def __len__(self) -> int:
        return len(self._kept)

    def key(self, exchange: IExchange) -> Hashable:
        return tuple([exchange.get(key) for key in self.keys])

    def inherit(self, before: _Kept) -> None:
        if before.keys == self.keys:
            self._kept = before._kept
            self._kept.limit(self._most)

    def find(self, key: Hashable, now: float) -> Decision | None:
        found = self._kept.get(key)
        if found is None:
            return None
        if now >= found[0]:
            del self._kept[key]
            return None
        return found[1]

    def keep(self, key: Hashable, decision: Decision, now: float) -> None:
        self._kept.keep(key, (now + self._ttl, decision))  # the oldest, which goes first, is the first to end


@implementer(IOnRequest)
class ExtAuthz:
    """Asks a service about each request, and refuses what it refuses. service: who is asked; it may be replaced."""

    def __init__(
        self,
        service: Annotated[dict[str, object], OptionsOf(_Where), Option("The service that is asked.")],
        clock: IReactorTime,
        match: Annotated[
            dict[str, object] | None,
            Option(
                "Which requests are asked about, as a route's [`match`](routing.md); the others pass.",
                default="every request",
            ),
        ] = None,
        timeout: Annotated[Seconds, Option("Time for an answer.", above="0s")] = _TIMEOUT,
        fail: Annotated[
            Literal["closed", "open"], Option("Without an answer requests are refused, or pass.")
        ] = "closed",
        metadata: Annotated[
            list[str] | None, Option("Keys of the metadata that the service gets to see.", default="all")
        ] = None,
        max_metadata: Annotated[
            Bytes, Option("A request with more of it is refused as `bad_request`: nothing is left out.")
        ] = _METADATA,
        context: Annotated[
            dict[str, str] | None,
            Option("Sent with each question, besides the names of listener and route."),
        ] = None,
        cache: Annotated[dict[str, object] | None, OptionsOf(_Kept), Option("Keeps decisions.")] = None,
        clusters: Clusters | None = None,
    ) -> None:
        self._asked_about = json.dumps([service, metadata, context], sort_keys=True, default=str)
        where = made(_Where, service, "service")
        expression = matching(match)
        self._match = None if expression is ALWAYS else expression
        try:
            self.service = where.service(timeout, clock, clusters)
        except OptionError:
            raise
        except ValueError as error:
            raise OptionError("service", str(error)) from None
        self._kept = made(_Kept, cache, "cache") if cache is not None else None
        self._open = fail == "open"
        self._metadata = metadata or []
        self._most = max_metadata
        self._context = context or {}
        self._clock = clock
        self._trouble = OutageLog("ext_authz", "the authorization service answers again", clock)
        self.asks = tuple(filter(None, [where.cluster]))
        self._notes = ResponseMetadata(self) if not where.http else None
        self.counters = dict.fromkeys(("ok", "denied", "error", "failure_mode_allowed", "cached"), 0)

    def on_request(self, exchange: IExchange) -> Reply | Deferred[Reply | None] | None:
        if self._match is not None and not self._may_match(self._match, exchange):
            return None
        if self._is_doubtful(exchange):
            self.counters["denied"] += 1
            return _UNCLEAR
        key = None
        if self._kept is not None:
            key = self._kept.key(exchange)
            decision = self._kept.find(key, self._clock.seconds())
            if decision is not None:
                self.counters["cached"] += 1
                return self._decided(decision, exchange)
        try:
            what = asked(exchange, self._metadata, self._context, self._most)
        except TooMuch:
            self.counters["denied"] += 1
            return _TOO_MUCH
        asking = self.service.ask(what)
        return asking.addCallbacks(self._answered, self._failed, callbackArgs=(exchange, key), errbackArgs=(exchange,))

    @staticmethod
    def _may_match(match: Expression, exchange: IExchange) -> bool:
        """Whether the service is to be asked: also where `match` holds for another value that the server may see."""
        if match.holds(exchange.get):
            return True
        return is_unclear(exchange.message) and match.surely(values_of(exchange)) is not False

    def _is_doubtful(self, exchange: IExchange) -> bool:
        """Whether the server may see another value than the service is sent, or the decision is kept under."""
        exchange.get("operation")  # what is sent in any case, so that at least the head is read
        if not is_unclear(exchange.message):
            return False
        keys = ["operation", *self._metadata, *(self._kept.keys if self._kept is not None else ())]
        if not self._metadata:
            keys += ["", *exchange.message.known()]  # a key of no message: if that may be there, there may be any other
        return not all(has_one_value(exchange, key) for key in keys)

    def inherit(self, previous: object) -> None:
        """Goes on with the decisions of the same service about the same, and with what the log has of it."""
        if not isinstance(previous, ExtAuthz) or previous._asked_about != self._asked_about:
            return
        self._trouble = previous._trouble
        if self._kept is not None and previous._kept is not None:
            self._kept.inherit(previous._kept)

    def stop(self) -> Deferred[None] | None:
        return self.service.stop()

    def _answered(self, decision: Decision, exchange: IExchange, key: Hashable) -> Reply | None:
        self._trouble.answered()
        if self._kept is not None:
            self._kept.keep(key, decision, self._clock.seconds())
        return None if exchange.outcome else self._decided(decision, exchange)

    def _decided(self, decision: Decision, exchange: IExchange) -> Reply | None:
        if not decision.passed:
            self.counters["denied"] += 1
            text = f"ext_authz: {decision.text}"
            return Reply(decision.kind, text[:1024], details="ext_authz_denied", metadata=dict(decision.answer))
        self.counters["ok"] += 1
        if decision.set or decision.append or decision.remove:
            change(exchange, decision)
        if decision.answer and self._notes is not None:
            self._notes.note(exchange, decision.answer)
        return None

    def _failed(self, failure: Failure, exchange: IExchange) -> Reply | Failure | None:
        """The service can't be asked. All else that fails is a mistake of ours, and reported as such."""
        if failure.check(*self.service.failures) is None:
            return failure
        self.counters["error"] += 1
        self._trouble.failed(failure.getErrorMessage())
        if not self._open:
            return _FAILED
        self.counters["failure_mode_allowed"] += 1
        note(exchange, "ext_authz_failure_mode_allowed")
        return None
