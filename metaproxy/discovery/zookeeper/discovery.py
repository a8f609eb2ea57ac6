"""
Endpoints from ZooKeeper.

Lives here: `Zookeeper`: its options, and whose session it uses. Does not: sessions (`session`), nodes (`folder`).
"""

from __future__ import annotations

from typing import Annotated

from twisted.internet.interfaces import IReactorThreads, IReactorTime
from zope.interface import implementer

from metaproxy.discovery.endpoint_list import EndpointList, Failed, KeepEmpty, Settle, Update, Where
from metaproxy.discovery.shared import Shared
from metaproxy.discovery.zookeeper.client import Client, Kazoo, check_installed
from metaproxy.discovery.zookeeper.folder import Folder, Mapping
from metaproxy.discovery.zookeeper.session import Session
from metaproxy.interfaces import IDiscovery
from metaproxy.support import addresses
from metaproxy.units import Option, Seconds, Secret

_TIMEOUT = Seconds(10.0)
_NO_SETTLE = Seconds(0.0)
_NO_PASSWORD = Secret()
_sessions: Shared[Session] = Shared()


@implementer(IDiscovery)
class Zookeeper:
    """
    Endpoints from the nodes of a ZooKeeper ensemble, watched.

    All clusters with the same servers, timeout and user share one session. When it is lost, the last endpoints stay;
    when it is back, everything is read again.
    """

    def __init__(
        self,
        target: Annotated[
            str,
            Option(
                "The path of a node whose children are servers: `/dubbo/INTERFACE/providers`, `/services/APPLICATION`,"
                " or nodes of another kind; or `/dubbo/mapping/INTERFACE`: the servers of the applications in it."
            ),
        ],
        clock: IReactorTime,
        servers: Annotated[list[str], Option("The ensemble's servers, each `host:port`.", least=1, most=32)],
        where: Where = None,
        keep_empty: KeepEmpty = False,
        settle: Settle = _NO_SETTLE,
        services: Annotated[str, Option("Where applications are registered, for a mapping.")] = "/services",
        timeout: Annotated[
            Seconds,
            Option("Of the session. A server that is silent for it is left for another.", least="1s", most="5m"),
        ] = _TIMEOUT,
        user: Annotated[str, Option("Log in as this user, by the scheme `digest`.")] = "",
        password: Annotated[Secret, Option("With which password.")] = _NO_PASSWORD,
    ) -> None:
        check_installed()
        self._path, self._services = _path("target", target), _path("services", services)
        for one in servers:
            if addresses.parse(one).port == 0:
                raise ValueError(f"servers: {one!r} is not an address; write host:port")
        self._clock = clock
        self._servers = tuple(servers)
        self._timeout = timeout
        self._login = user, password
        self._endpoints = EndpointList(clock, where, keep_empty, settle)
        self._nodes: Folder | Mapping | None = None
        self._session: Session | None = None

    @property
    def problem(self) -> str:
        return self._endpoints.problem

    @property
    def _key(self) -> object:
        return self._servers, self._timeout, self._login

    def client(self) -> Client:
        """Return a client of the ensemble that is not open."""
        assert IReactorThreads.providedBy(self._clock)
        return Kazoo(self._clock, self._servers, self._timeout, *self._login)

    def start(self, update: Update, failed: Failed) -> None:
        self._endpoints.start(update, failed)
        self._session = session = _sessions.take(self._clock, self._key, self._make)
        session.join(self, self._endpoints.away)
        parts = self._path.split("/")
        if len(parts) > 2 and parts[-2] == "mapping":
            self._nodes = Mapping(session, self._path, self._services, self._changed, self._unreadable)
        else:
            self._nodes = Folder(session, self._path, self._changed, self._unreadable)

    def stop(self) -> None:
        self._endpoints.stop()
        if self._session is None:
            return
        if self._nodes is not None:
            self._nodes.stop()
        self._session.leave(self)
        self._session = self._nodes = None
        _sessions.release(self._clock, self._key)

    def _make(self) -> Session:
        return Session(self._clock, self.client, ",".join(self._servers))

    def _changed(self) -> None:
        if self._nodes is not None:
            self._endpoints.found(self._nodes.instances())

    def _unreadable(self, text: str) -> None:
        self._endpoints.failed(f"zookeeper: {text}")


def _path(option: str, text: str) -> str:
    if not text.startswith("/") or "//" in text or "\0" in text:
        example = "/dubbo/org.example.Demo/providers"
        raise ValueError(f"{option}: {text!r} is not the path of a node; write one such as {example}")
    return text.rstrip("/") or "/"
