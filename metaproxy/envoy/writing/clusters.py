"""
Our clusters as Envoy's.

Lives here: `cluster_of`: endpoints, connections, balancers. Does not: limits and health checks (`health`).
"""

from __future__ import annotations

from ipaddress import ip_address

from metaproxy import units
from metaproxy.config.schema.reading import Use
from metaproxy.envoy.routing import SUBSETS
from metaproxy.envoy.writing.health import breakers, health_checks, outlier
from metaproxy.envoy.writing.keys import Keys, OptionKeys, Plain, address, seconds, typed, without_empty
from metaproxy.envoy.writing.routes import Around
from metaproxy.envoy.writing.tls import upstream

_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_REDIS = "envoy.extensions.filters.network.redis_proxy.v3.RedisProtocolOptions"
_POLICIES = {
    "round_robin": "ROUND_ROBIN", "least_request": "LEAST_REQUEST", "ring_hash": "RING_HASH", "maglev": "MAGLEV",
    "random": "RANDOM",
}  # fmt: skip


def cluster_of(cluster: Keys, around: Around, codecs: set[str]) -> Plain:
    """codecs: those of the listeners that lead to it."""
    name = cluster.text("name")
    plain: Plain = {"name": name, "connect_timeout": seconds(cluster.number("connect_timeout"))}
    plain.update(_endpoints(cluster))
    plain.update(_balancer(cluster, plain.get("type") == "ORIGINAL_DST"))
    plain["circuit_breakers"] = breakers(cluster)
    plain["outlier_detection"] = outlier(cluster)
    plain["health_checks"] = health_checks(cluster, codecs)
    plain["typed_extension_protocol_options"] = _protocol(cluster, codecs)
    plain.update(_connections(cluster))
    if cluster.given("panic_threshold"):
        plain["common_lb_config"] = {"healthy_panic_threshold": {"value": cluster.number("panic_threshold")}}
    tls = cluster.inner("tls")
    if tls is not None:
        plain["transport_socket"] = upstream(tls)
    if name in around.timed:
        cluster.ignore("request_timeout")  # its routes say it
    cluster.ignore("panic_threshold")
    cluster.close()
    return without_empty(plain)


# -- endpoints


def _endpoints(cluster: Keys) -> Plain:
    use = cluster.use("discovery")
    if use is not None:
        return _discovered(cluster, use)
    groups: dict[tuple[str, int], list[Plain]] = {}
    literal = True
    for endpoint in cluster.each("endpoints"):
        where = endpoint.text("address")
        literal = literal and _is_literal(where)
        one: Plain = {"endpoint": {"address": address(where)}}
        if endpoint.given("weight"):
            one["load_balancing_weight"] = endpoint.whole("weight")
        metadata = endpoint.mapping("metadata")
        if metadata:
            one["metadata"] = {"filter_metadata": {SUBSETS: metadata}}
        groups.setdefault((endpoint.text("zone"), endpoint.whole("priority")), []).append(one)
        endpoint.ignore("weight")
        endpoint.close()
    listed = [
        without_empty({"locality": {"zone": zone} if zone else {}, "priority": priority or None, "lb_endpoints": ends})
        for (zone, priority), ends in groups.items()
    ]
    assignment = {"cluster_name": cluster.text("name"), "endpoints": listed}
    return {"type": "STATIC" if literal else "STRICT_DNS", "load_assignment": assignment}


