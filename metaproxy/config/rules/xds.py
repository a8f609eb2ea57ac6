"""
Rules on control planes: what can be asked where, and whether what refers to one finds it.

Lives here: `RULES`. Does not: TLS files (`certificates`).
"""

from __future__ import annotations

from importlib.util import find_spec

from metaproxy.config import model
from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.reading import Reading, near
from metaproxy.support import addresses
from metaproxy.support.extras import install

RULES = Rules()
EDS = "eds"


@RULES.of(model.Xds)
def _it_can_be_reached(xds: model.Xds, reading: Reading) -> None:
    where = xds.server
    if where is None:
        if xds.transport == "file":
            reading.problem(reading.at(xds, "cluster"), "a cluster has no files; write server: PATH")
        return
    text = ""
    if xds.transport == "rest":
        if not where.startswith(("http://", "https://")):
            text = f"{where!r} is not a URL; write one such as http://127.0.0.1:8080, whose /v3/discovery: is polled"
    elif xds.transport in ("grpc", "delta"):
        try:
            port = addresses.parse(where).port
            text = "" if port or where.startswith("unix:") else f"{where!r} has no port; write HOST:PORT or unix:/path"
        except ValueError as error:
            text = str(error)
    if text:
        reading.problem(reading.at(xds, "server"), text)


@RULES.of(model.Xds)
def _options_have_an_effect(xds: model.Xds, reading: Reading) -> None:
    if xds.tls is not None and xds.cluster is not None:
        reading.problem(reading.at(xds, "tls"), "the cluster's own TLS is used; write it there")
    elif xds.tls is not None and (xds.transport == "file" or str(xds.server).startswith(("unix:", "http:"))):
        reading.problem(reading.at(xds, "tls"), f"has no effect with {xds.server}; leave it out")
    if xds.token is not None and xds.transport == "file":
        reading.problem(reading.at(xds, "token"), "has no effect with files; leave it out")
    if reading.gives(xds, "refresh") and xds.transport != "rest":
        reading.problem(reading.at(xds, "refresh"), "is for transport: rest; changes come by themselves here")


@RULES.of(model.Xds)
def _packages_are_there(xds: model.Xds, reading: Reading) -> None:
    if find_spec("envoy") is None or find_spec("grpc") is None:
        reading.problem(reading.at(xds), f"xDS needs the extra `xds`: {install('xds')}")


@RULES.of(model.Config)
def _servers_tell_proxies_apart(config: model.Config, reading: Reading) -> None:
    asked = [one for one in config.xds if one.transport != "file"]
    if asked and not config.node.id:
        text = "nothing tells this proxy from others; write node: {id: NAME} at the top"
        reading.problem(reading.at(asked[0]), text)


@RULES.of(model.Config)
def _each_has_a_name_of_its_own(config: model.Config, reading: Reading) -> None:
    seen: dict[str, model.Xds] = {}
    for one in config.xds:
        if one.label in seen:
            text = f"{one.label!r} is the name of another server, {reading.at(seen[one.label]).place}; rename one"
            reading.problem(reading.at(one), text)
        seen.setdefault(one.label, one)


@RULES.of(model.Config)
def _what_refers_to_one_finds_it(config: model.Config, reading: Reading) -> None:
    for listener in config.listeners:
        routes = listener.routes
        if isinstance(routes, model.Rds):
            _finds(config, routes.server, "routes", reading.at(routes), reading)
    for cluster in config.clusters:
        use = cluster.discovery
        if use is not None and use.name == EDS:
            server = str(use.options.get("server", ""))
            _finds(config, server, "endpoints", reading.at(cluster, "discovery"), reading)


def _finds(config: model.Config, server: str, kind: str, at: Node, reading: Reading) -> None:
    known = {one.label: one for one in config.xds if kind in one.resources}
    if not known:
        reading.problem(at, f"no server to ask for {kind}; write xds: [{{server: HOST:PORT}}] at the top")
    elif server and server not in known:
        reading.problem(at, f"no xds server {server!r}; {near(server, known, 'server')}")
    elif not server and len(known) > 1 and sum(one.aggregated for one in known.values()) != 1:
        reading.problem(at, f"several servers have {kind}; write server: {' or '.join(known)}")
