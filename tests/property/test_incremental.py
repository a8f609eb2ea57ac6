"""
Whatever changes of a configuration follow each other: what is built of the changes alone behaves as what is built of
the whole, and what a section used is stopped once, when the last section that uses it is gone.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from stand import Listening
from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from metaproxy.app.service import ProxyService
from metaproxy.config import model
from metaproxy.config.build import Builder
from metaproxy.config.schema.reading import Use
from metaproxy.interfaces import ICodec, IDiscovery, IFilter
from metaproxy.plugins import HOOKS, Registry
from metaproxy.proxy.snapshot import Snapshot
from metaproxy.support.addresses import show
from metaproxy.telemetry.access_log.filter import LogFiles
from metaproxy.units import Bytes, Percent, Seconds

PLUGINS = """
from metaproxy.codecs.framing import Codec, LengthFramed
from metaproxy.interfaces import ICodec, IDiscovery, IFilter, IOnComplete, IOnRequest
from metaproxy.plugins import Declaration
from zope.interface import implementer

class Mine(Codec):
    name = "mine"
    mutable = ""
    MADE, STOPS = [], []

    def __init__(self, depth: int = 1):
        self.depth = depth
        self.MADE.append(self)

    def session(self, side, max_frame):
        return LengthFramed(1, lambda data, at: 1, None, max_frame)

    def reply(self, request, kind, text, name=""):
        return b""

    def stop(self):
        self.STOPS.append(self)

@implementer(IOnRequest, IOnComplete)
class Watched:
    MADE, STOPS = [], []

    def __init__(self, size: int = 1):
        self.size = size
        self.MADE.append(self)
        self.counters = {"seen": 0}

    def on_request(self, exchange):
        return None

    def on_complete(self, exchange):
        return None

    def stop(self):
        self.STOPS.append(self)

@implementer(IDiscovery)
class Found:
    STARTS, STOPS = [], []

    def __init__(self, target: str):
        self.target = target

    def start(self, update, failed):
        self.STARTS.append(self)
        update([{"address": "127.0.0.9:1"}])

    def stop(self):
        self.STOPS.append(self)

