"""
A Kubernetes API server: objects of a mesh, and ConfigMaps whose entries are documents.

Lives here: `Kubernetes`. Does not: lists and watches (`metaproxy.kubernetes`), what a document holds (`documents`).

An object becomes a document of its own. Its label `metaproxy.io/version: NAME` says to which version it belongs, and
`metaproxy.io/group: NAME` to which group, as folders do elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from metaproxy.control.content import GROUPS, VERSIONS
from metaproxy.control.sources.roles import Receiver
from metaproxy.kubernetes.resources import Key, Object, Resource, Scope, mapping
from metaproxy.kubernetes.watch import Source, Watch
from metaproxy.mesh.kubernetes_source import resource_of
from metaproxy.mesh.objects.kinds import KINDS

GATHER = 0.05
"""Seconds in which changes are gathered."""
LABEL = "metaproxy.io"
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
RETURNED = "metaproxy-control-returned"
"""The ConfigMap that ends of rollouts are written to."""
_OTHERS = ("Endpoints", "ConfigMap", "Secret")
"""Kinds of a mesh that are not read here: what another one says, and what holds anything."""


class Writes(Source, Protocol):
    """What is asked of an API server."""

    def apply(self, resource: Resource, key: Key, found: Object, manager: str) -> Deferred[Object]: ...
    def close(self) -> Deferred[None] | None: ...


class Kubernetes:
    """namespace: where objects are read, "" for all; home: where ends of rollouts are written."""

    strict = False

    def __init__(
        self, api: Writes, clock: IReactorTime, namespace: str = "", selector: str = f"{LABEL}/control=true"
    ) -> None:
        self.where = f"kubernetes {namespace or 'all namespaces'}"
        self._api = api
        self._clock = clock
        self._home = namespace or "default"
        self._label = selector
        self._receiver: Receiver | None = None
        self._texts: dict[str, dict[Key, dict[str, bytes]]] = {}
        self._changed: dict[str, bytes | None] = {}  # since the last report
        self._listed = False  # whether documents were read once: without them nothing is served
        self._timer: IDelayedCall | None = None
        scopes = [Scope(resource_of(kind), namespace) for name, kind in KINDS.items() if name not in _OTHERS]
        scopes.append(Scope(CONFIG_MAPS, namespace, labels=selector))
        self._waiting = {scope.resource.label for scope in scopes}
        self._watches = [Watch(api, scope, _Sink(scope.resource, self), clock) for scope in scopes]

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        for watch in self._watches:
            watch.start()

    def stop(self) -> Deferred[None] | None:
        self._receiver = None
        for watch in self._watches:
            watch.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return self._api.close()

    def write(self, path: str, text: bytes | None) -> Deferred[None]:
        """An entry of one ConfigMap; the folder of the path is its group."""
        name, value = path.replace("/", "."), text.decode() if text is not None else ""
        found = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": RETURNED, "namespace": self._home, "labels": _labels(self._label)},
            "data": {name: value} if text is not None else {},
        }
        done = self._api.apply(CONFIG_MAPS, Key(self._home, RETURNED), found, "metaproxy-control")
        return done.addCallbacks(lambda _: None, _as_os_error)

    # -- from the watches

    def put(self, resource: Resource, key: Key, found: Object) -> None:
        made = _config_map(key, found) if resource == CONFIG_MAPS else _object(resource, key, found)
        known = self._texts.setdefault(resource.label, {})
        before = known.get(key, {})
        known[key] = dict(made)
        if known[key] != before:
            self._note(before, known[key])

    def remove(self, resource: Resource, key: Key) -> None:
        before = self._texts.get(resource.label, {}).pop(key, None)
        if before is not None:
            self._note(before, {})

    def _note(self, before: Mapping[str, bytes], now: Mapping[str, bytes]) -> None:
        """An object is other texts than before."""
        self._changed.update({path: None for path in before if path not in now})
        self._changed.update({path: text for path, text in now.items() if before.get(path) != text})
        self._soon()

    def synced(self, resource: Resource) -> None:
        """All of a kind is known; what was lost is said to be there again by the next update."""
        self._listed = self._listed or resource == CONFIG_MAPS
        self._waiting.discard(resource.label)
        self._soon()

    def failed(self, resource: Resource, why: str) -> None:
        """The server can't be asked. What is known stays; before all was known nothing is served."""
        if self._receiver is not None and resource == CONFIG_MAPS:
            self._receiver.failed(f"{resource.label}: {why}")

    def absent(self, resource: Resource, why: str) -> None:
        """A kind that is not there counts as one without objects; it is asked for again."""
        self._waiting.discard(resource.label)
        self._soon()
        self.failed(resource, why)

    def forbidden(self, resource: Resource, why: str) -> None:
        """
        A kind that may not be read counts as one without objects, too, unless it is one that keeps callers out: until
        that is known nothing is served.
        """
        known = KINDS.get(resource.kind)
        if known is None or known.refused is None:
            self.absent(resource, why)
        elif resource.label in self._waiting and self._receiver is not None:
            self._receiver.failed(f"{why}; nothing is served until it is known which there are")

    def _soon(self) -> None:
        if self._timer is None and not self._waiting:
            self._timer = self._clock.callLater(GATHER, self._report)

    def _report(self) -> None:
        self._timer = None
        if self._receiver is None or not self._listed:
            return
        changed, self._changed = self._changed, {}
        self._receiver.update(changed)


class _Sink:
    """The sink of one kind's watch."""

    def __init__(self, resource: Resource, source: Kubernetes) -> None:
        self.put: Callable[[Key, Object], None] = partial(source.put, resource)
        self.remove: Callable[[Key], None] = partial(source.remove, resource)
        self.synced: Callable[[], None] = partial(source.synced, resource)
        self.failed: Callable[[str], None] = partial(source.failed, resource)
        self.absent: Callable[[str], None] = partial(source.absent, resource)
        self.forbidden: Callable[[str], None] = partial(source.forbidden, resource)


def _place(found: Object) -> str:
    """Return the folders that an object's labels stand for."""
    labels = mapping(mapping(found.get("metadata")).get("labels"))
    version, group = labels.get(f"{LABEL}/version"), labels.get(f"{LABEL}/group")
    return (f"{VERSIONS}/{version}/" if version else "") + (f"{GROUPS}/{group}/" if group else "")


def _object(resource: Resource, key: Key, found: Object) -> Iterable[tuple[str, bytes]]:
    """Yield an object as a document, without what changes although the object does not."""
    metadata = mapping(found.get("metadata"))
    kept = {name: metadata[name] for name in ("name", "namespace", "labels", "annotations") if name in metadata}
    slim = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": kept, "spec": found.get("spec")}
    yield f"{_place(found)}{resource.label}/{key}.json", json.dumps(slim, sort_keys=True).encode()


def _config_map(key: Key, found: Object) -> Iterable[tuple[str, bytes]]:
    """Yield the entries of a ConfigMap. A dot in the place of a folder's slash: `groups.edge.rollout.yaml`."""
    for name, text in mapping(found.get("data")).items():
        if key.name == RETURNED:
            *folders, stem, ending = name.split(".")
            yield "/".join([*folders, f"{stem}.{ending}"]), str(text).encode()
        else:
            yield f"{_place(found)}configmaps/{key}/{name}", str(text).encode()


def _labels(selector: str) -> dict[str, str]:
    """Return labels that an equality selector picks."""
    pairs = (one.partition("=") for one in selector.split(",") if "=" in one)
    return {key.strip(): value.strip("= ") for key, _, value in pairs}


def _as_os_error(failure: Failure) -> None:
    raise OSError(failure.getErrorMessage())
