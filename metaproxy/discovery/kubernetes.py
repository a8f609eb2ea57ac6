"""
Endpoints of a Kubernetes service, from its EndpointSlices.

Lives here: `Kubernetes`, and the watches that all clusters of a namespace share. Does not: what a slice says
(`kubernetes.endpoint_slices`), lists and watches (`kubernetes.watch`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from metaproxy.discovery.shared import Shared
from metaproxy.interfaces import IDiscovery
from metaproxy.kubernetes import endpoint_slices
from metaproxy.kubernetes.api import Api
from metaproxy.kubernetes.credentials import from_kubeconfig, source
from metaproxy.kubernetes.endpoint_slices import ENDPOINT_SLICES, SERVICE, Family, Listener, NoSuchPort, Slice, Slices
from metaproxy.kubernetes.resources import Scope
from metaproxy.kubernetes.watch import Watch
from metaproxy.units import Option

Update = Callable[[Sequence[Mapping[str, object]]], None]

_TARGET = re.compile(r"(?P<namespace>[a-z0-9-]+)/(?P<service>[a-z0-9.-]+)(:(?P<port>[a-z0-9-]+))?")


class Place(NamedTuple):
    """What one watch is for."""

    kubeconfig: str
    context: str
    namespace: str


class Namespace:
    """The slices of a namespace, watched from the beginning to `close`."""

    def __init__(self, place: Place, clock: IReactorTime) -> None:
        self.slices = Slices(clock)
        self._api = Api(source(place.kubeconfig, place.context), clock)
        self._watch = Watch(self._api, Scope(ENDPOINT_SLICES, place.namespace, SERVICE), self.slices, clock)
        self._watch.start()

    def close(self) -> None:
        self._watch.stop()
        self.slices.close()
        self._api.close()


_NAMESPACES: Shared[Namespace] = Shared()


@implementer(IDiscovery)
class Kubernetes:
    """
    Endpoints of a Kubernetes service, from its EndpointSlices. Clusters of the same namespace share one watch.

    While the API server is away the last answer stays in force. Endpoints that are ready are used; when none is, those
    that still serve while they terminate.
    """

    files = ("kubeconfig",)
    """The options that name files."""

    def __init__(
        self,
        target: Annotated[
            str,
            Option("`namespace/service:port`: the port's name or number, as the pods have it; none for the only port."),
        ],
        clock: IReactorTime,
        kubeconfig: Annotated[str, Option("The path of a kubeconfig.", default="the pod's service account")] = "",
        context: Annotated[str, Option("A context of the kubeconfig.", default="its `current-context`")] = "",
        family: Annotated[
            Literal["auto", "v4", "v6", "all"],
            Option("Which addresses. A dual-stack service has each pod twice; `auto`: IPv4 where there is any."),
        ] = "auto",
    ) -> None:
        match = _TARGET.fullmatch(target)
        if match is None:
            raise ValueError(f"{target!r} is not namespace/service:port; write one such as shop/cart:tcp-dubbo")
        if family not in ("auto", "v4", "v6", "all"):
            raise ValueError(f"family: {family!r} is none of auto, v4, v6, all")
        if context and not kubeconfig:
            raise ValueError("context: is one of a kubeconfig; write `kubeconfig:`, too")
        if kubeconfig and Path(kubeconfig).exists():
            from_kubeconfig(Path(kubeconfig), context)  # for the errors; one that is not there yet is read when it is
        self._place = Place(kubeconfig, context, match["namespace"])
        self._service, self._port, self._family = match["service"], match["port"] or "", family
        self._clock = clock
        self._last: object = None
        self._update: Update | None = None
        self._failed: Callable[[str], None] | None = None
        self._listener = Listener(self._changed, self._wrong)
        self._namespace: Namespace | None = None

    def start(self, update: Update, failed: Callable[[str], None]) -> None:
        self._update, self._failed = update, failed
        self._namespace = _NAMESPACES.take(self._clock, self._place, lambda: Namespace(self._place, self._clock))
        self._namespace.slices.add(self._service, self._listener)

    def stop(self) -> None:
        self._update = self._failed = None
        namespace, self._namespace = self._namespace, None
        if namespace is not None:
            namespace.slices.discard(self._service, self._listener)
            _NAMESPACES.release(self._clock, self._place)

    def _changed(self, slices: Sequence[Slice]) -> None:
        family: Family = self._family
        try:
            found = endpoint_slices.endpoints(slices, self._port, family)
        except NoSuchPort as error:
            self._wrong(f"{self._place.namespace}/{self._service}: {error}")
            return
        if self._update is not None and found != self._last:
            self._last = found
            self._update(found)

    def _wrong(self, why: str) -> None:
        if self._failed is not None:
            self._failed(f"kubernetes: {why}")
