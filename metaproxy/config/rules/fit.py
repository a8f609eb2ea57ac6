"""
Rules on what listeners, routes, filters and clusters must have in common: protocols, connections, subsets.

Lives here: `RULES`. Does not: a listener or a cluster by itself (`listener`, `cluster`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metaproxy.cluster.connection_settings import BORROWED
from metaproxy.codecs.framing import Codec
from metaproxy.config import model, references
from metaproxy.config.rules.certificates import check_start
from metaproxy.config.rules.cluster import probe_is_there
from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.reading import Reading, near
from metaproxy.config.slices import checkpoint
from metaproxy.interfaces import ICodec

RULES = Rules()


@RULES.of(model.Config)
def _clusters_fit_their_routes(config: model.Config, reading: Reading) -> None:
    clusters = {cluster.name: cluster for cluster in config.clusters}
    kinds: dict[str, set[frozenset[tuple[str, str]]]] = {}
    for cluster in config.clusters:
        checkpoint()
        kinds[cluster.name] = {frozenset(one.metadata.items()) for one in cluster.endpoints}
    for listener in config.listeners:
        for route in listener.routes:
            checkpoint()
            for name in references.clusters_of(route):
                if name in clusters:
                    _cluster_fits(listener, route, clusters[name], reading)
            for name in references.targets_of(route):
                if name in clusters and clusters[name].discovery is None and clusters[name].topology is None:
                    _subset_is_there(route, name, kinds[name], reading)
    used, asked = references.senders(config), references.asked(config)
    _services_are_there(config, clusters, reading)
    _mirrors_are_no_targets(config, clusters, reading)
    for cluster in config.clusters:
        checkpoint()
        _service_can_be_checked(cluster, cluster.name in asked and cluster.name not in used, reading)
        _fallback_fits(cluster, clusters, used, reading)
        _connections_fit(cluster, used.get(cluster.name, ()), reading)
        elsewhere = config.xds or cluster.name in reading.used  # whose routes are not here
        if cluster.name not in used and cluster.name not in asked and not elsewhere:
            reading.warn(reading.at(cluster, "name"), f"no route leads to cluster {cluster.name!r}")


def _services_are_there(config: model.Config, clusters: Mapping[str, model.Cluster], reading: Reading) -> None:
    """Filters tell by `asks` which clusters they ask."""
    for listener in config.listeners:
        overrides = (use for route in listener.routes for use in route.filters.values() if use is not None)
        for use in (*listener.filters, *overrides):
            for name in getattr(reading.built(use), "asks", ()):
                if name not in clusters:
                    text = f"{use.name}: service.cluster: no cluster {name!r}; {near(name, clusters, 'cluster')}"
                    reading.problem(reading.at(use), text)
                elif clusters[name].has_original_destination:
                    text = f"{use.name}: service.cluster: {name!r} is where clients meant to go, and no service"
                    reading.problem(reading.at(use), text)


def _service_can_be_checked(cluster: model.Cluster, only_asked: bool, reading: Reading) -> None:
    check = cluster.health_check
    if only_asked and cluster.protocol is None and check is not None and "codec" in check.kind:
        text = "the cluster has no protocol, as only filters ask it; write tcp or http"
        reading.problem(reading.at(check, "kind"), text)


def _fallback_fits(
    cluster: model.Cluster,
    clusters: Mapping[str, model.Cluster],
    used: Mapping[str, list[model.Listener]],
    reading: Reading,
) -> None:
    for name in cluster.fallback:
        other = clusters.get(name)
        if name == cluster.name:
            reading.problem(reading.at(cluster, "fallback"), "a cluster can't fall back to itself")
        elif other is not None:
            for listener in used.get(cluster.name, ()):
                protocol, own = other.protocol or listener.protocol, cluster.protocol or listener.protocol
                if protocol.name != own.name:
                    text = f"cluster {name!r} speaks {protocol.name}, requests to this one are {own.name}"
                    reading.problem(reading.at(cluster, "fallback"), text)
                    break


def _pinned(codec: ICodec) -> bool:
    """Whether each client has an upstream connection of its own, whatever a cluster says."""
    return bool(codec.connections == "pinned")


def _connections_fit(cluster: model.Cluster, senders: Sequence[model.Listener], reading: Reading) -> None:
    """Clients with connections of their own and clients that share them can't use the same cluster."""
    for listener in senders:
        ours = reading.codec(cluster.protocol or senders[0].protocol)
        theirs = reading.codec(listener.protocol)
        if _mirror(theirs) is not None and cluster.name in references.mirrors(listener):
            continue
        if ours is not None and theirs is not None and _pinned(ours) is not _pinned(theirs):
            other = "the cluster's own protocol" if cluster.protocol else f"listener {senders[0].name!r}"
            text = f"clients of listener {listener.name!r} and {other} differ in whether connections are shared (mode)"
            reading.problem(reading.at(cluster, "name"), f"{text}; give each a cluster of its own")


