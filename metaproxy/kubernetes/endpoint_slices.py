"""
EndpointSlices: where the pods of a service can be reached.

Lives here: `Slice` and `read`, what of an EndpointSlice matters; `endpoints`, those of several slices; `Slices`, the
slices of a namespace by service, which share one watch. Does not: asking for them (`watch`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal, NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metaproxy.kubernetes.resources import Key, Object, Resource, items, mapping, text

ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
SERVICE = "kubernetes.io/service-name"
"""The label that names a slice's service."""

Family = Literal["auto", "v4", "v6", "all"]


class Target(NamedTuple):
    """An endpoint. address: an IP address; serving: whether it answers, though it is about to end."""

    address: str
    ready: bool
    serving: bool
    zone: str


class Slice(NamedTuple):
    """Some endpoints of a service, of one family. ports: name -> number; "" is a name."""

    service: str
    family: str
    ports: dict[str, int]
    targets: tuple[Target, ...]


def read(found: Object) -> Slice | None:
    """Return what matters of an EndpointSlice; None when no service or no IP address is in it."""
    service = text(mapping(mapping(found.get("metadata")).get("labels")).get(SERVICE))
    family = {"IPv4": "v4", "IPv6": "v6"}.get(text(found.get("addressType")))
    if not service or family is None:
        return None
    ports = {
        text(port.get("name")): number
        for port in map(mapping, items(found.get("ports")))
        if isinstance(number := port.get("port"), int) and text(port.get("protocol")) in ("", "TCP")
    }
    return Slice(service, family, ports, tuple(_targets(found)))


def _targets(found: Object) -> Iterator[Target]:
    for each in map(mapping, items(found.get("endpoints"))):
        conditions, addresses = mapping(each.get("conditions")), items(each.get("addresses"))
        ready = conditions.get("ready") is not False  # absent means yes
        serving = conditions.get("serving")
        serving = ready if serving is None else serving is True
        if addresses and isinstance(addresses[0], str):  # those behind the first mean the same endpoint
            yield Target(addresses[0], ready, serving, text(each.get("zone")))


class NoSuchPort(LookupError):
    """No slice has that port. The text names those that there are."""


def endpoints(slices: Collection[Slice], port: str, family: Family = "auto") -> list[dict[str, object]]:
    """
    Return the endpoints of a service as a configuration has them, sorted. port: a name or a number; "" for the only
    one. Those that are ready; when there is none, those that still serve while they end. Raises NoSuchPort.
    """
    if slices and not any(_port(one, port) for one in slices):
        names = sorted({f"{name or 'no name'} ({number})" for one in slices for name, number in one.ports.items()})
        asked = f"no port {port!r}" if port else "no single port; name one"
        raise NoSuchPort(f"{asked}: it has {', '.join(names[:20]) or 'none'}")
    wanted = _family(slices, family)
    places = [
        (target.address, number, target)
        for one in slices
        if one.family in wanted and (number := _port(one, port))
        for target in one.targets
    ]
    usable = [place for place in places if place[2].ready] or [place for place in places if place[2].serving]
    found: dict[str, dict[str, object]] = {}
    for address, number, target in sorted(usable):
        place = f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
        found[place] = {"address": place, **({"zone": target.zone} if target.zone else {})}
    return list(found.values())


def _port(one: Slice, port: str) -> int:
    """Return the number of a port in a slice; 0 when it has none."""
    if port in one.ports:
        return one.ports[port]
    if port.isascii() and port.isdecimal():
        return int(port) if int(port) in one.ports.values() else 0
    return next(iter(one.ports.values())) if not port and len(one.ports) == 1 else 0


def _family(slices: Collection[Slice], family: Family) -> Collection[str]:
    """`auto`: each pod of a dual-stack service is in a slice of either family, and is to be used once."""
    if family != "auto":
        return ("v4", "v6") if family == "all" else (family,)
    return ("v4",) if any(one.family == "v4" and one.targets for one in slices) else ("v6",)


class Listener(NamedTuple):
    """changed(slices): the slices of its service, all of them, whenever one changed; failed(text): no answer."""

    changed: Callable[[Sequence[Slice]], None]
    failed: Callable[[str], None]


class Slices:
    """
    The slices of a namespace. It is the sink of a Watch; a change costs what the service has, not the namespace.

    Several changes of a turn of the reactor are reported as one.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._services: dict[str, dict[Key, Slice]] = {}
        self._service_of: dict[Key, str] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._synced = False
        self._changed: set[str] = set()
        self._soon: IDelayedCall | None = None

    # -- those who listen

    def add(self, service: str, listener: Listener) -> None:
        """Report what is known of a service, when there is something, and every change."""
        self._listeners.setdefault(service, []).append(listener)
        if self._synced:
            listener.changed(self.of(service))

    def discard(self, service: str, listener: Listener) -> None:
        """Report no more."""
        listeners = self._listeners.get(service, [])
        if listener in listeners:
            listeners.remove(listener)
        if not listeners:
            self._listeners.pop(service, None)

    def of(self, service: str) -> list[Slice]:
        return list(self._services.get(service, {}).values())

    # -- the watch

    def put(self, key: Key, found: Object) -> None:
        one = read(found)
        before = self._service_of.get(key)
        if before is not None and (one is None or one.service != before):
            self.remove(key)
        if one is None:
            return
        self._service_of[key] = one.service
        slices = self._services.setdefault(one.service, {})
        if slices.get(key) != one:  # not for what is no concern of ours, such as annotations
            slices[key] = one
            self._note(one.service)

    def remove(self, key: Key) -> None:
        service = self._service_of.pop(key, None)
        if service is None:
            return
        slices = self._services[service]
        del slices[key]
        if not slices:
            del self._services[service]
        self._note(service)

    def synced(self) -> None:
        """Before this, what is there is only a part of it."""
        if not self._synced:
            self._synced = True
            for service in list(self._listeners):
                self._note(service)

    def failed(self, why: str) -> None:
        for listeners in list(self._listeners.values()):
            for listener in list(listeners):
                listener.failed(why)

    def absent(self, why: str) -> None:
        self.failed(why)

    def forbidden(self, why: str) -> None:
        self.failed(why)

    def _note(self, service: str) -> None:
        if self._synced and service in self._listeners:
            self._changed.add(service)
            if self._soon is None:
                self._soon = self._clock.callLater(0, self._report)

    def _report(self) -> None:
        self._soon = None
        changed, self._changed = self._changed, set()
        for service in sorted(changed):
            slices = self.of(service)
            for listener in list(self._listeners.get(service, ())):
                listener.changed(slices)

    def close(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
