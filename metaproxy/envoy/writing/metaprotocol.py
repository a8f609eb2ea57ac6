"""
Listeners of dubbo, thrift, brpc and trpc as Aeraki's MetaProtocolProxy.

Lives here: `meta_protocol_proxy`, its routes. Does not: filters (`filters`), logs (`logs`).
"""

from __future__ import annotations

import re

from metaproxy.config.schema.reading import Use
from metaproxy.envoy.metaprotocol import CODECS, TYPE
from metaproxy.envoy.writing.conditions import header_matcher
from metaproxy.envoy.writing.filters import meta_filters
from metaproxy.envoy.writing.keys import Keys, Plain, seconds, typed, without_empty
from metaproxy.envoy.writing.logs import access_logs, tracing_of
from metaproxy.envoy.writing.routes import Around, destination, mirrors

NAMES = {ours: theirs for theirs, ours in CODECS.items()}
_PLACE = re.compile(r"%[\w.\-]+%")


def meta_protocol_proxy(listener: Keys, use: Use, around: Around) -> Plain:
    """The network filter, packed."""
    options = listener.options(use, listener.at("protocol"))
    options.close()
    protocol = {"name": use.name, "codec": {"name": NAMES[use.name]}}
    message: Plain = {"stat_prefix": listener.text("name"), "protocol": protocol}
    idle = listener.number("idle_timeout")
    if idle:
        message["idle_timeout"] = seconds(idle)
    message["meta_protocol_filters"] = meta_filters(listener)
    message["access_log"] = access_logs(listener, False)
    message["tracing"] = tracing_of(listener, False, around.tracer)
    rds = listener.inner("routes")
    if rds is not None:
        message["rds"] = _rds(rds)
    else:
        routes = [_route(route) for route in listener.each("routes")]
        message["route_config"] = {"name": listener.text("name"), "routes": routes}
    return {"name": "aeraki.meta_protocol_proxy", "typed_config": typed(TYPE, **without_empty(message))}


def _rds(rds: Keys) -> Plain:
    source: Plain = {"resource_api_version": "V3"}
    server = rds.text("server")
    if server:
        grpc = [{"envoy_grpc": {"cluster_name": server}}]
        source["api_config_source"] = {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": grpc}
    else:
        source["ads"] = {}
    return {"route_config_name": rds.text("name"), "config_source": source}


def _route(route: Keys) -> Plain:
    matchers = [
        header_matcher(key, condition, route.at("match", key), route.wrong)
        for key, condition in route.mapping("match").items()
    ]
    if route.given("reply"):
        route.cannot("reply", "MetaProtocolProxy does not answer by itself")
        route.ignore("cluster", "clusters")
        action: Plain = {}
    else:
        action = destination(route)
    action["hash_policy"] = route.texts("hash")
    action["request_mirror_policies"] = mirrors(route)
    plain: Plain = {"name": route.text("name"), "match": {"metadata": matchers}, "route": without_empty(action)}
    for side in ("request", "response"):
        plain[f"{side}_mutation"] = _mutation(route, side)
    route.close()
    return without_empty(plain)


def _mutation(route: Keys, side: str) -> list[Plain]:
    changes = route.inner(side)
    if changes is None:
        return []
    values = changes.mapping("set")
    for key, value in values.items():
        if _PLACE.search(str(value)):
            changes.wrong.append(f"{changes.at('set', key)}: MetaProtocolProxy fills nothing in")
    for key in ("append", "add"):
        changes.refuse(key, "MetaProtocolProxy sets keys, whatever there was")
    changes.refuse("remove", "MetaProtocolProxy sets keys, and removes none")
    changes.close()
    return [{"key": key, "value": str(value)} for key, value in values.items()]
