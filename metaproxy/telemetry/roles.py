"""
What telemetry reads of the proxy: of an exchange that ended, of its client, of what is in force.

Lives here: those Protocols; the classes are in `proxy` and `app`, which telemetry does not import. Does not: behaviour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypedDict

from prometheus_client.core import Metric

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.counts import ListenerCounts, MirrorCounts
from metaproxy.interfaces import ICodec
from metaproxy.message import Message
from metaproxy.telemetry.access_log.files import LogCounts

# -- an exchange


class Pin(Protocol):
    """A client's own connection to a server."""

    @property
    def endpoint(self) -> Endpoint: ...


class CompletedClient(Protocol):
    """The client's connection that an exchange came by."""

    @property
    def number(self) -> int: ...
    @property
    def facts(self) -> Mapping[str, str]: ...
    @property
    def session_pin(self) -> Pin | None: ...

    def under_way(self) -> Iterator[object]:
        """The exchanges that are under way on it, the last one first."""


class CompletedSnapshot(Protocol):
    """The configuration of the listener that an exchange ran on."""

    @property
    def codec(self) -> ICodec: ...
    @property
    def routes(self) -> RouteTable: ...
    @property
    def no_route(self) -> Route: ...
    @property
    def statements(self) -> bool: ...


class CompletedExchange(Protocol):
    """An exchange that ended; see interfaces.ICompletedExchange."""

    @property
    def message(self) -> Message: ...
    @property
    def response(self) -> Message | None: ...
    @property
    def started(self) -> float: ...
    @property
    def ended(self) -> float: ...
    @property
    def listener(self) -> str: ...
    @property
    def protocol(self) -> str: ...
    @property
    def route(self) -> str: ...
    @property
    def cluster(self) -> str: ...
    @property
    def upstream_address(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def details(self) -> str: ...
    @property
    def request_bytes(self) -> int: ...
    @property
    def response_bytes(self) -> int: ...
    @property
    def streamed(self) -> bool: ...
    @property
    def request_chunks(self) -> int: ...
    @property
    def response_chunks(self) -> int: ...
    @property
    def first_byte(self) -> float: ...
    @property
    def learnt(self) -> dict[str, str | None] | None: ...
    @property
    def attempts(self) -> int: ...
    @property
    def matched_route(self) -> Route: ...
    @property
    def target(self) -> Target | None: ...
    @property
    def endpoint(self) -> Endpoint | None: ...
    @property
    def client(self) -> CompletedClient: ...
    @property
    def snapshot(self) -> CompletedSnapshot: ...

    def get(self, key: str) -> str | None: ...


# -- what is in force


class FilterUse(Protocol):
    """A filter of a listener."""

    @property
    def name(self) -> str: ...
    @property
    def listener(self) -> str: ...
    @property
    def plugin(self) -> object: ...


class ServerTls(Protocol):
    """A listener's TLS."""

    @property
    def not_after(self) -> float: ...


class MirrorTarget(Protocol):
    """A cluster that a route sends copies to."""

    @property
    def name(self) -> str: ...
    @property
    def counts(self) -> MirrorCounts: ...


class ListenerSnapshot(CompletedSnapshot, Protocol):
    """What a listener runs on."""

    @property
    def tls(self) -> ServerTls | None: ...


class Listener(Protocol):
    """A listener of the proxy."""

    @property
    def counts(self) -> ListenerCounts: ...
    @property
    def snapshot(self) -> ListenerSnapshot: ...


class Snapshot(Protocol):
    """The configuration that is in force."""

    @property
    def version(self) -> int: ...
    @property
    def clusters(self) -> Mapping[str, Cluster]: ...
    @property
    def filters(self) -> Sequence[FilterUse]: ...


class Limit(Protocol):
    """What overload looks at: the memory, the lag of the event loop."""

    @property
    def option(self) -> str: ...
    @property
    def level(self) -> int: ...
    @property
    def value(self) -> float: ...
    @property
    def limit(self) -> float: ...


class Share(Protocol):
    """Of the requests of one priority, which part overload refuses, and how many it has refused."""

    @property
    def value(self) -> float: ...
    @property
    def count(self) -> int: ...


class Overload(Protocol):
    """The proxy's OverloadMonitor. requests: by priority, in the order of routing.table.PRIORITIES."""

    @property
    def requests(self) -> Sequence[Share]: ...

    @property
    def memory(self) -> Limit: ...
    @property
    def lag(self) -> Limit: ...
    @property
    def refused_connections(self) -> int: ...
    @property
    def shed_requests(self) -> int: ...
    @property
    def closed_connections(self) -> int: ...


class Descriptors(Protocol):
    """The network's DescriptorReserve."""

    @property
    def refused_connections(self) -> int: ...
    @property
    def failed_connects(self) -> int: ...


class Network(Protocol):
    """The sockets of the data path."""

    @property
    def overload(self) -> Overload: ...
    @property
    def descriptors(self) -> Descriptors: ...


class Plugins(Protocol):
    """The registry of plugins."""

    @property
    def errors(self) -> Mapping[str, str]: ...


class Proxy(Protocol):
    """The app's ProxyService."""

    @property
    def network(self) -> Network: ...
    @property
    def registry(self) -> Plugins: ...
    @property
    def listeners(self) -> Mapping[str, Listener]: ...
    @property
    def snapshot(self) -> Snapshot | None: ...
    @property
    def started(self) -> float: ...
    @property
    def ready(self) -> bool: ...
    @property
    def draining(self) -> bool: ...


class Refusal(TypedDict):
    """A configuration that was refused. time: Unix time."""

    time: float
    source: str
    errors: list[str]


class Reloads(TypedDict):
    """How often a configuration was applied and refused."""

    applied: int
    refused: int


class XdsSubscription(Protocol):
    """What is counted of one kind of resource of a control plane."""

    successes: int
    rejected: int
    failures: int
    timeouts: int
    resources: int
    updated: float
    version: str

    @property
    def attempts(self) -> int: ...


class XdsCounts(Protocol):
    """What is counted of a control plane. subscriptions: by kind of resource."""

    @property
    def connected(self) -> bool: ...
    @property
    def streams(self) -> int: ...
    @property
    def subscriptions(self) -> Mapping[str, XdsSubscription]: ...


class Configuration(Protocol):
    """How configurations were taken."""

    @property
    def xds_counts(self) -> Mapping[str, XdsCounts]: ...

    @property
    def reloads(self) -> Reloads: ...
    @property
    def refused(self) -> Refusal | None: ...
    @property
    def applied(self) -> float: ...


class WorkerProcess(Protocol):
    """
    A worker process, as its supervisor knows it. state: ready once it takes connections; restarts: how often it was
    started again, -1 before the first start; lost: connections that went with it; total: connections that it has;
    given: with those that have ended; started: Unix time of its last start; why: how it ended, while there is none.
    """

    @property
    def number(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def answers(self) -> bool: ...
    @property
    def restarts(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def given(self) -> int: ...
    @property
    def started(self) -> float: ...
    @property
    def why(self) -> str: ...
    @property
    def cpu_seconds(self) -> float: ...
    @property
    def memory_bytes(self) -> int: ...


class Logs(Protocol):
    """The access logs of the process."""

    @property
    def counts(self) -> LogCounts: ...


class FilterMetrics(Protocol):
    """What filters of worker processes measure and collect, put together; see workers.filter_sums."""

    def values(self) -> Mapping[tuple[str, str, str], float]:
        """Return the gauges by listener, filter and name."""

    def values_by_worker(self) -> Mapping[tuple[str, str, str, str], float]:
        """Return those that have no sum, with the number of the worker in front."""

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client's collectors."""
