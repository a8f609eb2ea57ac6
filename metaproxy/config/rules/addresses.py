"""
Rules on the addresses at which the proxy listens: no two are the same, and which of them others can reach.

Lives here: `RULES`, `is_local`. Does not: how an address is written (`schema.addresses`).
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

from metaproxy.config import model
from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.reading import Reading
from metaproxy.proxy.doors import PortDoors
from metaproxy.support import addresses as address

RULES = Rules()


def is_local(text: str) -> bool:
    where = address.parse(text)
    if where.family == socket.AF_UNIX or where.host == "localhost":
        return True
    return where.literal and ip_address(where.host).is_loopback


def _doors(config: model.Config, reading: Reading) -> list[tuple[address.Address, Node]]:
    """Where listeners listen besides, for nodes."""
    found = []
    for listener in config.listeners:
        if listener.nodes is not None and listener.nodes.ports is not None:
            at = reading.at(listener.nodes, "ports")
            hosts = [address.parse(where) for where in listener.listen]
            found += [(where, at) for where in PortDoors(hosts, listener.nodes.ports, "").addresses]
    return found


@RULES.of(model.Config)
def _addresses_differ(config: model.Config, reading: Reading) -> None:
    taken: dict[tuple[int, int], dict[str, str]] = {}  # family and port -> host -> who listens there
    if not reading.gives(config.admin, "listen"):
        where = address.parse(config.admin.listen)
        taken[where.family, where.port] = {where.host: "admin, by default"}
    for where, node in (*reading.addresses, *_doors(config, reading)):
        hosts = taken.setdefault((where.family, where.port), {})
        by = hosts.get(where.host)
        if where.family != socket.AF_UNIX:
            if not where.port:  # the system finds one that is free
                continue
            everywhere = "::" if where.family == socket.AF_INET6 else "0.0.0.0"
            by = by or hosts.get(everywhere) or (next(iter(hosts.values()), None) if where.host == everywhere else None)
        if by is not None:
            reading.problem(node, f"{address.show(where.sockaddr)} is taken already, by {by}")
        hosts.setdefault(where.host, f"{node.path} {node.place}" if node.line else node.path)
