"""
Endpoints from Nacos's naming service, by its HTTP API of version 1.

Lives here: `Nacos`, what its lists mean, and logging in. Does not: HTTP (`http_registry`), what is made of the
instances (`endpoint_list`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode

from twisted.internet.defer import Deferred, DeferredSemaphore, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from metaproxy.clients.http import Answer
from metaproxy.discovery.endpoint_list import EndpointList, Failed, KeepEmpty, Settle, Update, Where
from metaproxy.discovery.http_registry import (
    NO_SECRET,
    Calls,
    Password,
    RegistryError,
    Rounds,
    Servers,
    Url,
    Urls,
    User,
    json_of,
    urls_of,
)
from metaproxy.discovery.instances import Instance, address_of, metadata_of, weight_of
from metaproxy.discovery.registry_tls import FILES, RegistryCalls, TlsOption, tls_of
from metaproxy.discovery.shared import Shared
from metaproxy.interfaces import IDiscovery
from metaproxy.units import Option, Seconds

AT_ONCE = 8
"""Lists that are asked for at a time."""
SCALE = 100
"""Nacos's weights are fractions, 1.0 where none is written; ours are whole numbers."""
_REFRESH = Seconds(5.0)
_SETTLE = Seconds(30.0)
_API = "/v1/ns/instance/list"
_LOGIN = "/v1/auth/login"
_UNKNOWN = re.compile(r"status 404 (dom|service) not found")


class _Session:
    """What all services of one server share: the connections, and the token."""

    def __init__(self, servers: Servers, user: str, password: str) -> None:
        self.servers = servers
        self._login = user, password
        self._token = ""
        self._logging_in: list[Deferred[str]] = []
        self._asking = DeferredSemaphore(AT_ONCE)

    def list(self, query: Sequence[tuple[str, str]]) -> Deferred[Answer]:
        return self._asking.run(self._list, query)

    def _list(self, query: Sequence[tuple[str, str]]) -> Deferred[Answer]:
        def ask(token: str) -> Deferred[Answer]:
            given = [*query, ("accessToken", token)] if token else query
            return self.servers.ask("GET", f"{_API}?{urlencode(given)}")

        return self._logged_in().addCallback(ask).addErrback(self._forget)

    def _logged_in(self) -> Deferred[str]:
        user, password = self._login
        if not user or self._token:
            return succeed(self._token)
        answered: Deferred[str] = Deferred(lambda _: None)
        self._logging_in.append(answered)
        if len(self._logging_in) == 1:
            body = urlencode({"username": user, "password": password}).encode()
            headers = [("content-type", "application/x-www-form-urlencoded")]
            self.servers.ask("POST", _LOGIN, headers=headers, body=body).addCallback(_token).addBoth(self._taken)
        return answered

    def _taken(self, found: str | Failure) -> None:
        """Tell all who wait for the token."""
        waiting, self._logging_in = self._logging_in, []
        self._token = "" if isinstance(found, Failure) else found
        for one in waiting:
            if not one.called:  # else it was cancelled
                one.callback(found)

    def _forget(self, why: Failure) -> Failure:
        self._token = ""
        return why

    def close(self) -> None:
        self.servers.close()


def _token(answer: Answer) -> str:
    found = json_of(answer)
    token = found.get("accessToken") if isinstance(found, Mapping) else None
    if not isinstance(token, str) or not token:
        raise RegistryError("nacos: an answer to the login without a token")
    return token


_sessions: Shared[_Session] = Shared()


