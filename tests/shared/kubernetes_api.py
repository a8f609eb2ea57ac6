"""
A Kubernetes API server that tests hold in their hands.

Lives here: `FakeApi`, in the place of an `Api`, which answers when a test says so; `FakeCluster`, one of many
kinds; `Objects`, a sink that keeps all.
Does not: assertions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred, fail, succeed

from metaproxy.kubernetes.api import ApiError, Page
from metaproxy.kubernetes.resources import Key, Object, Resource, Scope

THINGS = Resource("test.dev", "v1", "things", "Thing")


def thing(name: str, version: int, **spec: object) -> dict[str, object]:
    """An object of the namespace `shop`."""
    return {"metadata": {"namespace": "shop", "name": name, "resourceVersion": str(version)}, "spec": spec}


def slice_of(
    service: str, *addresses: str, name: str = "", version: int = 1, port: int = 20880, **more: object
) -> dict[str, object]:
    """An EndpointSlice with one port, `tcp-dubbo`, and endpoints that are ready."""
    labels = {"kubernetes.io/service-name": service}
    return {
        "metadata": {"namespace": "shop", "name": name or service, "resourceVersion": str(version), "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "tcp-dubbo", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        **more,
    }


class FakeApi:
    """
    asked: what it was asked for, oldest first: ("page", rest) or ("watch", version). The last question waits for its
    answer: `page`, `event`, `end`, `refuse`.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self._page: Deferred[Page] | None = None
        self._watch: Deferred[None] | None = None
        self._received: Callable[[bytes], None] | None = None
        self.cancelled = 0

    # -- what is asked of an Api

    def page(self, scope: Scope, rest: str = "") -> Deferred[Page]:
        self.asked.append(("page", rest))
        self._page = Deferred(self._count)
        return self._page

    def watch(self, scope: Scope, version: str, seconds: float, received: Callable[[bytes], None]) -> Deferred[None]:
        self.asked.append(("watch", version))
        self._received = received
        self._watch = Deferred(self._count)
        return self._watch

    def _count(self, _: object) -> None:
        self.cancelled += 1

    # -- what the test answers

    def answer(self, version: int, *found: Object, rest: str = "", size: int = 100) -> None:
        """A page of a list."""
        assert self._page is not None
        waiting, self._page = self._page, None
        waiting.callback(Page(list(found), str(version), rest, size))

    def event(self, kind: str, found: Object) -> None:
        self.bytes(json.dumps({"type": kind, "object": found}).encode() + b"\n")

    def bytes(self, data: bytes) -> None:
        """Pieces of lines. What the receiver raises ends the watch, as it ends a real one."""
        assert self._received is not None
        try:
            self._received(data)
        except Exception as error:
            self.refuse(str(error))

    def bookmark(self, version: int) -> None:
        self.event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})

    def end(self) -> None:
        """The time of a watch is over."""
        assert self._watch is not None
        waiting, self._watch = self._watch, None
        waiting.callback(None)

    def refuse(self, why: str = "away", status: int = 0, wait: float = 0.0) -> None:
        """The question that waits fails."""
        error = ApiError(why, status, wait)
        page, self._page, watch, self._watch = self._page, None, self._watch, None
        if page is not None:
            page.errback(error)
        elif watch is not None:
            watch.errback(error)


class Objects:
    """A sink: objects by key, and what happened, oldest first."""

    def __init__(self) -> None:
        self.found: dict[Key, Mapping[str, object]] = {}
        self.events: list[str] = []
        self.failures: list[str] = []

    def put(self, key: Key, found: Object) -> None:
        self.found[key] = found
        self.events.append(f"put {key}")

    def remove(self, key: Key) -> None:
        del self.found[key]
        self.events.append(f"remove {key}")

    def synced(self) -> None:
        self.events.append("synced")

    def failed(self, why: str) -> None:
        self.failures.append(why)

    def absent(self, why: str) -> None:
        self.failures.append(why)
        self.events.append("absent")

    def forbidden(self, why: str) -> None:
        self.failures.append(why)
        self.events.append("forbidden")


class FakeCluster:
    """
    An API of many kinds, in the place of an `Api`: lists are answered at once, watches stay open.

    objects: what there is by the plural of its kind. absent: kinds that the server does not know; forbidden: those that
    may not be read. away: whether no list is answered. written: statuses.
    """

    def __init__(self) -> None:
        self.objects: dict[str, list[Object]] = {}
        self.absent: set[str] = set()
        self.forbidden: set[str] = set()
        self.scopes: list[Scope] = []
        self.written: list[tuple[str, Key, Mapping[str, object]]] = []
        self.closed = self.away = False
        self._received: dict[str, Callable[[bytes], None]] = {}
        self._watches: dict[str, Deferred[None]] = {}

    def page(self, scope: Scope, rest: str = "") -> Deferred[Page]:
        self.scopes.append(scope)
        if scope.resource.plural in self.absent:
            return fail(ApiError("not found", 404))
        if scope.resource.plural in self.forbidden:
            return fail(ApiError("403 forbidden", 403))
        if self.away:
            return fail(ApiError("away"))
        return succeed(Page(self.objects.get(scope.resource.plural, []), "1", "", 100))

    def watch(self, scope: Scope, version: str, seconds: float, received: Callable[[bytes], None]) -> Deferred[None]:
        self._received[scope.resource.plural] = received
        waiting: Deferred[None] = Deferred()
        self._watches[scope.resource.plural] = waiting
        return waiting

    def apply_status(
        self, resource: Resource, key: Key, status: Mapping[str, object], manager: str
    ) -> Deferred[Object]:
        self.written.append((resource.plural, key, status))
        return succeed({})

    def close(self) -> None:
        self.closed = True

    def event(self, plural: str, kind: str, found: Object) -> None:
        self._received[plural](json.dumps({"type": kind, "object": found}).encode() + b"\n")

    def refuse(self, plural: str, status: int = 0) -> None:
        """The watch of a kind fails."""
        self._watches[plural].errback(ApiError("away", status))
