"""
Envoy's configurations, one a filter: each the equal of what metaproxy is given, as near as Envoy has it.

Lives here: bootstraps as values that `json` can write. Does not: starting Envoy.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_TYPES = "type.googleapis.com/envoy.extensions"
_NETWORK = f"{_TYPES}.filters.network"
_MANY = 100_000  # Envoy's own circuit breaker limits, 1024, are below what the loads keep in flight


def bootstrap(network_filter: Json, listen: int, admin: int, backend: int, buffer: int | None = None) -> Json:
    """
    One listener with this filter in front of one cluster, `backend`, with one endpoint; ports on loopback.

    buffer: bytes that a connection may buffer, None for Envoy's 1 MiB.
    """
    buffers = {} if buffer is None else {"per_connection_buffer_limit_bytes": buffer}
    limits = {"max_connections": _MANY, "max_pending_requests": _MANY, "max_requests": _MANY}
    cluster = {
        "name": "backend",
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": "backend",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(backend)}}]}],
        },
        **buffers,
    }
    chains = [{"filters": [network_filter]}]
    listener = {"name": "bench", "address": _address(listen), "filter_chains": chains, **buffers}
    return {
        "admin": {"address": _address(admin)},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }


def dubbo_proxy(services: list[str], method: str) -> Json:
    """The Dubbo filter; it has no filter of its own besides the router."""
    routes = [
        {
            "name": service,
            "interface": service,
            "routes": [{"match": {"method": {"name": {"exact": method}}}, "route": {"cluster": "backend"}}],
        }
        for service in services
    ]
    return _filter(
        "dubbo_proxy",
        f"{_NETWORK}.dubbo_proxy.v3.DubboProxy",
        protocol_type="Dubbo",
        serialization_type="Hessian2",
        multiple_route_config={"name": "bench", "route_config": routes},
    )


def generic_proxy(services: list[str], method: str) -> Json:
    """Generic proxy with its Dubbo codec; routes are two look-ups, service and method, which is its fastest form."""
    generic = f"{_NETWORK}.generic_proxy"
    action = _typed("route", f"{generic}.action.v3.RouteAction", cluster="backend")
    by_method = _look_up("MethodMatchInput", {method: {"action": action}})
    by_service = _look_up("ServiceMatchInput", {service: {"matcher": by_method} for service in services})
    return _filter(
        "generic_proxy",
        f"{generic}.v3.GenericProxy",
        codec_config=_typed("envoy.generic_proxy.codecs.dubbo", f"{generic}.codecs.dubbo.v3.DubboCodecConfig"),
        filters=[_typed("envoy.filters.generic.router", f"{generic}.router.v3.Router")],
        route_config={
            "name": "bench",
            "virtual_hosts": [{"name": "bench", "hosts": ["*"], "routes": by_service}],
        },
    )


def thrift_proxy(methods: list[str], transport: str) -> Json:
    """The Thrift filter at its fastest: transport (FRAMED, HEADER) and protocol fixed, the payload not decoded."""
    thrift = f"{_NETWORK}.thrift_proxy"
    routes = [{"match": {"method_name": method}, "route": {"cluster": "backend"}} for method in methods]
    local_filter = _typed(
        "envoy.filters.thrift.header_to_metadata",
        f"{thrift}.filters.header_to_metadata.v3.HeaderToMetadata",
        request_rules=[{"header": "tenant", "on_present": {"metadata_namespace": "bench", "key": "tenant"}}],
    )
    return _filter(
        "thrift_proxy",
        f"{thrift}.v3.ThriftProxy",
        transport=transport,
        protocol="BINARY",
        payload_passthrough=True,
        thrift_filters=[local_filter, _typed("envoy.filters.thrift.router", f"{thrift}.router.v3.Router")],
        route_config={"name": "bench", "routes": routes},
    )


def redis_proxy() -> Json:
    """The Redis filter; it has no filters of its own."""
    return _filter(
        "redis_proxy",
        f"{_NETWORK}.redis_proxy.v3.RedisProxy",
        settings={"op_timeout": "5s"},
        prefix_routes={"catch_all_route": {"cluster": "backend"}},
    )


def redis_cluster(listen: int, admin: int, node: int) -> Json:
    """The Redis filter in front of a Redis Cluster, one node of which is known."""
    made = bootstrap(redis_proxy(), listen, admin, node)
    (cluster,) = made["static_resources"]["clusters"]
    del cluster["type"]
    config = {
        "@type": f"type.googleapis.com/{_TYPES}.clusters.redis.v3.RedisClusterConfig",
        "cluster_refresh_rate": "1s",
    }
    cluster |= {
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {"name": "envoy.clusters.redis", "typed_config": config},
    }
    return made


def tcp_proxy() -> Json:
    """Bytes both ways and no protocol: what a proxy costs before it understands anything."""
    return _filter("tcp_proxy", f"{_NETWORK}.tcp_proxy.v3.TcpProxy", cluster="backend")


def _filter(name: str, message: str, **fields: Any) -> Json:
    return _typed(f"envoy.filters.network.{name}", message, stat_prefix="bench", **fields)


def _typed(extension: str, message: str, **fields: Any) -> Json:
    url = message if message.startswith("type.") else f"{_TYPES}.{message}"
    return {"name": extension, "typed_config": {"@type": url, **fields}}


def _look_up(matched: str, entries: Json) -> Json:
    matched_input = _typed("what", f"{_NETWORK}.generic_proxy.matcher.v3.{matched}")
    return {"matcher_tree": {"input": matched_input, "exact_match_map": {"map": entries}}}


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def http_proxy(listen: int, admin: int, backend: int, second: bool) -> Json:
    """The HTTP connection manager with one route. second: HTTP/2 to clients and to the backend."""
    manager = _filter(
        "http_connection_manager",
        f"{_NETWORK}.http_connection_manager.v3.HttpConnectionManager",
        codec_type="HTTP2" if second else "HTTP1",
        route_config={
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}],
                }
            ]
        },
        http_filters=[_typed("router", f"{_TYPES}.filters.http.router.v3.Router")],
    )
    made = bootstrap(manager, listen, admin, backend)
    if second:
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        version = {"explicit_http_config": {"http2_protocol_options": {}}}
        made["static_resources"]["clusters"][0]["typed_extension_protocol_options"] = {
            options: {"@type": f"type.googleapis.com/{options}", **version}
        }
    return made
