"""
Polls of a control plane over HTTP: POST /v3/discovery:KIND with a DiscoveryRequest as JSON.

Lives here: `RestPoller` of one kind. Does not: connections (`clients.http`), what becomes of resources (`handler`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.json_format import MessageToDict
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.clients.http import Answer, Calls, HttpFailed
from metaproxy.envoy.json_mapping import fill
from metaproxy.envoy.report import Report
from metaproxy.support.log_throttle import LogThrottle
from metaproxy.xds.backoff import Backoff
from metaproxy.xds.counts import ServerCounts
from metaproxy.xds.resource_types import ResourceType
from metaproxy.xds.session import Handler, refusal
from metaproxy.xds.subscription import MAX_DETAIL, Request, StateOfTheWorld

log = Logger()

MAX_BODY = 64 << 20
TIMEOUT = 30.0
OK, NOT_MODIFIED = 200, 304


class RestPoller:
    """
    url: up to /v3; token: what is shown, '' for none; refresh: seconds between polls.

    A refusal goes with the next poll, so no server can make a hot loop of it.
    """

    def __init__(
        self,
        server: str,
        kind: ResourceType,
        url: str,
        calls: Calls,
        node: base_pb2.Node,
        handler: Handler,
        counts: ServerCounts,
        clock: IReactorTime,
        refresh: float,
        token: Callable[[], str] = lambda: "",
    ) -> None:
        self.server = server
        self._kind = kind
        self._subscription = StateOfTheWorld(kind)
        self._url = f"{url.rstrip('/')}/v3/discovery:{kind.rest}"
        self._calls = calls
        self._node = node
        self._handler = handler
        self._counts = counts
        self._clock = clock
        self._refresh = refresh
        self._token = token
        self._backoff = Backoff(min(1.0, refresh), max(30.0, refresh))
        self._throttle = LogThrottle(clock.seconds)
        self._error = ""
        self._timer: IDelayedCall | None = None
        self._running = False
        self._asking: Deferred[Any] | None = None
        self._again = False

    def start(self) -> None:
        self._running = True
        self._handler.opened(self._kind)
        self._poll()

    def stop(self) -> None:
        self._running = False
        self._cancel()
        if self._asking is not None:
            self._asking.cancel()

    def want(self, kind: ResourceType, names: Collection[str]) -> None:
        """Ask for these names from now on, at once where they differ."""
        before = self._subscription.names
        self._subscription.want(names)
        if not self._running or self._subscription.names == before:
            return
        if self._asking is not None:
            self._again = True
        else:
            self._cancel()
            self._poll()

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _poll(self) -> None:
        self._timer = None
        request = self._subscription.open()
        if request is None:
            return
        asked = self._calls.call(
            "POST", self._url, TIMEOUT, headers=self._headers(), body=self._body(request), most=MAX_BODY
        )
        asking = asked.addCallback(self._answered)
        asking.addErrback(self._failed)
        self._asking = asking
        asking.addErrback(lambda failure: log.failure("xds {server}", failure, server=self.server))
        asking.addCallback(lambda _: self._done())

    def _headers(self) -> list[tuple[str, str]]:
        token = self._token()
        kind = [("content-type", "application/json"), ("accept", "application/json")]
        return [*kind, ("authorization", f"Bearer {token}")] if token else kind

    def _body(self, request: Request) -> bytes:
        request.node.CopyFrom(self._node)
        plain = MessageToDict(request, preserving_proto_field_name=True)  # type: ignore[arg-type]
        if self._error:
            plain["error_detail"] = {"code": 3, "message": self._error[:MAX_DETAIL]}
        return json.dumps(plain).encode()

    def _answered(self, answer: Answer) -> Deferred[None] | None:
        if answer.status == NOT_MODIFIED:
            self._counts.link(self, True)
            self._backoff.reset()
            return None
        if answer.status != OK:
            raise HttpFailed(f"status {answer.status}")
        response = response_of(answer.body)
        self._counts.link(self, True)
        self._backoff.reset()
        update = self._handler.read(self._subscription, response)
        taken = self._handler.take(self._kind, update)

        def keep(held: list[str]) -> None:
            counts = self._counts.of(self._kind)
            self._error = refusal(update)
            if self._error:
                counts.rejected += 1
                self._subscription.nack(update, self._error, held)
                if self._throttle.allows(self._error):
                    text = "xds {server}: {kind} refused: {error}"
                    log.error(text, server=self.server, kind=self._kind.name, error=self._error)
            else:
                counts.successes += 1
                counts.version = update.version
                self._subscription.ack(update)

        return taken.addCallback(keep)

    def _failed(self, failure: Failure) -> None:
        failure.trap(HttpFailed)
        self._counts.link(self, False)
        self._counts.of(self._kind).failures += 1
        self._subscription.close()
        reason = self._counts.reason = failure.getErrorMessage()
        if self._running and self._throttle.allows(reason):
            text = "xds {server}: {reason}; what was received stays in force"
            log.warn(text, server=self.server, reason=reason)
        if self._running:
            self._timer = self._clock.callLater(self._backoff.next(), self._poll)

    def _done(self) -> None:
        self._asking = None
        again, self._again = self._again, False
        if not self._running:
            return
        if again:
            self._cancel()
            self._poll()
        elif self._timer is None:
            self._timer = self._clock.callLater(self._refresh, self._poll)


def response_of(body: bytes) -> discovery_pb2.DiscoveryResponse:
    """Return the response that JSON describes. Raises HttpFailed."""
    response = discovery_pb2.DiscoveryResponse()
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HttpFailed(f"an answer that is no JSON: {str(error)[:200]}") from error
    report = Report()
    fill(response, plain, "", report)
    if report.errors:
        raise HttpFailed("; ".join(map(str, report.errors[:5])))
    return response