@implementer(IDiscovery)
class Nacos:
    """
    Endpoints from the instances of a service.

    Nacos is asked every `refresh`; clusters with the same servers and login share the connections, of which
    eight are used at a time.
    """

    files = FILES
    """The options that name files."""

    def __init__(
        self,
        target: Annotated[
            str,
            Option(
                "The name of the service. Dubbo's is `providers:INTERFACE:VERSION:GROUP`, or the application's.",
                least=1,
            ),
        ],
        clock: IReactorTime,
        server: Url = "",
        servers: Urls = None,
        where: Where = None,
        keep_empty: KeepEmpty = False,
        settle: Settle = _SETTLE,
        group: Annotated[str, Option("The group of the service.")] = "DEFAULT_GROUP",
        namespace: Annotated[str, Option("The id of its namespace.", default="public")] = "",
        nacos_clusters: Annotated[
            list[str] | None, Option("Clusters, as Nacos calls them, whose instances count.", default="all")
        ] = None,
        refresh: Annotated[Seconds, Option("Time between two questions.", least="100ms")] = _REFRESH,
        user: User = "",
        password: Password = NO_SECRET,
        tls: TlsOption = None,
    ) -> None:
        self._urls = urls_of(server, servers)
        self._clock = clock
        self._tls = tls_of(tls)
        self._refresh = refresh
        self._login = user, password
        self._name = target
        given = {
            "serviceName": target,
            "groupName": group,
            "namespaceId": namespace,
            "clusters": ",".join(nacos_clusters or ()),
            "healthyOnly": "false",
        }
        self._query = [(key, value) for key, value in given.items() if value]
        self._endpoints = EndpointList(clock, where, keep_empty, settle)
        self._rounds = Rounds(clock, self._ask, self._endpoints.away)
        self._session: _Session | None = None

    @property
    def problem(self) -> str:
        return self._endpoints.problem

    @property
    def _key(self) -> object:
        return self._urls, self._login, self._tls and (self._tls.paths, self._tls.server_name)

    def calls(self) -> Calls:
        """Return what asks over HTTP."""
        return RegistryCalls(self._clock, self._tls)

    def start(self, update: Update, failed: Failed) -> None:
        self._endpoints.start(update, failed)
        self._session = _sessions.take(self._clock, self._key, self._make)
        self._rounds.start()

    def stop(self) -> None:
        self._endpoints.stop()
        if self._session is not None:
            self._rounds.stop()
            self._session = None
            _sessions.release(self._clock, self._key)

    def _make(self) -> _Session:
        return _Session(Servers("nacos", self._urls, self.calls()), *self._login)

    def _ask(self) -> Deferred[float]:
        assert self._session is not None
        return self._session.list(self._query).addCallbacks(self._answered, self._unknown)

    def _unknown(self, why: Failure) -> float:
        """A service without instances is not known after a while: that is an answer. A wrong path is none."""
        error = why.check(RegistryError) and why.value
        if not isinstance(error, RegistryError) or error.status != 404 or not _UNKNOWN.search(str(error)):
            why.raiseException()
        self._endpoints.found([])
        return self._refresh

    def _answered(self, answer: Answer) -> float:
        found = json_of(answer)
        hosts = found.get("hosts") if isinstance(found, Mapping) else None
        if not isinstance(hosts, list):
            raise RegistryError(f"nacos: {self._name}: an answer without hosts")
        self._endpoints.found(self._instances(hosts))
        return self._refresh

    def _instances(self, hosts: list[object]) -> list[Instance]:
        instances: list[Instance] = []
        for one in hosts:
            try:
                instances.append(read_instance(one))
            except ValueError as error:
                self._endpoints.failed(f"nacos: {self._name}: {error}")
        return instances


def read_instance(found: object) -> Instance:
    """A host of a list. Raises ValueError."""
    host = found.get("ip") if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping) or not isinstance(host, str):
        raise ValueError("an instance without `ip`")
    metadata = metadata_of(found.get("metadata"))
    cluster = found.get("clusterName")
    if isinstance(cluster, str) and cluster:
        metadata.setdefault("cluster", cluster)
    weight = found.get("weight", 1.0)
    return Instance(
        address_of(host, found.get("port")),
        weight_of(weight * SCALE if isinstance(weight, (int, float)) else 0),
        metadata,
        all(found.get(key, True) is True for key in ("healthy", "valid", "enabled")),
        metadata.get("zone", ""),
    )
