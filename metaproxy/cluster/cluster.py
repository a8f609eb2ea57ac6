"""
A cluster: endpoints that do the same work, the balancer that picks one, the breaker that bounds them.

Lives here: decisions and counts. Does not: sockets, or anything that waits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from metaproxy.balancers.hashing import hash_values
from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.counts import ClusterCounts
from metaproxy.interfaces import ICodec, ILoadBalancer
from metaproxy.message import Message


class ConnectionSettings:
    """`connections:` of a configuration. mode: 'multiplex', 'pool' or 'pinned'; times in seconds, 0 for no limit."""

    __slots__ = ("connect_timeout", "idle_timeout", "max_age", "max_frame", "max_requests", "mode", "per_endpoint")

    def __init__(
        self,
        mode: str = "multiplex",
        per_endpoint: int = 1,
        connect_timeout: float = 1.0,
        idle_timeout: float = 300.0,
        max_age: float = 0.0,
        max_requests: int = 0,
        max_frame: int = 16 << 20,
    ) -> None:
        self.mode = mode
        self.per_endpoint = per_endpoint
        self.connect_timeout = connect_timeout
        self.idle_timeout = idle_timeout
        self.max_age = max_age
        self.max_requests = max_requests
        self.max_frame = max_frame


class Cluster:
    """
    codec: of the upstream side; make_balancer(endpoints): a new balancer over usable endpoints; request_timeout:
    seconds, 0 for none; hash_keys: what the balancer hashes where a route says nothing else; credentials: how the
    proxy logs in upstream. leaving: endpoints that are no longer among `endpoints`, as long as they are in use; held:
    the proxy.pause.Pause that requests wait in, None for none.
    """

    __slots__ = (
        "__weakref__", "_by_subset", "_make_balancer", "balancer", "balancer_name", "breaker", "codec", "connections",
        "counts", "credentials", "endpoints", "hash_keys", "held", "leaving", "name", "request_timeout", "retired",
        "splits", "uses_hash",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        codec: ICodec,
        endpoints: Sequence[Endpoint],
        make_balancer: Callable[[Sequence[Endpoint]], ILoadBalancer],
        balancer_name: str = "round_robin",
        breaker: Breaker | None = None,
        connections: ConnectionSettings | None = None,
        request_timeout: float = 15.0,
        credentials: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.codec = codec
        self.endpoints = list(endpoints)
        self.breaker = breaker or Breaker()
        self.connections = connections or ConnectionSettings()
        self.request_timeout = request_timeout
        self.credentials = dict(credentials or {})
        self.balancer_name = balancer_name
        self.counts = ClusterCounts()
        self.retired = False
        self.leaving: list[Endpoint] = []
        self.balancer: ILoadBalancer | None = None
        self.uses_hash = self.splits = False
        self.hash_keys: tuple[str, ...] = ()
        self.held: Any = None
        self._make_balancer = make_balancer
        self._by_subset: dict[tuple[tuple[str, str], ...], ILoadBalancer | None] = {}
        self.refresh()

    # -- who is picked from

    def update(self, endpoints: Sequence[Endpoint]) -> None:
        """
        These are the endpoints now. One of an address that was there before stays the same object, with connections
        and counts, and takes weight and metadata; what is new joins; of what is gone the connections are let go when
        the exchanges on them have ended.
        """
        before = {endpoint.address: endpoint for endpoint in self.endpoints}
        state = [endpoint.configured() for endpoint in self.endpoints]
        now: list[Endpoint] = []
        for wanted in endpoints:
            endpoint = before.pop(wanted.address, None)
            if endpoint is None:
                endpoint = self._returning(wanted)
            if endpoint is not wanted:
                endpoint.take(wanted)
            now.append(endpoint)
        self.endpoints = now
        self.leaving += before.values()
        for endpoint in before.values():
            if endpoint.pool is not None:
                endpoint.pool.retire()
        self.forget()
        if [endpoint.configured() for endpoint in now] != state:
            self.refresh()

    def _returning(self, wanted: Endpoint) -> Endpoint:
        """An endpoint that comes back while it is leaving takes its counts along; its old connections still end."""
        for endpoint in self.leaving:
            if endpoint.address == wanted.address:
                wanted.counts = endpoint.counts
        return wanted

    def forget(self) -> None:
        """Drops endpoints that left and have come to their end. Called from time to time."""
        if self.leaving:
            self.leaving = [endpoint for endpoint in self.leaving if endpoint.in_use]

    def refresh(self) -> None:
        """Balances anew over the endpoints as they are now."""
        self.balancer = self._make_balancer(self.endpoints) if self.endpoints else None
        self._by_subset = {}
        self.uses_hash = self.balancer is not None and self.balancer.uses_hash
        self.splits = self.uses_hash and len(self.endpoints) > 1
        aliases = self.codec.hash_aliases
        self.hash_keys = tuple(aliases.get(key, key) for key in getattr(self.balancer, "keys", ()))

    # -- picking

    def pick(self, message: Message, keys: Sequence[str], subset: Mapping[str, str] | None) -> Endpoint | None:
        """
        The endpoint for a message, None when no usable one is left. keys: a route's own hash keys, else (). May raise
        FrameError when a key to hash can't be decoded.
        """
        balancer = self.balancer if subset is None else self._subset(subset)
        if balancer is None:
            return None
        if not self.uses_hash:
            return cast(Endpoint, balancer.pick(0))
        return cast(Endpoint, balancer.pick(self.hash(message, keys)))

    def hash(self, message: Message, keys: Sequence[str]) -> int:
        """64 bits of the keys' values; random when none is there, so that such requests spread (B5)."""
        found = hash_values([message.get(key) for key in keys or self.hash_keys])
        return random.getrandbits(64) if found is None else found

    def owner(self, value: str, subset: Mapping[str, str] | None = None) -> Endpoint | None:
        """Which endpoint a value of the hash key belongs to. Only with a hashing balancer."""
        balancer = self.balancer if subset is None else self._subset(subset)
        if balancer is None:
            return None
        return cast(Endpoint, balancer.pick(hash_values([value]) or 0))

    def _subset(self, subset: Mapping[str, str]) -> ILoadBalancer | None:
        wanted = tuple(sorted(subset.items()))
        if wanted not in self._by_subset:
            members = [e for e in self.endpoints if all(e.metadata.get(key) == value for key, value in wanted)]
            self._by_subset[wanted] = self._make_balancer(members) if members else None
        return self._by_subset[wanted]
