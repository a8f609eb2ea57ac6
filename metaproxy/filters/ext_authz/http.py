"""
An authorization service over HTTP: status 200 lets pass, anything else does not.

Lives here: requests and answers in HTTP, as Envoy's `http_service` has them. Does not: calls
(`metaproxy.clients.http`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from twisted.internet.interfaces import IReactorTime

from metaproxy.clients.http import Answer, HttpCalls, HttpFailed
from metaproxy.filters.ext_authz.authorization import MOST_CHANGES, Asked, Decision, denied
from metaproxy.filters.service_cluster import Clusters, HttpToCluster

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

MAX_BODY = 64 << 10
"""Bytes of an answer; of a refusal's text much less is shown."""
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_OURS = "x-metaproxy-"
_NOT_SENT = frozenset(
    [
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
    ]
)
"""What would change the meaning of the HTTP request itself, or is known of the connection and from no client."""


class HttpService:
    """
    The service at `url`, behind which the operation stands. timeout: seconds for each call; headers: sent with each;
    upstream: names of an answer's headers that become the request's metadata; reactor: the one that runs, also a clock
    in a check; cluster: where it is, of the clusters, in the place of the URL's host.
    """

    failures: tuple[type[Exception], ...] = (HttpFailed,)

    def __init__(
        self,
        url: str,
        timeout: float,
        headers: Sequence[tuple[str, str]],
        upstream: Sequence[str],
        reactor: IReactorTime,
        clusters: Clusters | None = None,
        cluster: str = "",
    ) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._headers = headers
        self._upstream = frozenset(name.lower() for name in upstream)
        self._calls: HttpCalls | HttpToCluster = HttpCalls(reactor)
        if clusters is not None:
            self._calls = HttpToCluster(clusters, cluster, reactor)

    def ask(self, asked: Asked) -> Deferred[Decision]:
        url = f"{self._url}/{path(asked.operation)}"
        sent = [*headers(asked), *self._headers]
        called = self._calls.call("GET", url, self._timeout, sent, most=MAX_BODY)
        return called.addCallback(self._decision)

    def stop(self) -> Deferred[None] | None:
        return self._calls.close()

    def _decision(self, answer: Answer) -> Decision:
        if answer.status == 200:
            found = {name: value for name, value in answer.headers if name in self._upstream}
            return Decision(True, set=dict(list(found.items())[:MOST_CHANGES]))
        if answer.status >= 500:  # it is broken, and has decided nothing
            raise HttpFailed(f"status {answer.status}")
        return denied(answer.status, answer.body.decode("utf-8", "replace"), {})


def path(operation: str) -> str:
    """An operation in a URL, so that no server finds another path in it: no dots that lead upwards, no query."""
    pieces = [quote(piece.encode("utf-8", "replace"), safe="") for piece in operation.split("/")]
    return "/".join(piece.replace(".", "%2E") if piece.strip(".") == "" else piece for piece in pieces)


def headers(asked: Asked) -> list[tuple[str, str]]:
    """Metadata as they are, where HTTP can have them; what the proxy itself knows, under names that no client has."""
    found = [
        (key, value)
        for key, value in asked.metadata.items()
        if _TOKEN.fullmatch(key) and key not in _NOT_SENT and not key.startswith(_OURS)
    ]
    facts = {
        "protocol": asked.protocol,
        "operation": asked.operation,
        "identity": asked.identity,
        "source": asked.source[0],
        "destination": f"{asked.destination[0]}:{asked.destination[1]}",
        **{f"context-{key}": value for key, value in asked.context.items()},
    }
    found += [(f"{_OURS}{name}", value) for name, value in facts.items() if value]
    found.append(("x-forwarded-for", asked.source[0]))
    return found