mine = Declaration(ICodec, "mine", Mine)
watched = Declaration(IFilter, "watched", Watched)
found = Declaration(IDiscovery, "found", Found)
"""
FOLDER = TemporaryDirectory()
(Path(FOLDER.name) / "plugins.py").write_text(PLUGINS)
REGISTRY = Registry([FOLDER.name])
CODEC: Any = REGISTRY.load(ICodec, "mine")
FILTER: Any = REGISTRY.load(IFilter, "watched")
DISCOVERY: Any = REGISTRY.load(IDiscovery, "found")

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["listener", "listener", "route", "filters", "cluster", "cluster", "fallback", "no listener", "no cluster",
             "order", "refused", "again", "node"]
        ),
        st.integers(0, 2**20),
    ),
    min_size=5,
    max_size=40,
)  # fmt: skip


class World:
    """The sections of a configuration, which steps change."""

    def __init__(self) -> None:
        self.listeners: dict[str, model.Listener] = {}
        self.clusters: dict[str, model.Cluster] = {"c0": cluster("c0", random.Random(0), [])}
        self.node = model.Node()

    def config(self) -> model.Config:
        return model.Config(
            node=self.node, listeners=tuple(self.listeners.values()), clusters=tuple(self.clusters.values())
        )

    def step(self, what: str, chance: random.Random) -> None:
        names = list(self.clusters)
        if what == "listener":
            name = f"l{chance.randrange(4)}"
            self.listeners[name] = listener(name, chance, names)
        elif what == "route" and self.listeners:
            name = chance.choice(list(self.listeners))
            routes = list(self.listeners[name].routes)
            routes[chance.randrange(len(routes))] = route(chance, names, chance.randrange(3))
            self.listeners[name] = replace(self.listeners[name], routes=tuple(routes))
        elif what == "filters" and self.listeners:
            name = chance.choice(list(self.listeners))
            filters = (Use("watched", {"size": chance.randrange(4)}),)
            self.listeners[name] = replace(self.listeners[name], filters=filters)
        elif what == "fallback":
            name = chance.choice(names)
            others = [one for one in names if one < name]
            self.clusters[name] = replace(
                self.clusters[name], fallback=tuple(chance.sample(others, min(2, len(others))))
            )
        elif what == "cluster":
            name = f"c{chance.randrange(5)}"
            self.clusters[name] = cluster(name, chance, [one for one in names if one < name])
        elif what == "no listener" and self.listeners:
            del self.listeners[chance.choice(list(self.listeners))]
        elif what == "no cluster":
            free = [one for one in names if one != "c0" and one not in self.named()]
            for name in free[:1]:
                del self.clusters[name]
        elif what == "order":
            order = chance.sample(list(self.listeners), len(self.listeners))
            self.listeners = {name: self.listeners[name] for name in order}
            order = chance.sample(names, len(names))
            self.clusters = {name: self.clusters[name] for name in order}
        elif what == "again":
            self.listeners = {name: replace(one) for name, one in self.listeners.items()}
            self.clusters = {name: replace(one) for name, one in self.clusters.items()}
        elif what == "node":
            self.node = model.Node(id=str(chance.randrange(3)))

    def named(self) -> set[str]:
        """The clusters that something refers to."""
        found = {name for one in self.clusters.values() for name in one.fallback}
        for one in self.listeners.values():
            for each in one.routes:
                found.update(each.clusters or (), (mirror.cluster for mirror in each.mirror))
                found.add(each.cluster or "")
        return found


def route(chance: random.Random, clusters: list[str], number: int) -> model.Route:
    name = f"r{number}" if chance.random() < 0.8 else ""
    match = {"method": f"m{chance.randrange(3)}"} if chance.random() < 0.7 else {}
    filters: Any = chance.choice([{}, {}, {"watched": None}, {"watched": Use("watched", {"size": 7})}])
    target: dict[str, Any] = chance.choice(
        [
            {"cluster": chance.choice(clusters)},
            {"clusters": dict.fromkeys(chance.sample(clusters, min(2, len(clusters))), 1)},
            {"reply": model.Reply(error="denied")},
        ]
    )
    mirror = (model.Mirror(cluster=chance.choice(clusters)),) if chance.random() < 0.2 else ()
    timeout = chance.choice([None, Seconds(1.0), Seconds(2.0)])
    return model.Route(name=name, match=match, timeout=timeout, mirror=mirror, filters=filters, **target)


def listener(name: str, chance: random.Random, clusters: list[str]) -> model.Listener:
    filters = tuple(Use("watched", {"size": chance.randrange(2)}) for _ in range(chance.randrange(3)))
    routes = tuple(route(chance, clusters, number) for number in range(1 + chance.randrange(3)))
    if not filters:
        routes = tuple(replace(one, filters={}) for one in routes)
    port = 7000 + chance.randrange(3) * 10 + int(name[1:])
    logs = chance.choice([(), (), (model.AccessLog(file=Path(FOLDER.name) / f"{chance.randrange(2)}.log"),)])
    return model.Listener(
        name=name, listen=(f"127.0.0.1:{port}",), protocol=Use("mine", {"depth": chance.randrange(1, 3)}),
        filters=filters, routes=routes, access_log=logs, max_frame=chance.choice([Bytes(1 << 20), Bytes(32 << 20)]),
    )  # fmt: skip


def cluster(name: str, chance: random.Random, others: list[str]) -> model.Cluster:
    endpoints = tuple(model.Endpoint(address=f"127.0.0.1:{1 + chance.randrange(5)}") for _ in range(1))
    more: dict[str, Any] = chance.choice(
        [{"endpoints": endpoints}, {"endpoints": endpoints}, {"discovery": Use("found", {"target": name})}]
    )
    return model.Cluster(
        name=name,
        protocol=chance.choice([None, None, Use("mine", {"depth": 3})]),
        fallback=tuple(chance.sample(others, min(len(others), chance.randrange(3)))),
        request_timeout=chance.choice([Seconds(1.0), Seconds(15.0)]),
        panic_threshold=Percent(50.0),
        **more,
    )


class Running:
    """A proxy on which one configuration follows the other, and a record of what was stopped."""

    def __init__(self) -> None:
        self.network = Listening()
        self.proxy = ProxyService(self.network, REGISTRY)
        self.logs = LogFiles(self.network.clock, run=lambda call: succeed(call()))
        self.builder = Builder(REGISTRY, self.network.clock, self.logs)
        for made in (CODEC.MADE, CODEC.STOPS, FILTER.MADE, FILTER.STOPS, DISCOVERY.STARTS, DISCOVERY.STOPS):
            made.clear()

    def put(self, config: model.Config) -> Snapshot:
        snapshot = self.builder.build(config, {})
        self.proxy.apply(snapshot)
        self.builder.commit(snapshot)
        return snapshot

    def refuse(self, config: model.Config) -> None:
        """Build a configuration that does not come into force."""
        self.builder.discard(self.builder.build(config, {}))


def whole(config: model.Config) -> Snapshot:
    """The snapshot of a builder that saw no other configuration."""
    lists = (FILTER.MADE, CODEC.MADE)
    lengths = [len(made) for made in lists]
    snapshot = Builder(REGISTRY, Clock(), LogFiles(Clock())).build(config)
    for made, length in zip(lists, lengths, strict=True):
        del made[length:]
    return snapshot


def words(snapshot: Snapshot) -> object:
    """What a snapshot does, in values that are equal for two of the same configuration."""
    return {
        "listeners": [
            (name, one.codec.name, vars(one.codec), one.addresses, one.max_frame, one.filters, one.routes.describe(),
             [hooks(route, snapshot) for route in (*one.routes.routes, one.no_route)])
            for name, one in snapshot.listeners.items()
        ],
        "clusters": [
            (name, vars(one.codec), one.connections.max_frame, one.request_timeout, one.balancer_name, one.settings,
             len(one.monitors))
            for name, one in snapshot.clusters.items()
        ],
        "filters": Counter((one.listener, one.name, one.plugin.size) for one in snapshot.filters
                           if isinstance(one.plugin, FILTER)),
    }  # fmt: skip


def hooks(route: Any, snapshot: Snapshot) -> object:
    """What acts on a route, and the clusters that it leads to, which must be those in force."""
    for target in route.all_targets():
        assert target.cluster is None or target.cluster is snapshot.clusters[target.name]
    for target in route.mirror.targets if route.mirror is not None else ():
        assert target.cluster is snapshot.clusters[target.cluster.name]
    return [
        [(type(getattr(one, "__self__", one)).__name__, getattr(getattr(one, "__self__", one), "size", None))
         for one in getattr(route, hook)]
        for hook in HOOKS
    ]  # fmt: skip


def in_use(snapshot: Snapshot) -> list[object]:
    """The filters and codecs of a snapshot."""
    found: list[object] = [one.plugin for one in snapshot.filters if isinstance(one.plugin, FILTER)]
    found += [one.codec for one in snapshot.listeners.values()]
    found += [one.codec for one in snapshot.clusters.values()]
    return [one for one in found if isinstance(one, (FILTER, CODEC))]


def targets(snapshot: Snapshot) -> dict[object, object]:
    """Listener, route and cluster -> what counts there. Of two routes of a name the last."""
    return {
        (listener.name, route.name, target.name): target.counts
        for listener in snapshot.listeners.values()
        for route in listener.routes.routes
        for target in route.all_targets()
    }


@given(STEPS)
def test_what_is_built_of_changes_is_what_is_built_of_the_whole(steps: list[tuple[str, int]]) -> None:
    world, running = World(), Running()
    before = running.put(world.config())
    for what, seed in steps:
        kept = World()
        kept.__dict__.update(world.__dict__)
        kept.listeners, kept.clusters = dict(world.listeners), dict(world.clusters)
        kept.step("listener" if what == "refused" else what, random.Random(seed))
        if what == "refused":
            running.refuse(kept.config())
        else:
            world = kept
        snapshot = running.put(world.config())
        made = [*FILTER.MADE, *CODEC.MADE]
        assert words(snapshot) == words(whole(world.config()))
        # What was made is in use, or was stopped once.
        now = {id(one): one for one in in_use(snapshot)}
        stopped = Counter(map(id, (*FILTER.STOPS, *CODEC.STOPS)))
        assert all(stopped[id(one)] == (id(one) not in now) for one in made)
        # Clusters look for endpoints while they are in force.
        looking = [each for one in snapshot.clusters.values() for each in one.monitors if hasattr(each, "discovery")]
        assert len(DISCOVERY.STARTS) - len(DISCOVERY.STOPS) == len(looking)
        assert len(set(map(id, DISCOVERY.STOPS))) == len(DISCOVERY.STOPS)
        # Sockets are where listeners are to listen, and counts go on.
        bound = {name: one.bound() for name, one in running.proxy.listeners.items()}
        assert bound == {
            name: [show(where.sockaddr) for where in one.addresses] for name, one in snapshot.listeners.items()
        }
        counted, counts = targets(before), targets(snapshot)
        assert all(counts[place] is counted[place] for place in counts.keys() & counted.keys())
        before = snapshot
