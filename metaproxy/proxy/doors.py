"""
Doors: how clients reach each node of a cluster by itself (each broker), through the proxy.

Lives here: `PortDoors`, a port for each node; `NameDoors`, a name in TLS for each; `ClientDoors`, what a client's
session asks. Does not: what a node is (its codec, by `ILayout`); which endpoint a node is (`Cluster.pick`).

A node's door depends on its number and the configuration only: so it stays what it is when nodes come and go, when the
proxy starts again, and for several proxies with one configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from zope.interface import implementer

from metaproxy.cluster.cluster import NODE
from metaproxy.interfaces import IDoors
from metaproxy.support.addresses import Address

PLACE = "{node}"
"""Where the number of a node stands in the pattern of a name."""


class Doors(Protocol):
    """addresses: what a listener listens on for them, besides its own addresses."""

    @property
    def addresses(self) -> Sequence[Address]: ...

    def node_at(self, host: str) -> str | None:
        """The node whose door a connection to this `host:port` came through, None for none."""

    def node_named(self, name: str) -> str | None:
        """The node that goes by this name in TLS, None for none."""

    def address(self, node: str, facts: Mapping[str, str]) -> tuple[str, int] | None:
        """Where a client with these facts reaches a node; None: the node has no door."""


def number(node: str) -> int | None:
    """The number of a node, None where it has none from 0 on."""
    return int(node) if node.isascii() and node.isdecimal() and len(node) < 11 else None


class PortDoors:
    """
    hosts: where the listener listens, which port does not matter; ports: node 0 has the first; advertised: the host
    that clients use, '' for the one that theirs led to.
    """

    def __init__(self, hosts: Sequence[Address], ports: range, advertised: str) -> None:
        self._ports = ports
        self._advertised = advertised
        here = dict.fromkeys(one._replace(port=0) for one in hosts if one.port)
        self.addresses = tuple(one._replace(port=port) for one in here for port in ports)

    def node_at(self, host: str) -> str | None:
        port = number(host.rpartition(":")[2])
        return str(port - self._ports.start) if port is not None and port in self._ports else None

    def node_named(self, name: str) -> str | None:
        return None

    def address(self, node: str, facts: Mapping[str, str]) -> tuple[str, int] | None:
        place = number(node)
        if place is None or place >= len(self._ports):
            return None
        return self._advertised or facts.get("destination.address", ""), self._ports[place]


class NameDoors:
    """pattern: the name of a node, with PLACE in it; port: where clients reach the listener."""

    def __init__(self, pattern: str, port: int) -> None:
        self._pattern = pattern.lower()
        self._port = port
        before, _, behind = self._pattern.partition(PLACE)
        self._name = re.compile(f"{re.escape(before)}(0|[1-9][0-9]{{0,9}}){re.escape(behind)}")
        self.addresses: tuple[Address, ...] = ()

    def node_at(self, host: str) -> str | None:
        return None

    def node_named(self, name: str) -> str | None:
        found = self._name.fullmatch(name.lower())
        return found[1] if found is not None else None

    def address(self, node: str, facts: Mapping[str, str]) -> tuple[str, int] | None:
        if number(node) is None:
            return None
        return self._pattern.replace(PLACE, node), self._port


@implementer(IDoors)
class ClientDoors:
    """The doors, as one client with these facts reaches them."""

    __slots__ = ("_doors", "_facts")

    def __init__(self, doors: Doors, facts: Mapping[str, str]) -> None:
        self._doors = doors
        self._facts = facts

    def address(self, node: str) -> tuple[str, int] | None:
        return self._doors.address(node, self._facts)


def note_port(doors: Doors, host: str, facts: dict[str, str]) -> None:
    """Note in a client's facts whose door it came through, by the address that it connected to."""
    node = doors.node_at(host)
    if node is not None:
        facts[NODE] = node


def note_name(doors: Doors, facts: dict[str, str]) -> None:
    """The same, by the name that its TLS asked for."""
    node = doors.node_named(facts.get("tls.sni", ""))
    if node is not None:
        facts[NODE] = node
