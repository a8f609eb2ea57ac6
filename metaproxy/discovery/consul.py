"""
Endpoints from Consul's health API, by blocking queries.

Lives here: `Consul`, what an agent's answer means, and how many queries wait at a time. Does not: HTTP
(`http_registry`), what is made of the instances (`endpoint_list`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar
from urllib.parse import quote, urlencode

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from metaproxy.clients.http import Answer, check_url
from metaproxy.discovery.endpoint_list import EndpointList, Failed, KeepEmpty, Settle, Update, Where
from metaproxy.discovery.http_registry import NO_SECRET, PATIENCE, Calls, RegistryError, Rounds, Servers, json_of
from metaproxy.discovery.instances import MAX_VALUE, Instance, address_of, clean, metadata_of, weight_of
from metaproxy.discovery.registry_tls import FILES, RegistryCalls, TlsOption, tls_of
from metaproxy.discovery.shared import Shared
from metaproxy.interfaces import IDiscovery
from metaproxy.units import Option, Seconds, Secret

T = TypeVar("T")

AT_ONCE = 8
"""Queries that don't wait, at a time."""
CYCLE = 10.0
"""Seconds in which each service has its turn, where there are more of them than connections."""
LEAST_WAIT = 1.0
PAUSE = 0.1
"""Seconds between two answers for a service, however often it changes."""
MAX_TAGS = 32
_WAIT = Seconds(60.0)
_NO_SETTLE = Seconds(0.0)
_INDEX = "x-consul-index"


class _Session:
    """What all services of one agent share: the connections, and the right to wait on them."""

    def __init__(self, calls: Calls, url: str, token: str, connections: int) -> None:
        headers = [("x-consul-token", token)] if token else []
        self.servers = Servers("consul", [url], calls, headers)
        self.services = 0
        self.connections = connections
        self._waiting = DeferredSemaphore(connections)
        self._asking = DeferredSemaphore(AT_ONCE)

    def wait(self, wanted: float) -> float:
        """Return how many seconds a query may wait for a change."""
        if self.services <= self.connections:
            return wanted
        return min(wanted, max(LEAST_WAIT, CYCLE * self.connections / self.services))

    def when_free(self, is_blocking: bool, ask: Callable[[], Deferred[T]]) -> Deferred[T]:
        return (self._waiting if is_blocking else self._asking).run(ask)

    def close(self) -> None:
        self.servers.close()


_sessions: Shared[_Session] = Shared()


