"""
Endpoints from an xDS server, whatever the cluster's other keys come from.

Lives here: `Eds`. Does not: servers and what they say (`xds`, which is handed to it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Protocol

from zope.interface import implementer

from metaproxy.interfaces import IDiscovery
from metaproxy.units import Option

Update = Callable[[Sequence[Mapping[str, object]]], None]


class EndpointSource(Protocol):
    """The xDS servers of the configuration in force."""

    def watch_endpoints(
        self, server: str, name: str, update: Update, failed: Callable[[str], None]
    ) -> Callable[[], None]:
        """
        Call `update` with the endpoints of a name, now if they are there and whenever they change, and `failed` when
        they don't come in time. server: its name, '' for the only one. Return what ends it.
        """


@implementer(IDiscovery)
class Eds:
    """
    Endpoints from a server of `xds:`.

    While the server is away the last ones stay. A change of endpoints is no change of the configuration.
    """

    def __init__(
        self,
        target: Annotated[str, Option("The name of the endpoints at the server; Envoy's `service_name` of a cluster.")],
        server: Annotated[
            str, Option("The `name` of the server of `xds:` that has them.", default="the first with `ads`")
        ] = "",
        xds: EndpointSource | None = None,
    ) -> None:
        if not target:
            raise ValueError("an empty name; write the name of the endpoints at the server")
        self._name = target
        self._server = server
        self._xds = xds
        self._stop: Callable[[], None] | None = None

    def start(self, update: Update, failed: Callable[[str], None]) -> None:
        if self._xds is None:
            failed(f"no server to ask for {self._name!r}; write xds: [{{server: HOST:PORT}}]")
        else:
            self._stop = self._xds.watch_endpoints(self._server, self._name, update, failed)

    def stop(self) -> None:
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()
