"""
An authorization service over gRPC: envoy.service.auth.v3.Authorization.

Lives here: requests and answers as messages of that service. Does not: calls (`metaproxy.clients.grpc`). Needs the
extra `grpc`, so it is imported when a configuration names a service.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from metaproxy.clients.grpc import CallFailed, Method, MissingExtra
from metaproxy.filters.ext_authz.authorization import MOST_CHANGES, Asked, Decision, denied
from metaproxy.filters.service_cluster import Calls, Clusters, GrpcToCluster
from metaproxy.support.extras import install

if TYPE_CHECKING:
    from envoy.config.core.v3.base_pb2 import HeaderValueOption
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

try:
    from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
except ImportError as error:
    raise MissingExtra(f"xds-protos is not installed; install it with: {install('grpc')}") from error

PATH = "/envoy.service.auth.v3.Authorization/Check"


class GrpcService:
    """
    The service at `target`, or in a cluster. timeout: seconds for each call; reactor: the one that runs, also a clock
    in a check.
    """

    failures: tuple[type[Exception], ...] = (CallFailed,)

    def __init__(self, target: str, timeout: float, reactor: IReactorTime, clusters: Clusters | None = None) -> None:
        """target: a cluster's name when clusters are given."""
        self._timeout = timeout

        def method(target: str) -> Method[CheckRequest, CheckResponse]:
            return Method(target, PATH, CheckRequest, CheckResponse, reactor)

        self._method: Calls[CheckRequest, CheckResponse] = (
            GrpcToCluster(clusters, target, method, CallFailed, reactor) if clusters is not None else method(target)
        )

    def ask(self, asked: Asked) -> Deferred[Decision]:
        return self._method.call(check_request(asked), self._timeout).addCallback(decision)

    def stop(self) -> None:
        self._method.close()


def check_request(asked: Asked) -> CheckRequest:
    """As Envoy fills it for HTTP; an operation, such as org.example.Demo/sayHello, is host, path and method."""
    request = CheckRequest()
    attributes = request.attributes
    for peer, (address, port) in ((attributes.source, asked.source), (attributes.destination, asked.destination)):
        if port:
            peer.address.socket_address.address = address
            peer.address.socket_address.port_value = port
        elif address:
            peer.address.pipe.path = _text(address)
    attributes.source.principal = _text(asked.identity)
    attributes.request.time.FromMicroseconds(int(asked.started * 1e6))
    http = attributes.request.http
    http.id = str(asked.id)
    http.method = _text(asked.method)
    http.path = f"/{_text(asked.operation)}"
    http.host = _text(asked.service)
    http.scheme = http.protocol = asked.protocol
    http.size = asked.size
    for key, value in asked.metadata.items():
        http.headers[_text(key)] = _text(value)
    for key, value in asked.context.items():
        attributes.context_extensions[key] = value
    return request


def _text(value: str) -> str:
    """What was no UTF-8 on the wire can't be in a message of this kind either."""
    return value.encode("utf-8", "replace").decode()


def decision(response: CheckResponse) -> Decision:
    """What an answer of the service says: the status decides, whatever else is there."""
    if response.status.code:
        refusal = response.denied_response
        headers, _ = _headers(refusal.headers)
        return denied(refusal.status.code, refusal.body or response.status.message, headers)
    granted = response.ok_response
    replaced, appended = _headers(granted.headers)
    answer, added = _headers(granted.response_headers_to_add)
    removed = [key for key in granted.headers_to_remove if _is_metadata(key)]
    return Decision(
        True, set=replaced, append=appended, remove=tuple(removed[:MOST_CHANGES]), answer={**answer, **added}
    )  # fmt: skip


def _headers(options: Iterable[HeaderValueOption]) -> tuple[dict[str, str], dict[str, str]]:
    """What replaces others of the same key, and what is appended to them."""
    replaced: dict[str, str] = {}
    appended: dict[str, str] = {}
    for one in options:
        header = one.header
        if _is_metadata(header.key) and len(replaced) + len(appended) < MOST_CHANGES:
            chosen = appended if one.append.value else replaced
            chosen[header.key] = header.value or header.raw_value.decode("utf-8", "replace")
    return replaced, appended


def _is_metadata(key: str) -> bool:
    """Envoy's own are of HTTP: they start with a colon, or are `host`."""
    return bool(key) and not key.startswith(":") and key.lower() != "host"