@implementer(IDiscovery)
class Consul:
    """
    Endpoints from the instances of a service, as an agent's health API has them.

    Each service has a query that waits at the agent until something changes. Clusters with the same agent share the
    connections; where there are more services than `connections`, they take turns.
    """

    files = FILES
    """The options that name files."""

    def __init__(
        self,
        target: Annotated[str, Option("The name of the service.", least=1)],
        clock: IReactorTime,
        server: Annotated[str, Option("The URL of an agent, such as http://127.0.0.1:8500.")],
        where: Where = None,
        keep_empty: KeepEmpty = False,
        settle: Settle = _NO_SETTLE,
        tags: Annotated[list[str] | None, Option("Only instances with all of these tags.", default="all")] = None,
        warning: Annotated[bool, Option("Whether instances are used whose checks warn.")] = True,
        datacenter: Annotated[str, Option("Which one.", default="the agent's")] = "",
        namespace: Annotated[str, Option("Which one, of Consul Enterprise.", default="the token's")] = "",
        token: Annotated[Secret, Option("An ACL token that may read the service and its nodes.")] = NO_SECRET,
        tls: TlsOption = None,
        wait: Annotated[Seconds, Option("Time that a query waits for a change.", least="1s", most="10m")] = _WAIT,
        connections: Annotated[
            int,
            Option("Queries that wait at a time. An agent allows 200 connections of one address.", least=1, most=1000),
        ] = 64,
    ) -> None:
        self._url = check_url(server).rstrip("/")
        self._clock = clock
        self._tls = tls_of(tls)
        self._token = token
        self._connections = connections
        self._wait = wait
        self._warning = warning
        self._path = f"/v1/health/service/{quote(target, safe='')}"
        given = [("dc", datacenter), ("ns", namespace), *(("tag", tag) for tag in tags or ())]
        self._query = [(key, value) for key, value in given if value]
        self._index = 0
        self._endpoints = EndpointList(clock, where, keep_empty, settle)
        self._rounds = Rounds(clock, self._ask, self._endpoints.away)
        self._session: _Session | None = None

    @property
    def problem(self) -> str:
        return self._endpoints.problem

    @property
    def _key(self) -> object:
        return self._url, self._token, self._connections, self._tls and (self._tls.paths, self._tls.server_name)

    def calls(self) -> Calls:
        """Return what asks over HTTP."""
        return RegistryCalls(self._clock, self._tls)

    def start(self, update: Update, failed: Failed) -> None:
        self._endpoints.start(update, failed)
        self._session = _sessions.take(self._clock, self._key, self._make)
        self._session.services += 1
        self._rounds.start()

    def stop(self) -> None:
        self._endpoints.stop()
        if self._session is not None:
            self._rounds.stop()
            self._session.services -= 1
            self._session = None
            _sessions.release(self._clock, self._key)

    def _make(self) -> _Session:
        return _Session(self.calls(), self._url, self._token, self._connections)

    def _ask(self) -> Deferred[float]:
        session = self._session
        assert session is not None

        def ask() -> Deferred[Answer]:
            seconds, query = 0.0, self._query
            if self._index:
                seconds = session.wait(self._wait)
                query = [*query, ("index", str(self._index)), ("wait", f"{seconds * 1000:.0f}ms")]
            path = f"{self._path}?{urlencode(query)}" if query else self._path
            # An agent adds a sixteenth of the wait at random.
            return session.servers.ask("GET", path, seconds * 1.1 + PATIENCE)

        return session.when_free(bool(self._index), ask).addCallbacks(self._answered, self._wrong)

    def _answered(self, answer: Answer) -> float:
        headers = dict(answer.headers)
        if headers.get("x-consul-results-filtered-by-acls") == "true":
            raise RegistryError(f"consul {self._url}: the token may not read all of {self._path}")
        found = json_of(answer)
        if not isinstance(found, list):
            raise RegistryError(f"consul {self._url}: an answer that is no list")
        index = headers.get(_INDEX, "")
        number = int(index) if index.isascii() and index.isdecimal() and len(index) < 20 else 0
        before, self._index = self._index, number
        if number != before or not number:
            self._endpoints.found(self._instances(found))
        if number < before:
            self._index = 0  # as Consul's documentation asks: the state was restored from an older one
        return PAUSE if self._index else LEAST_WAIT

    def _wrong(self, why: Failure) -> Failure:
        self._index = 0
        return why

    def _instances(self, found: list[object]) -> list[Instance]:
        instances: list[Instance] = []
        for one in found:
            try:
                instances.append(read_instance(one, self._warning))
            except ValueError as error:
                self._endpoints.failed(f"consul: {self._path}: {error}")
        return instances


def read_instance(found: object, use_warning: bool = True) -> Instance:
    """An entry of the health API. Raises ValueError."""
    node, service, checks = (_part(found, name) for name in ("Node", "Service", "Checks"))
    if not isinstance(node, Mapping) or not isinstance(service, Mapping):
        raise ValueError("an instance without Node or Service")
    host = service.get("Address") or node.get("Address")
    if not isinstance(host, str):
        raise ValueError(f"instance {service.get('ID')!r:.100} has no Address")
    states = [one.get("Status") for one in checks if isinstance(one, Mapping)] if isinstance(checks, list) else []
    is_passing = all(state == "passing" for state in states)
    weights = service.get("Weights")
    weight = weight_of(weights.get("Passing" if is_passing else "Warning")) if isinstance(weights, Mapping) else 1
    metadata = {**_tags(service.get("Tags")), **metadata_of(service.get("Meta"))}
    for key, place, name in (("node", node, "Node"), ("datacenter", node, "Datacenter")):
        value = place.get(name)
        if isinstance(value, str):
            metadata.setdefault(key, value)
    return Instance(
        address_of(host, service.get("Port")),
        weight,
        metadata_of(metadata),
        is_passing or (use_warning and all(state in ("passing", "warning") for state in states)),
        _zone(service, node, metadata),
    )


def _part(found: object, name: str) -> object:
    return found.get(name) if isinstance(found, Mapping) else None


def _tags(tags: object) -> dict[str, str]:
    """`key=value` is that; any other tag is `true`."""
    if not isinstance(tags, list):
        return {}
    texts = [tag for tag in tags[:MAX_TAGS] if isinstance(tag, str)]
    return {key: value if equals else "true" for key, equals, value in (tag.partition("=") for tag in texts) if key}


def _zone(service: Mapping[str, object], node: Mapping[str, object], metadata: Mapping[str, str]) -> str:
    for place in (service.get("Locality"), node.get("Locality"), metadata, node.get("Meta")):
        zone = (place.get("Zone") or place.get("zone")) if isinstance(place, Mapping) else None
        if isinstance(zone, str) and zone:
            return clean(zone)[:MAX_VALUE]
    return ""
