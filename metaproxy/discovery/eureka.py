"""
Endpoints from a Eureka server.

Lives here: `Eureka`: its options, and whose registry it uses. Does not: the registry, which clusters share
(`eureka_registry`).
"""

from __future__ import annotations

from typing import Annotated

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from metaproxy.discovery.endpoint_list import EndpointList, Failed, KeepEmpty, Settle, Update, Where
from metaproxy.discovery.eureka_registry import Entry, Registry, read_instance
from metaproxy.discovery.http_registry import NO_SECRET, Calls, Password, Servers, Url, Urls, User, basic, urls_of
from metaproxy.discovery.instances import Instance
from metaproxy.discovery.registry_tls import FILES, RegistryCalls, TlsOption, tls_of
from metaproxy.discovery.shared import Shared
from metaproxy.interfaces import IDiscovery
from metaproxy.units import Option, Seconds

_REFRESH = Seconds(5.0)
_SETTLE = Seconds(30.0)
_registries: Shared[Registry] = Shared()


@implementer(IDiscovery)
class Eureka:
    """
    Endpoints from the instances of an application.

    Clusters with the same servers share one copy of the registry: it is read whole once, and then what has changed.
    """

    files = FILES
    """The options that name files."""

    def __init__(
        self,
        target: Annotated[str, Option("The name of the application; capitals don't matter.", least=1)],
        clock: IReactorTime,
        server: Url = "",
        servers: Urls = None,
        where: Where = None,
        keep_empty: KeepEmpty = False,
        settle: Settle = _SETTLE,
        secure: Annotated[bool, Option("Whether the secure port is used, in the place of the other.")] = False,
        refresh: Annotated[
            Seconds, Option("Time between two questions for what has changed.", least="100ms")
        ] = _REFRESH,
        user: User = "",
        password: Password = NO_SECRET,
        tls: TlsOption = None,
    ) -> None:
        self._urls = urls_of(server, servers)
        self._clock = clock
        self._tls = tls_of(tls)
        self._name = target.upper()
        self._secure = secure
        self._refresh = refresh
        self._login = user, password
        self._endpoints = EndpointList(clock, where, keep_empty, settle)
        self._registry: Registry | None = None

    @property
    def problem(self) -> str:
        return self._endpoints.problem

    @property
    def _key(self) -> object:
        return self._urls, self._login, self._refresh, self._tls and (self._tls.paths, self._tls.server_name)

    def calls(self) -> Calls:
        """Return what asks over HTTP."""
        return RegistryCalls(self._clock, self._tls)

    def start(self, update: Update, failed: Failed) -> None:
        self._endpoints.start(update, failed)
        self._registry = _registries.take(self._clock, self._key, self._make)
        self._registry.join(self._name, self, self._changed, self._endpoints.away)

    def stop(self) -> None:
        self._endpoints.stop()
        if self._registry is not None:
            self._registry.leave(self._name, self)
            self._registry = None
            _registries.release(self._clock, self._key)

    def _make(self) -> Registry:
        return Registry(self._clock, Servers("eureka", self._urls, self.calls(), basic(*self._login)), self._refresh)

    def _changed(self, entries: list[Entry]) -> None:
        instances: list[Instance] = []
        for one in entries:
            try:
                instances.append(read_instance(one, self._secure))
            except ValueError as error:
                self._endpoints.failed(f"eureka: {self._name}: {error}")
        self._endpoints.found(instances)
