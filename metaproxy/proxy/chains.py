"""
Which listener a new connection is for, by where it was meant to go, where it comes from, and what its TLS asks for.

    destination port -> destination -> name asked for -> TLS or not -> ALPN -> source

Each step keeps the chains that fit best: those that name the value exactly before those of a larger network or a
wildcard, these before those that don't look at it. There is no way back: what fits at one step and not at a later one
is for the chain that takes everything. That is the order of Envoy's filter chains.

Lives here: `ChainTable`. Does not: connections (`chain_choice`), reading a ClientHello (`client_hello`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from metaproxy.proxy.client_hello import Hello

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Chain:
    """
    What a connection must be for a listener. ports, destinations, sources, names, alpn: () for any; names: lower case,
    `*.example.org` for all of a domain; encrypted: None for both.
    """

    listener: str
    ports: tuple[int, ...] = ()
    destinations: tuple[Network, ...] = ()
    sources: tuple[Network, ...] = ()
    names: tuple[str, ...] = ()
    alpn: tuple[str, ...] = ()
    encrypted: bool | None = None

    @property
    def waits(self) -> bool:
        """Whether it looks at what the client says first."""
        return bool(self.names or self.alpn) or self.encrypted is not None

    @property
    def anything(self) -> bool:
        """Whether it takes every connection."""
        return not (self.ports or self.destinations or self.sources or self.waits)


class ChainTable:
    """The chains of a listener. Of those that fit equally well the first is taken. wait: seconds for first bytes."""

    def __init__(self, chains: Sequence[Chain], wait: float = 10.0) -> None:
        self.wait = wait
        self.chains = tuple(chains)
        self._default = next((one for one in chains if one.anything), None)
        self._hosts: dict[tuple[int, Ip], list[Chain]] = {}
        self._by_port: dict[int, list[Chain]] = {}
        self._any_port: list[Chain] = []
        for chain in chains:
            for port in chain.ports:
                self._by_port.setdefault(port, []).append(chain)
                for network in chain.destinations:
                    if network.num_addresses == 1:  # a mesh has thousands of them
                        self._hosts.setdefault((port, network.network_address), []).append(chain)
            if not chain.ports:
                self._any_port.append(chain)

    def at(self, destination: str, port: str) -> list[Chain]:
        """The chains for a destination, which is known at once."""
        ip, number = _ip(destination), int(port) if port.isdecimal() else -1
        if ip is not None and (found := self._hosts.get((number, ip))):
            return found
        return _closest(self._by_port.get(number) or self._any_port, ip, lambda chain: chain.destinations)

    def choose(self, left: Sequence[Chain], hello: Hello, source: str) -> str | None:
        """The listener, of the chains that `at` left. None: there is none for such a connection."""
        left = _by_name(left, hello.name)
        left = _those(left, lambda one: one.encrypted is hello.encrypted) or [o for o in left if o.encrypted is None]
        left = _by_alpn(left, hello.alpn)
        left = _closest(left, _ip(source), lambda chain: chain.sources)
        chosen = left[0] if left else self._default
        return chosen.listener if chosen is not None else None


def _those(chains: Iterable[Chain], test: Callable[[Chain], bool]) -> list[Chain]:
    return [one for one in chains if test(one)]


def _ip(text: str) -> Ip | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped if mapped is not None else found


def _closest(chains: Sequence[Chain], ip: Ip | None, networks: Callable[[Chain], tuple[Network, ...]]) -> list[Chain]:
    """Those with the smallest network that the address is in, else those without any."""
    best = -1
    found: list[Chain] = []
    for chain in chains:
        for network in networks(chain):
            if ip is not None and ip in network and network.prefixlen >= best:
                found = [*(found if network.prefixlen == best else ()), chain]
                best = network.prefixlen
    return list(dict.fromkeys(found)) or _those(chains, lambda one: not networks(one))


def _by_name(chains: Sequence[Chain], name: str) -> list[Chain]:
    """Those with the name, else with the longest wildcard of it, else without names."""
    if name:
        wanted = [name]
        parts = name.split(".")
        wanted += ["*." + ".".join(parts[number:]) for number in range(1, len(parts))]
        for one in wanted:
            found = _those(chains, lambda chain, one=one: one in chain.names)  # type: ignore[misc]
            if found:
                return found
    return _those(chains, lambda one: not one.names)


def _by_alpn(chains: Sequence[Chain], offered: Sequence[str]) -> list[Chain]:
    """Those with the first of the client's offers that any has, else those that don't look at them."""
    known = {name for one in chains for name in one.alpn}
    name = next((name for name in offered if name in known), None)
    return _those(chains, lambda one: name in one.alpn if name is not None else not one.alpn)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks as they are written, `10.0.0.0/8` or `10.0.0.1`. Raises ValueError."""
    return tuple(map(partial(ipaddress.ip_network, strict=False), texts))
