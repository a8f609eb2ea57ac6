"""
Envoy's thrift_proxy as a listener of the codec `thrift`.

Lives here: its translator, routes. Does not: destinations (`metaprotocol`).
"""

from __future__ import annotations

from metaproxy.envoy.fields import Fields, number, without_empty
from metaproxy.envoy.http_matching import add
from metaproxy.envoy.matching import header_condition
from metaproxy.envoy.metaprotocol import Names, access_logs, destination_of, mirror_of
from metaproxy.envoy.routing import subset_of
from metaproxy.envoy.tables import NETWORK_FILTERS, PROTOCOL_OPTIONS, Chain, Context, Plain

_THRIFT = "envoy.extensions.filters.network.thrift_proxy"
_ROUTER = "envoy.filters.thrift.router"
_TRANSPORTS = {"AUTO_TRANSPORT": "auto", "FRAMED": "framed", "UNFRAMED": "unframed", "HEADER": "header"}
_PROTOCOLS = {"AUTO_PROTOCOL": "auto", "BINARY": "binary", "LAX_BINARY": "binary", "COMPACT": "compact"}


@NETWORK_FILTERS.add(f"{_THRIFT}.v3.ThriftProxy", "envoy.filters.network.thrift_proxy")
def thrift_proxy(config: Fields, chain: Chain) -> None:
    config.require("stat_prefix")
    config.ignore("stat_prefix", "payload_passthrough", "header_keys_preserve_case")  # payloads and keys stay as sent
    chain.terminal = chain.terminal or "ThriftProxy"
    transport, protocol = config.choice("transport"), config.choice("protocol")
    if protocol not in _PROTOCOLS:
        config.unhonoured("protocol", f"metaproxy has no {protocol}")
    options: Plain = {"transport": _TRANSPORTS.get(transport, "auto"), "protocol": _PROTOCOLS.get(protocol, "auto")}
    given = {key: value for key, value in options.items() if value != "auto"}
    chain.section["protocol"] = {"name": "thrift", **given} if given else "thrift"
    for one in config.each("thrift_filters"):
        extension = one.extension()
        if not (extension.type.endswith(".Router") or extension.name == _ROUTER):
            chain.report.essential(one.path, f"metaproxy has no filter of Thrift {extension.name or extension.type!r}")
        elif extension.config is not None:
            extension.config.ignore("close_downstream_on_upstream_error")
    if config.given("trds"):
        chain.report.unusable(
            config.at("trds"), "metaproxy takes Thrift's routes with the listener; write route_config"
        )
    table = config.message_at("route_config")
    named = Names()
    routes: list[Plain] = []
    if table is not None:
        table.ignore("validate_clusters")
        name = table.text("name")
        routes = [plain for route in table.each("routes") for plain in _route(route, name, named, chain)]
    chain.section["routes"] = routes
    chain.section.update(without_empty({"access_log": access_logs(config.each("access_log"), chain)}))


def _route(route: Fields, name: str, named: Names, chain: Chain) -> list[Plain]:
    match: Plain = {}
    asked = route.message_at("match")
    if asked is not None:
        _add_match(match, asked)
    action = route.message_at("route")
    if action is None:
        route.require("route")
        return []
    action.refuse("strip_service_name", "metaproxy passes the name of a method on as it came", False)
    common = subset_of(action.message_at("metadata_match"))
    plain: Plain = {"match": match}
    plain["mirror"] = [one for policy in action.each("request_mirror_policies") if (one := mirror_of(policy, chain))]
    return [
        without_empty({"name": named(name), **plain, **keys, "subset": {**common, **subset}})
        for keys, subset in _destinations(action)
    ]


def _destinations(action: Fields) -> list[tuple[Plain, Plain]]:
    """Keys of each route that an action becomes, and its subset: several only where subsets differ by cluster."""
    weighted = (
        action.message_at("weighted_clusters") if action.which("cluster_specifier") == "weighted_clusters" else None
    )
    if action.which("cluster_specifier") == "cluster_header":
        action.unhonoured("cluster_header", "metaproxy's routes name their clusters; write cluster")
        return []
    listed = weighted.each("clusters") if weighted is not None else []
    subsets = [subset_of(one.message_at("metadata_match")) for one in listed]
    if weighted is None:
        return [(destination_of(action), {})]
    if not any(subsets):
        weights: dict[str, int] = {}
        for one in listed:
            weights[one.text("name")] = weights.get(one.text("name"), 0) + one.whole("weight")
        return [({"clusters": {**weights}}, {})]
    left = sum(one.whole("weight") for one in listed)
    found: list[tuple[Plain, Plain]] = []
    for one, subset in zip(listed, subsets, strict=True):
        weight = one.whole("weight")
        if weight:
            share = number(100 * weight / left)
            found.append(({"cluster": one.text("name"), **({} if share == 100 else {"percent": share})}, subset))
        left -= weight
    return found


def _add_match(match: Plain, asked: Fields) -> None:
    which = asked.which("match_specifier")
    invert = asked.flag("invert")
    condition: Plain = {}
    if which == "method_name" and asked.text("method_name"):
        condition = {"exact": asked.text("method_name")}
    elif which == "service_name" and asked.text("service_name"):
        condition = {"prefix": f"{asked.text('service_name').removesuffix(':')}:"}
    elif invert:
        asked.invalid("invert", "an empty name holds for every call, and inverted for none")
    if condition:
        plain = {**condition, "not": True} if invert else condition
        add(match, "method", plain["exact"] if plain.keys() == {"exact"} else plain, asked)
    for header in asked.each("headers"):
        found = header_condition(header)
        name = header.text("name")
        if found is not None:
            add(match, "method" if name == ":method-name" else name, found, header)


@PROTOCOL_OPTIONS.add(f"{_THRIFT}.v3.ThriftProtocolOptions", "envoy.filters.network.thrift_proxy")
def protocol_options(config: Fields, section: Plain, context: Context) -> None:
    """Servers are spoken to as their clients speak."""
    text = "metaproxy speaks to servers as their clients do"
    config.refuse("transport", text, 0)
    config.refuse("protocol", text, 0)