def _is_literal(where: str) -> bool:
    if where.startswith("unix:"):
        return True
    try:
        ip_address(where.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False
    return True


_FAMILIES = {"all": "ALL", "v4": "V4_ONLY", "v6": "V6_ONLY"}


def _discovered(cluster: Keys, use: Use) -> Plain:
    if use.name == "original_destination":
        return {"type": "ORIGINAL_DST"}
    options = OptionKeys(use.options, f"{cluster.at('discovery')}.{use.name}", cluster.wrong)
    if use.name == "dns":
        where = str(options.take("target", ""))
        plain: Plain = {
            "type": "STRICT_DNS",
            "dns_lookup_family": _FAMILIES.get(str(options.take("family", "all")), "ALL"),
        }
        refresh = options.take("refresh", 5.0)
        options.take("max_refresh")
        plain["dns_refresh_rate"] = seconds(units.seconds(refresh))
        ends = [{"lb_endpoints": [{"endpoint": {"address": address(where)}}]}] if ":" in where else []
        plain["load_assignment"] = {"cluster_name": cluster.text("name"), "endpoints": ends}
        options.close()
        return plain
    if use.name == "eds":
        service = str(options.take("target", ""))
        options.close()
        source = {"ads": {}, "resource_api_version": "V3"}
        return {"type": "EDS", "eds_cluster_config": {"service_name": service, "eds_config": source}}
    cluster.cannot("discovery", f"Envoy has no {use.name}")
    return {}


# -- balancers


def _balancer(cluster: Keys, provided: bool) -> Plain:
    use = cluster.use("balancer")
    if use is None or provided:
        return {"lb_policy": "CLUSTER_PROVIDED"} if provided else {}
    plain: Plain = {"lb_policy": _POLICIES.get(use.name, "")}
    options = OptionKeys(use.options, f"{cluster.at('balancer')}.{use.name}", cluster.wrong)
    if use.name == "ring_hash":
        sizes = {name: options.take(name) for name in ("minimum_ring_size", "maximum_ring_size")}
        plain["ring_hash_lb_config"] = without_empty(sizes)
    elif use.name == "maglev":
        plain["maglev_lb_config"] = without_empty({"table_size": options.take("table_size")})
    elif use.name not in _POLICIES:
        cluster.cannot("balancer", f"Envoy has no {use.name}")
    if options.take("key") not in (None, [], ["key"]):
        options.cannot("key", "Envoy's routes say what is hashed: write it in hash: of the routes")
    options.close()
    if cluster.given("slow_start"):
        window = {"slow_start_config": {"slow_start_window": seconds(cluster.number("slow_start"))}}
        if use.name == "round_robin":
            plain["round_robin_lb_config"] = window
        elif use.name == "least_request":
            plain["least_request_lb_config"] = window
        else:
            cluster.cannot("slow_start", f"{use.name} has none in Envoy")
    cluster.ignore("slow_start")
    return without_empty(plain)


# -- protocols and connections


def _protocol(cluster: Keys, codecs: set[str]) -> Plain:
    use = cluster.use("protocol")
    name = use.name if use is not None else next(iter(codecs), "") if len(codecs) == 1 else ""
    options = OptionKeys(use.options if use is not None else {}, cluster.at("protocol"), cluster.wrong)
    version = options.take("version", 1)
    found: Plain = {}
    connections = getattr(cluster.section, "connections")  # noqa: B009 - Section has no such field
    common: Plain = {}
    if name in ("http", "grpc"):
        if connections.idle_timeout != 300:
            common["idle_timeout"] = seconds(connections.idle_timeout)
        if connections.max_age:
            common["max_connection_duration"] = seconds(connections.max_age)
        explicit: Plain = (
            {"http2_protocol_options": {}} if name == "grpc" or version == 2 else {"http_protocol_options": {}}
        )
        message: Plain = {"explicit_http_config": explicit}
        if common:
            message["common_http_protocol_options"] = common
        if use is not None or name == "grpc" or common:
            found[_HTTP] = typed(_HTTP, **message)
    login = cluster.mapping("credentials")
    if name == "redis" and login:
        sources = {
            f"auth_{'username' if key == 'user' else key}": {"inline_string": str(value)}
            for key, value in login.items()
        }
        found["envoy.filters.network.redis_proxy"] = typed(_REDIS, **sources)
    elif login:
        cluster.cannot("credentials", f"Envoy logs in to servers of Redis, and not of {name or 'several protocols'}")
    options.close()
    return found


def _connections(cluster: Keys) -> Plain:
    plain: Plain = {}
    connections = cluster.inner("connections")
    if connections is not None:
        if connections.text("mode") == "pinned":
            plain["connection_pool_per_downstream_connection"] = True
        elif connections.given("mode"):
            connections.cannot("mode", "Envoy's protocols decide how connections are used")
        if connections.given("max_requests"):
            plain["max_requests_per_connection"] = connections.whole("max_requests")
        if plain_http(cluster):
            connections.ignore("idle_timeout", "max_age")
        connections.ignore("mode", "max_requests")
        connections.close()
    keepalive = cluster.inner("keepalive")
    if keepalive is not None:
        probes = {
            "keepalive_probes": keepalive.whole("count"),
            "keepalive_time": keepalive.whole("idle"),
            "keepalive_interval": keepalive.whole("interval"),
        }
        plain["upstream_connection_options"] = {"tcp_keepalive": probes}
    return plain


def plain_http(cluster: Keys) -> bool:
    use = getattr(cluster.section, "protocol")  # noqa: B009 - Section has no such field
    return isinstance(use, Use) and use.name in ("http", "grpc")
