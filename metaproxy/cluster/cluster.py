"""
A cluster: endpoints that do the same work, the balancer that picks one, the breaker that bounds them.

Lives here: decisions and counts. Does not: sockets, or anything that waits; how its connections are made and shared
(`connection_settings`).

Longer than most modules: which endpoints there are, and which one is picked, look at the same balancers and layout.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from math import inf
from typing import Protocol, cast

from twisted.logger import Logger

from metaproxy.balancers.hashing import hash_values
from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.kept_keys import KeptKeys
from metaproxy.cluster.levels import Balanced, Levels
from metaproxy.cluster.plan import Level, Settings, plan
from metaproxy.cluster.roles import Network, RequestQueue
from metaproxy.cluster.slow_start import SlowStart
from metaproxy.counts import ClusterCounts
from metaproxy.interfaces import ICodec, ILayout, ILoadBalancer
from metaproxy.message import Message
from metaproxy.routing.hash_keys import ConnectionKeys, hash_keys
from metaproxy.support.log_throttle import LogThrottle

log = Logger(__name__)

MAX_LINES = 20
"""Log lines about its endpoints in a minute: a hundred that go up and down would write thousands."""

LOGOFF = 10.0
"""
Seconds for which a server that said that it leaves is passed over: by then it has ended, or is there again. Ten, as
Dubbo's servers wait so long for what is under way on them.
"""

NO_FACTS: Mapping[str, str] = {}
"""Of a request that came over no connection."""


PRIMARY, REPLICA = "primary", "replica"
"""Values of an endpoint's `role`, where servers are asked what they are (`topology`)."""
ANY_ROLE = ("role", "any")
"""In a route's subset: either of them."""
WROTE = "client.wrote"
"""Of a connection's facts: when a write of its was last acknowledged, seconds of the clock."""
NODE = "destination.node"
"""Of a connection's facts: the node whose door it came through; requests go to the endpoint with that `node`."""


Wanted = tuple[tuple[str, str], ...]
"""Metadata that an endpoint must have, sorted."""


class ClusterMonitor(Protocol):
    """Who finds out about the endpoints of a cluster while it is in force: checks, outlier detection, discovery."""

    def start(self, cluster: Cluster, network: Network) -> None: ...

    def stop(self) -> None: ...

    def changed(self) -> None:
        """The cluster has other endpoints, or an operator restored one. Only between start and stop."""


