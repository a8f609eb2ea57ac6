"""
The MetaProtocolProxy filter of a port, outbound and inbound, with the limits of a MetaRouter.

Lives here: `outbound`, `inbound`, limits. Does not: listeners around it (`listeners`), policies (`authorization`).
"""

from __future__ import annotations

from metaproxy.mesh.generator.clusters import inbound_name
from metaproxy.mesh.generator.messages import Json, duration, packed, without_nothing
from metaproxy.mesh.generator.protocols import PortProtocol
from metaproxy.mesh.generator.routes import matchers, route_name
from metaproxy.mesh.objects.meta_router import GlobalRateLimit, LocalRateLimit, MetaRouter, TokenBucket

_PROXY = "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy"
_FILTERS = "aeraki.meta_protocol_proxy.filters"
_TCP = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
FILTER = "envoy.filters.network.meta_protocol_proxy"


def outbound_filter(protocol: PortProtocol, host: str, port: int, more: Json) -> Json:
    """Return the filter of a service's port at its clients. more: keys that do not depend on the service."""
    rds = {"routeConfigName": route_name(host, port), "configSource": {"ads": {}, "resourceApiVersion": "V3"}}
    return _filter(protocol, f"outbound|{port}||{host}", host, {"rds": rds, **more}, [])


def inbound_filter(protocol: PortProtocol, host: str, target: int, router: MetaRouter | None, more: Json) -> Json:
    """Return the filter of a workload's own server. more: as above."""
    name = inbound_name(target)
    routes = {"name": name, "routes": [{"name": "default", "route": {"cluster": name}}]}
    filters: list[Json] = []
    if router is not None and router.local_rate_limit is not None:
        filters.append(_local(router.local_rate_limit, host))
    if router is not None and router.global_rate_limit is not None:
        filters.append(_global(router.global_rate_limit))
    return _filter(protocol, name, host, {"routeConfig": routes, **more}, filters)


def _filter(protocol: PortProtocol, prefix: str, host: str, routes: Json, filters: list[Json]) -> Json:
    stats = packed(f"{_FILTERS}.istio_stats.v1alpha.IstioStats", {"destinationService": host})
    config = {
        "statPrefix": prefix,
        "applicationProtocol": protocol.protocol,
        "codec": {"name": protocol.codec},
        **routes,
        "metaProtocolFilters": [
            *filters,
            {"name": "aeraki.meta_protocol.filters.metadata_exchange"},
            {"name": "aeraki.meta_protocol.filters.istio_stats", "config": stats},
            {"name": "aeraki.meta_protocol.filters.router"},
        ],
    }
    return {"name": FILTER, "typedConfig": packed(_PROXY, config)}


def tcp_filter(prefix: str, cluster: str) -> Json:
    """Return a filter that passes bytes."""
    config = packed(_TCP, {"statPrefix": prefix, "cluster": cluster})
    return {"name": "envoy.filters.network.tcp_proxy", "typedConfig": config}


def _bucket(bucket: TokenBucket) -> Json:
    return {
        "maxTokens": bucket.max_tokens,
        "tokensPerFill": bucket.tokens_per_fill,
        "fillInterval": duration(bucket.fill_interval),
    }


def _local(limit: LocalRateLimit, host: str) -> Json:
    config: Json = without_nothing(
        {
            "statPrefix": host,
            "tokenBucket": None if limit.token_bucket is None else _bucket(limit.token_bucket),
            "conditions": [
                {"match": {"metadata": matchers(one.match)}, "tokenBucket": _bucket(one.token_bucket)}
                for one in limit.conditions
            ],
        }
    )
    name = "aeraki.meta_protocol.filters.local_ratelimit"
    return {"name": name, "config": packed(f"{_FILTERS}.local_ratelimit.v1alpha.LocalRateLimit", config)}


def _global(limit: GlobalRateLimit) -> Json:
    config: Json = {
        "match": {"metadata": matchers(limit.match)},
        "domain": limit.domain,
        "timeout": duration(limit.request_timeout),
        "failureModeDeny": limit.deny_on_fail,
        "rateLimitService": {
            "grpcService": {"envoyGrpc": {"clusterName": limit.rate_limit_service}},
            "transportApiVersion": "V3",
        },
        "descriptors": [{"property": one.property, "descriptorKey": one.descriptor_key} for one in limit.descriptors],
    }
    name = "aeraki.meta_protocol.filters.ratelimit"
    return {"name": name, "config": packed(f"{_FILTERS}.ratelimit.v1alpha.RateLimit", config)}
