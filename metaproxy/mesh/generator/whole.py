"""
All that one proxy gets, put together of what was made of each service, without a look at what did not change.

Lives here: `Whole`. Does not: making anything (`generator`).
"""

from __future__ import annotations

from google.protobuf.message import Message

from metaproxy.envoy.resources import Resources
from metaproxy.mesh.generator.listeners import Made

KINDS = ("listeners", "clusters", "endpoints", "routes")

Part = tuple[str, str]
"""A maker, and of what: a part of what a node gets."""
Claims = dict[str, dict[Part, Message]]
"""Name -> the messages of this name, by what they are of: of several the first part's counts."""


class Whole:
    """stale: the parts that may have changed since they were put."""

    def __init__(self) -> None:
        self.stale: set[Part] = set()
        self._parts: dict[Part, Made] = {}
        self._listeners: set[str] = set()
        self._clusters: set[str] = set()
        self._claims: dict[str, Claims] = {kind: {} for kind in KINDS}
        self._messages: dict[str, dict[str, Message]] = {kind: {} for kind in KINDS}

    def put(self, part: Part, made: Made | None) -> None:
        """Have what was made of a part now, None where there is nothing any more."""
        before = self._parts.pop(part, None) or Made()
        now = made.keeping(before) if made is not None else Made()
        if made is not None:
            self._parts[part] = now
        for kind in KINDS:
            old, new = before.of(kind), now.of(kind)
            for name in {**old, **new}:
                if old.get(name) is not new.get(name):
                    self._claim(kind, name, part, new.get(name))
        # Routes and endpoints reach a proxy within its listeners and clusters.
        self._listeners.update(before.listeners, now.listeners)
        self._clusters.update(before.clusters, now.clusters)

    def take_changed(self) -> tuple[set[str], set[str]]:
        """Return the names of listeners and clusters that may have changed since this was asked the last time."""
        changed = self._listeners, self._clusters
        self._listeners, self._clusters = set(), set()
        return changed

    def _claim(self, kind: str, name: str, part: Part, message: Message | None) -> None:
        claims = self._claims[kind].setdefault(name, {})
        if message is None:
            claims.pop(part, None)
        else:
            claims[part] = message
        if claims:
            self._messages[kind][name] = claims[min(claims)]
        else:
            del self._claims[kind][name]
            self._messages[kind].pop(name, None)

    def resources(self) -> Resources:
        """Return all of it."""
        return Resources(**{kind: dict(messages) for kind, messages in self._messages.items()})
