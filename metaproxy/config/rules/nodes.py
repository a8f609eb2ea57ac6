"""
Rules on a listener's `nodes`: what its doors need, and that something comes through them.

Lives here: `RULES`. Does not: what doors do (`proxy.doors`); that their addresses are free (`addresses`).
"""

from __future__ import annotations

from metaproxy.config import model, references
from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.reading import Reading
from metaproxy.proxy.doors import PLACE
from metaproxy.support import addresses as address

RULES = Rules()


@RULES.of(model.Nodes)
def _one_kind_of_door(nodes: model.Nodes, reading: Reading) -> None:
    if (nodes.ports is None) == (nodes.sni is None):
        text = f'write ports, such as {{ports: 9100-9199}}, or {{sni: "broker-{PLACE}.example.org", port: 9093}}'
        reading.problem(reading.at(nodes), text)
        return
    for key, other in (("advertise", "ports"), ("port", "sni")):
        if getattr(nodes, key) is not None and getattr(nodes, other) is None:
            reading.problem(reading.at(nodes, key), f"has no effect without {other}; leave it out")
    if nodes.sni is not None:
        if nodes.sni.count(PLACE) != 1 or not _is_name(nodes.sni.replace(PLACE, "0")):
            text = f"{nodes.sni!r} is no name with {PLACE} in it once; write one such as broker-{PLACE}.example.org"
            reading.problem(reading.at(nodes, "sni"), text)
        if nodes.port is None:
            reading.problem(reading.at(nodes), "sni needs port: where clients reach the listener")
    elif nodes.advertise is not None and not _is_name(nodes.advertise):
        reading.problem(reading.at(nodes, "advertise"), f"{nodes.advertise!r} is no host; write a name or an address")


def _is_name(text: str) -> bool:
    try:
        return address.parse(f"[{text}]:1" if ":" in text else f"{text}:1").is_host
    except ValueError:
        return False


@RULES.of(model.Listener)
def _nodes_are_named(listener: model.Listener, reading: Reading) -> None:
    nodes = listener.nodes
    if nodes is None:
        return
    at = reading.at(listener, "nodes")
    codec = reading.codec(listener.protocol)
    if codec is not None and not getattr(codec, "names_nodes", False):
        reading.problem(at, f"has no effect: {listener.protocol.name} gives clients no addresses of nodes")
    if nodes.sni is not None and listener.tls is None:
        reading.problem(at, "sni needs tls: the name is what a client's TLS asks for")
    if nodes.ports is not None and not any(address.parse(one).port for one in listener.listen):
        reading.problem(at, "ports needs a `listen` with a host and a port of its own")
    clusters = {name for route in listener.routes for name in references.targets_of(route)}
    if len(clusters) > 1:
        text = f"its routes lead to several clusters ({', '.join(sorted(clusters))}), whose nodes have the same numbers"
        reading.problem(at, f"{text}; write a listener for each")


@RULES.of(model.Config)
def _nodes_are_known(config: model.Config, reading: Reading) -> None:
    """A warning: a control plane may give endpoints their numbers later."""
    clusters = {cluster.name: cluster for cluster in config.clusters}
    for listener in config.listeners:
        if listener.nodes is None:
            continue
        for name in {name for route in listener.routes for name in references.targets_of(route)} & clusters.keys():
            cluster = clusters[name]
            numbered = any("node" in one.metadata for one in cluster.endpoints)
            if cluster.topology is None and cluster.discovery is None and not numbered:
                text = f"cluster {name!r} has no nodes: write its `topology`, or metadata with `node` for its endpoints"
                reading.warn(reading.at(listener, "nodes"), text)
