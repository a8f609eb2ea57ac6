"""
Envoy's dubbo_proxy as a listener of the codec `dubbo`.

Lives here: its translator, routes, its filters. Does not: policies (`rbac_policies`).
"""

from __future__ import annotations

from metaproxy.envoy.fields import Extension, Fields, without_empty
from metaproxy.envoy.http_matching import add
from metaproxy.envoy.matching import header_condition, string_condition
from metaproxy.envoy.metaprotocol import Names, destination_of
from metaproxy.envoy.rbac_policies import options_of
from metaproxy.envoy.routing import subset_of
from metaproxy.envoy.tables import NETWORK_FILTERS, Chain, Plain

_DUBBO = "envoy.extensions.filters.network.dubbo_proxy"
_ROUTER = "envoy.filters.dubbo.router"
_RBAC = "envoy.filters.dubbo.rbac"
"""A filter of Aeraki's own Envoy."""


@NETWORK_FILTERS.add(f"{_DUBBO}.v3.DubboProxy", "envoy.filters.network.dubbo_proxy")
def dubbo_proxy(config: Fields, chain: Chain) -> None:
    config.require("stat_prefix")
    config.ignore(
        "stat_prefix", "protocol_type", "serialization_type"
    )  # there is one protocol, and frames say the rest
    chain.terminal = chain.terminal or "DubboProxy"
    chain.section["protocol"] = "dubbo"
    _filters(config, chain)
    tables = config.each("route_config")
    several = config.message_at("multiple_route_config")
    if several is not None:
        several.ignore("name")
        tables = several.each("route_config")
    if config.given("drds"):
        chain.report.unusable(config.at("drds"), "metaproxy takes Dubbo's routes with the listener; write route_config")
    named = Names()
    chain.section["routes"] = [route for table in tables for route in _routes(table, named)]


def _filters(config: Fields, chain: Chain) -> None:
    for one in config.each("dubbo_filters"):
        extension = one.extension("config")
        if extension.type.endswith(".Router") or extension.name == _ROUTER:
            continue
        if extension.config is not None and _is_rbac(extension, extension.config):
            labels = ("stat_prefix", "shadow_rules_stat_prefix", "enforcement_type")
            extension.config.ignore(*filter(extension.config.has, labels))
            options = options_of(extension.config)
            chain.filters += [{"rbac": options}] if options else []
        else:
            chain.report.essential(one.path, f"metaproxy has no filter of Dubbo {extension.name or extension.type!r}")


def _is_rbac(extension: Extension, config: Fields) -> bool:
    named = extension.type.endswith("rbac.v3.RBAC") or extension.name == _RBAC
    return named and all(map(config.has, ("rules", "shadow_rules", "matcher")))


def _routes(table: Fields, named: Names) -> list[Plain]:
    service: Plain = {}
    for key, name in (("interface", "interface"), ("group", "group"), ("service.version", "version")):
        value = table.text(name)
        if name == "interface" and value.startswith("*") and len(value) > 1:
            service[key] = {"suffix": value[1:]}
        elif name == "interface" and value.endswith("*") and len(value) > 1:
            service[key] = {"prefix": value[:-1]}
        elif value and value != "*":
            service[key] = value
    table.require("name")
    return [plain for route in table.each("routes") if (plain := _route(route, table.text("name"), service, named))]


def _route(route: Fields, name: str, service: Plain, named: Names) -> Plain:
    match: Plain = dict(service)
    asked = route.message_at("match")
    if asked is not None:
        _add_match(match, asked)
    action = route.message_at("route")
    if action is None:
        route.require("route")
        return {}
    subset = subset_of(action.message_at("metadata_match"))
    return without_empty({"name": named(name), "match": match, **destination_of(action), "subset": subset})


def _add_match(match: Plain, asked: Fields) -> None:
    method = asked.message_at("method")
    if method is not None and method.given("params_match"):  # without this condition too much would match
        method.essential("params_match", "metaproxy's routes look at no parameters")
    name = method.message_at("name") if method is not None else None
    condition = string_condition(name) if name is not None else None
    if condition is not None:
        add(match, "method", condition["exact"] if condition.keys() == {"exact"} else condition, asked)
    for header in asked.each("headers"):
        found = header_condition(header)
        if found is not None:
            add(match, header.text("name"), found, header)