class Cluster:
    """
    codec: of the upstream side; make_balancer(endpoints): a new balancer over usable endpoints; request_timeout:
    seconds, 0 for none; hash_keys: what the balancer hashes where a route says nothing else; credentials: how the
    proxy logs in upstream; settings: of the plan. leaving: endpoints that are no longer among `endpoints`, as long as
    they are in use; paused_by: the proxy.pause.Pause that requests wait in, None for none; lacking: the one for those
    that find no endpoint of the role they need, None where servers have no roles. kept: which endpoint has what only
    one has, where the protocol knows such things, else None. read_your_writes: seconds for which a client's reads go to
    the primary behind its own writes, below 0: until a replica has them; None: replicas are read at once. asks_layout:
    whether its servers tell which of them there are, and which has what; layout: what they say, None before that.
    observer: called when something about its endpoints has changed.
    """

    __slots__ = (
        "__weakref__",
        "_by_shard",
        "_by_subset",
        "_make_balancer",
        "_notes",
        "_part_key",
        "_pick",
        "_plan",
        "_roles",
        "_stale",
        "asks_layout",
        "balancer",
        "balancer_name",
        "breaker",
        "codec",
        "connections",
        "counts",
        "credentials",
        "endpoints",
        "hash_keys",
        "kept",
        "lacking",
        "layout",
        "leaving",
        "monitors",
        "name",
        "now",
        "observer",
        "paused_by",
        "read_your_writes",
        "request_timeout",
        "retired",
        "settings",
        "slow_start",
        "splits",
        "uses_hash",
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
        settings: Settings | None = None,
        monitors: Sequence[ClusterMonitor] = (),
        slow_start: SlowStart | None = None,
        read_your_writes: float | None = None,
    ) -> None:
        self.name = name
        self.read_your_writes = read_your_writes
        self.now: Callable[[], float] = lambda: 0.0
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
        self._pick: Callable[[int], object] | None = None  # the balancer's, bound
        self.uses_hash = self.splits = False
        self.hash_keys: tuple[str, ...] = ()
        self.paused_by: RequestQueue[Cluster] | None = None
        self.observer: Callable[[Cluster], None] | None = None
        self.lacking: RequestQueue[Cluster] | None = None
        self.asks_layout = False
        self.layout: ILayout | None = None
        self._by_shard: dict[Hashable, ILoadBalancer | None] = {}  # as `_by_subset`, as far as that is up to date
        self._part_key = ""
        self._roles = True
        self.kept = KeptKeys() if getattr(codec, "keeps_keys", False) else None
        self.settings = settings or Settings()
        self.slow_start = slow_start
        self.monitors = (*monitors, *([slow_start] if slow_start is not None else []))
        self._notes: LogThrottle | None = None
        self._make_balancer = make_balancer
        self._plan = Balanced((), None)
        self._by_subset: dict[Wanted, Balanced] = {}
        self._stale: set[Wanted] = set()
        self._plan = self._balanced(self._plan, self.endpoints)  # here a balancer that can't be built is refused
        self._adopt()

    # -- life

    def start(self, network: Network) -> None:
        """It is in force from now on. network: of the data path, with its clock."""
        self._notes = LogThrottle(network.clock.seconds, MAX_LINES)
        self.now = network.clock.seconds
        if self.kept is not None:
            self.kept.now = self.now
        for attendant in self.monitors:
            attendant.start(self, network)

    @property
    def warm(self) -> bool:
        """Whether all who look for its endpoints have found them once, or failed to."""
        return all(getattr(attendant, "warm", True) for attendant in self.monitors)

    def stop(self) -> None:
        """It is not in force any more."""
        for attendant in self.monitors:
            attendant.stop()

    def tell(self, text: str) -> None:
        """A line in the log, unless there were many."""
        if self._notes is None or not self._notes.allows():
            return
        left_out = self._notes.left_out()
        if left_out:
            log.warn("cluster {name}: {count} lines like these were left out", name=self.name, count=left_out)
        log.warn("cluster {name}: {text}", name=self.name, text=text)

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
            self._changed()
            self.refresh()

    def lay_out(self, layout: ILayout) -> None:
        """Its servers are these, and each has what it says. Their weights and connections stay."""
        if self.layout is not None and (layout.endpoints, layout.shards) == (self.layout.endpoints, self.layout.shards):
            self.layout = layout  # another one may have other parts of the data all the same
            return
        before = {endpoint.address: endpoint for endpoint in self.endpoints}
        self.layout = layout
        self._by_subset, self._by_shard = {}, {}
        self._roles = any("role" in traits for traits in layout.endpoints.values())
        self._part_key = self.codec.hash_aliases.get("key", "key") if layout.shards else ""
        members = [before.get(address) or Endpoint(address) for address in layout.endpoints]
        for endpoint in members:
            traits = layout.endpoints[endpoint.address]
            role = endpoint.learnt.get("role")
            pool = endpoint.pool
            if endpoint.learn(traits) and role not in (None, traits.get("role")) and pool is not None:
                pool.retire()  # what was said to a replica is not true of a primary
                pool.resume()
        self.update(members)
        self.refresh()
        self._adopt()

    def at(self, address: str) -> Endpoint | None:
        """The endpoint with that address, if there is one."""
        if self.layout is not None:
            address = self.layout.aliases.get(address, address)
        return next((one for one in self.endpoints if one.address == address), None)

    def _changed(self) -> None:
        for attendant in self.monitors:
            attendant.changed()

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

    def sweep(self, now: float) -> None:
        """Called from time to time; now: seconds of the clock."""
        self.forget()
        back = [endpoint for endpoint in self.endpoints if 0 < endpoint.logged_off_until <= now]
        for endpoint in back:
            endpoint.logged_off_until = 0.0
        if back:
            self.refresh()

    def refresh(self) -> None:
        """Plans from what is known of the endpoints now; balancers whose members are the same go on."""
        self._weigh()
        before, self._plan = self._plan, self._rebalanced(self._plan, self.endpoints)
        self._stale = set(self._by_subset)
        self._by_shard = {}
        if self._plan is not before:
            self._adopt()
        if self.observer is not None:
            self.observer(self)

    def _adopt(self) -> None:
        """Balances by the plan from now on."""
        self.balance_by(self._plan.balancer)
        if self.balancer is None:  # while no endpoint can be picked, it hashes as it did
            return
        self.uses_hash = self.balancer.uses_hash
        parted = self.layout is not None and self.layout.shards > 0
        self.splits = (self.uses_hash or parted) and len(self.endpoints) > 1
        self.hash_keys = hash_keys(getattr(self.balancer, "keys", ()), self.codec.hash_aliases)

    def balance_by(self, balancer: ILoadBalancer | None) -> None:
        """Have it pick from now on; None: while no endpoint can be picked."""
        self.balancer = balancer
        self._pick = balancer.pick if balancer is not None else None

    def _weigh(self) -> None:
        """Gives endpoints the weights that balancers go by: in hundredths while one of them starts slowly."""
        slow_start = self.slow_start
        starting = slow_start is not None and not self.uses_hash and any(e.started is not None for e in self.endpoints)
        for endpoint in self.endpoints:
            endpoint.weight = endpoint.configured_weight
            if slow_start is not None and starting:
                endpoint.weight *= slow_start.percent(endpoint)

    def recovered(self, endpoint: Endpoint) -> None:
        """Checks found an endpoint healthy that was not."""
        if self.slow_start is not None:
            self.slow_start.begin(endpoint)
        self.refresh()

    def _rebalanced(self, before: Balanced, endpoints: Sequence[Endpoint]) -> Balanced:
        """As `_balanced`, when it is too late to refuse a balancer: the one before goes on."""
        try:
            return self._balanced(before, endpoints)
        except BaseException:  # also SystemExit: a plugin's constructor may not end what asks for it
            log.failure("cluster {name}: balancer {balancer} failed", name=self.name, balancer=self.balancer_name)
            return before

    def _balanced(self, before: Balanced, endpoints: Sequence[Endpoint]) -> Balanced:
        """`before` itself if its plan is still right, else a new one, with those of its balancers that are."""
        levels = plan(endpoints, self.settings)
        if levels == before.levels:
            return before
        kept = before.parts()
        balancers = [
            kept[level.members] if level.members in kept else self._make_balancer([each for each, _ in level.members])
            for level in levels
        ]
        if len(balancers) > 1:
            return Balanced(levels, Levels([level.share for level in levels], balancers))
        return Balanced(levels, balancers[0] if balancers else None)

    def log_off(self, endpoint: Endpoint, now: float) -> None:
        """
        Its server said that it leaves: the others get what is new, while there are any. Where it waits for its clients
        it closes new connections at once, with what was sent on them.
        """
        before, endpoint.logged_off_until = endpoint.logged_off_until, now + LOGOFF
        if not before:
            self.tell(f"{endpoint.address} says that it leaves")
            self.refresh()

    # -- what an operator says

    def drain(self, endpoint: Endpoint) -> None:
        """Takes an endpoint out of service: what is under way on it ends, its connections close, nothing new comes."""
        endpoint.drained = True
        self.refresh()
        if endpoint.pool is not None:
            endpoint.pool.retire()

    def eject(self, endpoint: Endpoint) -> None:
        """Treats an endpoint as failing until it is restored; its connections stay."""
        endpoint.ejected_until = inf
        self.refresh()

    def restore(self, endpoint: Endpoint) -> None:
        """
        Takes back what `drain`, `eject`, an outlier detection or the server itself decided. Health checks keep their
        verdict.
        """
        if not endpoint.usable and self.slow_start is not None:
            self.slow_start.begin(endpoint)
        endpoint.drained = False
        endpoint.ejected_until = 0.0
        endpoint.ejections = 0
        endpoint.logged_off_until = 0.0
        self._changed()
        if endpoint.pool is not None:
            endpoint.pool.resume()
        self.refresh()

    @property
    def levels(self) -> tuple[Level, ...]:
        """Where requests without a subset go, and in what shares."""
        return self._plan.levels

    # -- picking

    def pick(
        self,
        message: Message,
        keys: Sequence[str],
        subset: Mapping[str, str] | None,
        facts: Mapping[str, str] = NO_FACTS,
    ) -> Endpoint | None:
        """
        The endpoint for a message, None when no usable one is left. keys: a route's own hash keys, else (); facts: of
        its connection. May raise FrameError when a key to hash can't be decoded.
        """
        if self.kept is not None and (key := getattr(message, "override_key", None)) is not None:
            keeper = self.kept.find(key)
            if keeper is not None:
                return keeper if keeper.usable and keeper in self.endpoints else None
        if self.read_your_writes is not None and subset is not None and WROTE in facts:
            found = self._behind_writes(subset, float(facts[WROTE]))
            if isinstance(found, Endpoint):
                return found
            subset = found
        pick = None
        if NODE in facts:
            balancer = self._subset({**(subset or {}), "node": facts[NODE]})
        elif self.asks_layout:
            # What no shard has is asked of any of them: it gives the servers' own error.
            shard = self.layout.shard_of(message, self._part_key) if self.layout is not None and self._part_key else ""
            balancer = self._having(shard, subset)
        elif subset is not None:
            balancer = self._subset(subset)
        else:
            balancer, pick = self.balancer, self._pick
        if balancer is None:
            return None
        if pick is None:
            pick = balancer.pick
        # An endpoint that it was made with. Not `cast`: that is a call for each request.
        return pick(self.hash(message, keys, facts) if self.uses_hash else 0)  # type: ignore[return-value]

    def hash(self, message: Message, keys: Sequence[str], facts: Mapping[str, str] = NO_FACTS) -> int:
        """64 bits of the keys' values; random when none is there, so that such requests spread."""
        keys = keys or self.hash_keys
        if type(keys) is ConnectionKeys:
            found = hash_values(keys.values(message.get, facts))
        else:
            found = hash_values([message.get(key) for key in keys])
        return random.getrandbits(64) if found is None else found

    def owner(self, value: str, subset: Mapping[str, str] | None = None) -> Endpoint | None:
        """Which endpoint a value of the hash key belongs to. Only where `splits`."""
        if self.layout is not None:
            balancer = self._having(self.layout.shard(value) if self.layout.shards else "", subset)
            return None if balancer is None else cast(Endpoint, balancer.pick(hash_values([value]) or 0))
        balancer = self.balancer if subset is None else self._subset(subset)
        if balancer is None:
            return None
        return cast(Endpoint, balancer.pick(hash_values([value]) or 0))

    def has(self, subset: Mapping[str, str] | None) -> bool:
        """Whether any endpoint may be picked."""
        if self.asks_layout:
            return self.layout is not None and self._having("", subset) is not None
        return (self.balancer if subset is None else self._subset(subset)) is not None

    def everyone(self, subset: Mapping[str, str] | None = None, replicas: bool = False) -> list[Endpoint]:
        """
        Endpoints that have all of the data between them, each part once; [] while one of them is not usable. replicas:
        also those replicas that are usable, where servers tell which are some.
        """
        layout = self.layout
        if layout is None:
            found = self._with((subset or {}).items())
            return found if all(one.usable for one in found) else []
        members = self._with((subset or {"role": PRIMARY}).items())
        by_shard = {one.metadata.get("shard", ""): one for one in sorted(members, key=_address) if one.usable}
        if len(by_shard) < layout.shards:
            return []
        found = list(by_shard.values())
        others = (one for one in self._with([("role", REPLICA)]) if one.usable and one not in found)
        return [*found, *others] if replicas else found

    def _having(self, shard: str, subset: Mapping[str, str] | None) -> ILoadBalancer | None:
        """Balances over those that have a shard, '' for any; primaries, if there are roles."""
        asked = shard if subset is None else (shard, *subset.items())
        by_shard = self._by_shard
        if asked in by_shard:
            return by_shard[asked]
        common = ({"role": PRIMARY} if self._roles else {}) if subset is None else subset
        found = self._among(tuple(sorted({**common, **({"shard": shard} if shard else {})}.items())))
        by_shard[asked] = found
        return found

    def _with(self, wanted: Iterable[tuple[str, str]]) -> list[Endpoint]:
        pairs = list(wanted)
        members = self.endpoints
        if self.lacking is not None and ANY_ROLE in pairs:
            pairs.remove(ANY_ROLE)
            members = [one for one in members if one.metadata.get("role") in (PRIMARY, REPLICA)]
        return [one for one in members if all(one.metadata.get(key) == value for key, value in pairs)]

    def _behind_writes(self, subset: Mapping[str, str], wrote: float) -> Endpoint | Mapping[str, str]:
        """Where a client may read that had a write acknowledged at that time: a replica that is sure to have it."""
        if subset.get("role") != REPLICA:
            return subset
        wait = self.read_your_writes or 0.0
        if wait >= 0:
            return subset if self.now() - wrote >= wait else {**subset, "role": PRIMARY}
        replicas = [one for one in self._with(subset.items()) if one.usable]
        fresh = [one for one in replicas if one.fresh >= wrote]
        if len(fresh) == len(replicas):
            return subset
        return random.choice(fresh) if fresh else {**subset, "role": PRIMARY}

    def _subset(self, subset: Mapping[str, str]) -> ILoadBalancer | None:
        return self._among(tuple(sorted(subset.items())))

    def _among(self, wanted: Wanted) -> ILoadBalancer | None:
        """Balances over the endpoints with these metadata."""
        found = self._by_subset.get(wanted)
        if found is None or wanted in self._stale:
            members = self._with(wanted)
            if self.lacking is not None and ("role", REPLICA) in wanted and not any(one.usable for one in members):
                # which can do all that they can
                members = self._with([("role", PRIMARY) if pair == ("role", REPLICA) else pair for pair in wanted])
            found = self._by_subset[wanted] = self._rebalanced(found or Balanced((), None), members)
            self._stale.discard(wanted)
        return found.balancer


def _address(endpoint: Endpoint) -> str:
    return endpoint.address
