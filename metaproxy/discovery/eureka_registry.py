"""
A copy of what a Eureka server has: read whole once, then kept in step by its deltas.

Lives here: `Registry`, `read_instance`. Does not: which of it a cluster takes (`eureka`), HTTP (`http_registry`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from metaproxy.clients.http import Answer
from metaproxy.discovery.http_registry import RegistryError, Rounds, Servers, json_of
from metaproxy.discovery.instances import Instance, address_of, metadata_of, weight_of

MOST = 100_000
"""Instances of all applications."""

Entry = Mapping[str, object]
Changed = Callable[[list[Entry]], None]
Failed = Callable[[str], None]


class Registry:
    """Applications by name, and of each its instances by id. refresh: seconds between two questions."""

    def __init__(self, clock: IReactorTime, servers: Servers, refresh: float) -> None:
        self._servers = servers
        self._refresh = refresh
        self._applications: dict[str, dict[str, Entry]] = {}
        self._is_whole = False
        self._has_read = False
        self._users: dict[str, dict[object, tuple[Changed, Failed]]] = {}
        self._rounds = Rounds(clock, self._round, self._failed)
        self._rounds.start()

    def close(self) -> None:
        self._rounds.stop()
        self._servers.close()

    # -- who uses it

    def join(self, name: str, user: object, changed: Changed, away: Failed) -> None:
        """name: of an application. changed: called with its instances, once they are known and when they change."""
        self._users.setdefault(name, {})[user] = changed, away
        if self._has_read:
            changed(self._instances(name))

    def leave(self, name: str, user: object) -> None:
        users = self._users[name]
        del users[user]
        if not users:
            del self._users[name]

    def _failed(self, text: str) -> None:
        self._is_whole = False  # it may come back as another one
        for users in list(self._users.values()):
            for _, away in list(users.values()):
                away(text)

    def _instances(self, name: str) -> list[Entry]:
        return list(self._applications.get(name, {}).values())

    def _report(self, names: set[str]) -> None:
        for name in names & self._users.keys():
            for changed, _ in list(self._users.get(name, {}).values()):
                changed(self._instances(name))

    # -- what it is made of

    def _round(self) -> Deferred[float]:
        if self._is_whole:
            return self._servers.ask("GET", "/apps/delta").addCallback(self._delta)
        return self._servers.ask("GET", "/apps").addCallback(self._whole)

    def _whole(self, answer: Answer) -> float:
        found = _applications(json_of(answer))
        applications: dict[str, dict[str, Entry]] = {}
        for number, (name, one) in enumerate(_entries(found)):
            if number == MOST:
                raise RegistryError(f"eureka: more than {MOST} instances")
            applications.setdefault(name, {})[_id(one)] = one
        self._applications = applications
        self._is_whole = self._has_read = True
        self._report(set(self._users))
        return self._refresh

    def _delta(self, answer: Answer) -> float:
        """Take what has changed. Where the server's sum of all states is another than ours, all is read again."""
        found = _applications(json_of(answer))
        touched: set[str] = set()
        for name, one in _entries(found):
            action, instances = one.get("actionType"), self._applications.setdefault(name, {})
            if action == "DELETED":
                instances.pop(_id(one), None)
            elif action in ("ADDED", "MODIFIED"):
                instances[_id(one)] = one
            touched.add(name)
        if found.get("apps__hashcode") != self._hash():
            self._is_whole = False
            return 0.0
        self._report(touched)
        return self._refresh

    def _hash(self) -> str:
        """How many instances are in each state, as Eureka writes it: `DOWN_1_UP_3_`."""
        states = Counter(str(one.get("status")) for each in self._applications.values() for one in each.values())
        return "".join(f"{state}_{count}_" for state, count in sorted(states.items()))


def _applications(found: object) -> Mapping[str, object]:
    if isinstance(found, Mapping) and isinstance(found.get("applications"), Mapping):
        inner: Mapping[str, object] = found["applications"]
        return inner
    raise RegistryError("eureka: an answer without applications")


def _entries(found: Mapping[str, object]) -> list[tuple[str, Entry]]:
    """Each instance with its application's name. Where there is one only, Eureka 1 writes no list about it."""
    entries: list[tuple[str, Entry]] = []
    for application in _several(found.get("application")):
        name = application.get("name")
        if isinstance(name, str):
            entries += [(name.upper(), one) for one in _several(application.get("instance"))]
    return entries


def _several(found: object) -> list[Entry]:
    if isinstance(found, Mapping):
        return [found]
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _id(entry: Entry) -> str:
    """Instances of old clients have no id: Eureka takes the host's name."""
    return str(entry.get("instanceId") or entry.get("hostName"))


def read_instance(entry: Entry, secure: bool = False) -> Instance:
    """Raises ValueError."""
    host = entry.get("ipAddr") or entry.get("hostName")
    if not isinstance(host, str):
        raise ValueError("an instance without ipAddr and hostName")
    port = entry.get("securePort" if secure else "port")
    enabled: object = True
    if isinstance(port, Mapping):
        enabled, port = port.get("@enabled", True), port.get("$")
    metadata = metadata_of(entry.get("metadata"))
    metadata.pop("@class", None)
    return Instance(
        address_of(host, port),
        weight_of(metadata.get("weight")),
        metadata,
        entry.get("status") == "UP" and str(enabled).lower() != "false",
        metadata.get("zone", ""),
    )
