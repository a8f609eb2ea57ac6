"""
Services that a filter asks by the name of a cluster: its endpoints, its balancer and its TLS, in place of one address.

Lives here: HTTP and gRPC calls that pick an endpoint each. Does not: clusters and their connections
(`proxy.service_clusters`, which filters are handed as `clusters`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, IReactorUNIX, IStreamClientEndpoint
from twisted.python.failure import Failure

from metaproxy.clients.http import MAX_BODY, Answer, HttpCalls, HttpFailed
from metaproxy.clients.relay import Relay
from metaproxy.plugins import OptionError

T = TypeVar("T")
Q = TypeVar("Q", contravariant=True)
A = TypeVar("A")

MOST = 1000
"""Endpoints whose connections are kept; a discovery may have brought many in the course of time."""


class Picked(Protocol):
    """An endpoint for one call. address: as configured; secured: whether its cluster speaks TLS."""

    @property
    def address(self) -> str: ...

    @property
    def secured(self) -> bool: ...

    def connector(self) -> IStreamClientEndpoint:
        """An IStreamClientEndpoint whose connections speak the cluster's TLS."""

    def end(self, well: bool) -> None:
        """Count the call, once: it was answered, or not."""


class Clusters(Protocol):
    """The clusters of the configuration in force."""

    def pick(self, name: str) -> Picked | None:
        """An endpoint that may take a call; None when there is none, or its breaker has no room."""


def check_known(clusters: Clusters | None, name: str) -> Clusters:
    """The clusters. Raises OptionError where there can be none, as in a filter that is built by hand."""
    if clusters is None:
        raise OptionError("service", f"there are no clusters here to find {name!r} in", path=("cluster",))
    return clusters


def no_endpoint(name: str) -> str:
    return f"no usable endpoint in cluster {name}"


def counted(deferred: Deferred[T], picked: Picked) -> Deferred[T]:
    def answered(result: T) -> T:
        picked.end(True)
        return result

    def failed(failure: Failure) -> Failure:
        picked.end(False)
        return failure

    return deferred.addCallbacks(answered, failed)


class HttpToCluster:
    """Calls as of HttpCalls; the URL's host is only what the service is called, the cluster says where it is."""

    def __init__(self, clusters: Clusters, name: str, reactor: IReactorTime) -> None:
        self._clusters, self._name = clusters, name
        self._calls = HttpCalls(reactor, lambda label: self._picked[label].connector())
        self._picked: dict[str, Picked] = {}
        self._labels: dict[tuple[str, bool], str] = {}

    def call(
        self,
        method: str,
        url: str,
        timeout: float,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        most: int = MAX_BODY,
    ) -> Deferred[Answer]:
        picked = self._clusters.pick(self._name)
        if picked is None:
            return fail(HttpFailed(no_endpoint(self._name)))
        parts = urlsplit(url)
        there = parts._replace(scheme="http", netloc=self._label(picked)).geturl()
        sent = [("host", parts.netloc), *headers]
        return counted(self._calls.call(method, there, timeout, sent, body, most), picked)

    def _label(self, picked: Picked) -> str:
        """A host for URLs: connections to one are kept for it."""
        place = picked.address, picked.secured
        if place not in self._labels and len(self._labels) >= MOST:
            self._labels.clear()
            self._picked.clear()
        label = self._labels.setdefault(place, f"e{len(self._labels)}")
        self._picked[label] = picked
        return label

    def close(self) -> Deferred[None] | None:
        return self._calls.close()


class Calls(Protocol[Q, A]):
    """What asks with a Q and is answered with an A: a `clients.grpc.Method`, or `GrpcToCluster`."""

    def call(self, request: Q, timeout: float, metadata: Sequence[tuple[str, str]] = ()) -> Deferred[A]: ...
    def close(self) -> None: ...


class GrpcToCluster(Generic[Q, A]):
    """
    Calls as of clients.grpc.Method. make(target): the method at an address; failed(code, text): its exception. grpcio
    can't compare SPIFFE names, nor use a certificate that changed: TLS is the proxy's own, behind a socket in a folder.
    """

    def __init__(
        self,
        clusters: Clusters,
        name: str,
        make: Callable[[str], Calls[Q, A]],
        failed: Callable[[str, str], Exception],
        reactor: IReactorTime,
    ) -> None:
        self._clusters, self._name = clusters, name
        self._make, self._failed = make, failed
        self._reactor = reactor
        self._methods: dict[tuple[str, bool], tuple[Calls[Q, A], Relay | None]] = {}

    def call(self, request: Q, timeout: float, metadata: Sequence[tuple[str, str]] = ()) -> Deferred[A]:
        picked = self._clusters.pick(self._name)
        if picked is None:
            return fail(self._failed("UNAVAILABLE", no_endpoint(self._name)))
        return counted(self._method(picked).call(request, timeout, metadata), picked)

    def _method(self, picked: Picked) -> Calls[Q, A]:
        place = picked.address, picked.secured
        if place not in self._methods:
            if len(self._methods) >= MOST:
                self.close()
            relay = Relay(IReactorUNIX(self._reactor), picked.connector) if picked.secured else None
            self._methods[place] = self._make(relay.target if relay is not None else picked.address), relay
        method, relay = self._methods[place]
        if relay is not None:
            relay.connector = picked.connector  # a reload may have changed the cluster's TLS
        return method

    def close(self) -> None:
        methods, self._methods = self._methods, {}
        for method, relay in methods.values():
            method.close()
            if relay is not None:
                relay.close()