def _cluster_fits(listener: model.Listener, route: model.Route, cluster: model.Cluster, reading: Reading) -> None:
    targets = references.targets_of(route)
    key = "mirror" if cluster.name not in targets else "cluster" if route.cluster is not None else "clusters"
    at = reading.at(route, key)
    protocol = cluster.protocol or listener.protocol
    if protocol.name != listener.protocol.name and protocol.name not in _translated(listener, route, reading):
        speaks = f"cluster {cluster.name!r} speaks {protocol.name}, clients of the listener {listener.protocol.name}"
        reading.problem(at, f"{speaks}; no filter of the route translates that")
        return
    codec, mode = reading.codec(protocol), cluster.connections.mode
    if key == "mirror" and _mirror(codec) is not None:
        _copies_fit(route, cluster, protocol.name, reading)
        codec = _mirror(codec)
    pinned = codec is not None and _pinned(codec)
    probe_is_there(cluster, codec, reading)
    if pinned and key == "mirror":
        reading.problem(at, f"clients of {protocol.name} have a state on their connection; a copy would miss it")
    if key == "mirror" and getattr(codec, "opens", False):
        reading.problem(at, f"connections of {protocol.name} are not copied: a copy would lag behind from the start on")
    if pinned and route.retry is not None:
        text = f"has no effect behind a client's first request: clients of {protocol.name} have a state on a connection"
        reading.warn(reading.at(route, "retry"), text)
    if route.cache and codec is not None and not _caches(codec):
        reading.problem(reading.at(route, "cache"), f"answers of {protocol.name} can't be kept; leave it out")
    check_start(cluster.tls, codec, reading)
    _roles_are_told(cluster, codec, reading)
    borrows = codec is not None and codec.connections == "transaction"
    if codec is not None and not borrows and mode in BORROWED:
        text = f"connections.mode {mode} needs clients that log in at the proxy; those of {protocol.name} do not"
        reading.problem(at, f"{text}: leave it out, or give the protocol `users` if it has that option")
    if borrows and mode in ("multiplex", "pinned"):
        modes = ", ".join((*BORROWED, "pool"))
        reading.problem(at, f"clients of {protocol.name} log in at the proxy: connections.mode is one of {modes}")
    if pinned and mode not in (None, "pinned", *BORROWED):
        needs = f"each client of {protocol.name} needs a connection of its own to cluster {cluster.name!r}"
        reading.problem(at, f"{needs}; leave out its connections.mode ({mode}), or write pinned")
    balancer = reading.built(cluster.balancer)
    if route.hash and not getattr(balancer, "uses_hash", balancer is None and reading.gives(cluster, "balancer")):
        text = f"has no effect: the balancer of cluster {cluster.name!r}, {cluster.balancer.name}, looks at no hash"
        reading.warn(reading.at(route, "hash"), text)


def _mirror(codec: ICodec | None) -> ICodec | None:
    """What speaks to clusters that get copies, if that is another codec."""
    found = getattr(codec, "mirror", None)
    return found if ICodec.providedBy(found) else None


def _copies_fit(route: model.Route, cluster: model.Cluster, protocol: str, reading: Reading) -> None:
    """Copies that are requests of the proxy's own, on connections of its own."""
    if any(mirror.compare for mirror in route.mirror if mirror.cluster == cluster.name):
        text = (
            f"copies of {protocol} are requests of the proxy's own, whose answers can't be compared; leave out compare"
        )
        reading.problem(reading.at(route, "mirror"), text)
    if cluster.connections.mode not in (None, "multiplex"):
        text = f"copies of {protocol} share connections to cluster {cluster.name!r}: leave out its connections.mode"
        reading.problem(reading.at(route, "mirror"), f"{text} ({cluster.connections.mode})")


def _mirrors_are_no_targets(config: model.Config, clusters: Mapping[str, model.Cluster], reading: Reading) -> None:
    """Where copies are made by another codec than requests."""
    targets = {name for one in config.listeners for route in one.routes for name in references.targets_of(route)}
    targets |= {name for cluster in config.clusters for name in cluster.fallback}
    for listener in config.listeners:
        for name in sorted(references.mirrors(listener) & targets & clusters.keys()):
            protocol = clusters[name].protocol or listener.protocol
            if _mirror(reading.codec(protocol)) is not None:
                text = f"gets copies of {protocol.name}, on connections of the proxy's own, and requests as well"
                reading.problem(reading.at(clusters[name], "name"), f"{text}; write a cluster for each")


def _caches(codec: ICodec) -> bool:
    return getattr(type(codec), "cache_key", Codec.cache_key) is not Codec.cache_key


def _roles_are_told(cluster: model.Cluster, codec: ICodec | None, reading: Reading) -> None:
    """`topology` is one of the codec's, with a name behind it where that needs one, and asks somebody."""
    topology = cluster.topology
    if codec is None:
        return
    layouts: Mapping[str, str] = getattr(codec, "layouts", {})
    if cluster.topology_credentials is not None and (topology is None or topology.kind not in layouts):
        which = f"of {', '.join(layouts)}" if layouts else f"which {codec.name} does not have; leave it out"
        text = f"is for a `topology` whose servers tell which there are, {which}"
        reading.problem(reading.at(cluster, "topology_credentials"), text)
    if topology is None:
        return
    at = reading.at(cluster, "topology")
    known = [*getattr(codec, "topologies", ()), *layouts]
    if topology.kind not in known:
        has = f"it has {', '.join(known)}" if known else "its servers tell no roles; leave it out"
        reading.problem(at, f"{codec.name} has no topology {topology.kind!r}: {has}")
    elif layouts.get(topology.kind, "") and not topology.name:
        behind = layouts[topology.kind]
        reading.problem(at, f"{topology.kind} needs {behind}; write {{{topology.kind}: NAME}}")
    elif topology.name and not layouts.get(topology.kind, ""):
        reading.problem(at, f"nothing stands behind {topology.kind}; write `topology: {topology.kind}`")
    elif topology.kind in layouts and cluster.discovery is not None:
        text = f"the servers tell which of them there are ({topology.kind}); write `endpoints`, some of them"
        reading.problem(reading.at(cluster, "discovery"), text)


def _translated(listener: model.Listener, route: model.Route, reading: Reading) -> set[str]:
    """The protocols that filters which act on the route make requests of."""
    uses = [route.filters.get(use.name, use) for use in listener.filters]
    return {name for use in uses if use is not None for name in getattr(reading.built(use), "translates", ())}


def _subset_is_there(
    route: model.Route, cluster: str, kinds: set[frozenset[tuple[str, str]]], reading: Reading
) -> None:
    """kinds: the metadata that endpoints of the cluster have."""
    subset = (route.subset or {}).items()
    if subset and not any(subset <= kind for kind in kinds):
        text = f"no endpoint of cluster {cluster!r} has {', '.join(f'{key}: {value}' for key, value in subset)}"
        reading.warn(reading.at(route, "subset"), text)


@RULES.of(model.Config)
def _original_destinations_are_known(config: model.Config, reading: Reading) -> None:
    used = references.senders(config)
    for cluster in config.clusters:
        if not cluster.has_original_destination:
            continue
        if reading.gives(cluster, "balancer"):
            text = "has no effect: with discovery original_destination the client's connection decides"
            reading.warn(reading.at(cluster, "balancer"), text)
        for listener in used.get(cluster.name, ()):
            if not listener.original_destination:
                text = (
                    f"listener {listener.name!r} leads here and does not know it: original_destination: true is missing"
                )
                reading.problem(reading.at(cluster, "discovery"), text)
