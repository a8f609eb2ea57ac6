"""
Aeraki's network filter and its five filters.

Lives here: one translator a filter. Does not: routes and codecs (`metaprotocol`).
"""

from __future__ import annotations

from metaproxy.envoy.fields import Fields, shown_seconds, without_empty
from metaproxy.envoy.matching import match_of
from metaproxy.envoy.metaprotocol import ROUTER, TYPE, meta_protocol_proxy
from metaproxy.envoy.sources import cluster_of_grpc
from metaproxy.envoy.tables import L7_FILTERS, NETWORK_FILTERS, Chain, Plain

_FILTERS = "aeraki.meta_protocol_proxy.filters"
_LEAST_FILL = 0.05
"""Seconds: the shortest `fill_interval` that Aeraki takes."""
_RLS_TIMEOUT = 0.02

NETWORK_FILTERS.add(TYPE, "aeraki.meta_protocol_proxy", "envoy.filters.network.meta_protocol_proxy")(
    meta_protocol_proxy
)


@L7_FILTERS.add(f"{_FILTERS}.router.v1alpha.Router", ROUTER)
def router(config: Fields, chain: Chain) -> list[object]:
    """Every listener of ours routes, behind its filters."""
    return []


@L7_FILTERS.add(
    f"{_FILTERS}.metadata_exchange.v1alpha.MetadataExchange", "aeraki.meta_protocol.filters.metadata_exchange"
)
def metadata_exchange(config: Fields, chain: Chain) -> list[object]:
    return [{"metadata_exchange": {"direction": chain.direction}}]


@L7_FILTERS.add(f"{_FILTERS}.istio_stats.v1alpha.IstioStats", "aeraki.meta_protocol.filters.istio_stats")
def istio_stats(config: Fields, chain: Chain) -> list[object]:
    options = {"direction": chain.direction, "destination_service": config.text("destination_service")}
    return [{"istio_stats": without_empty(options)}]


@L7_FILTERS.add(f"{_FILTERS}.local_ratelimit.v1alpha.LocalRateLimit", "aeraki.meta_protocol.filters.local_ratelimit")
def local_ratelimit(config: Fields, chain: Chain) -> list[object]:
    config.require("stat_prefix")
    config.ignore("stat_prefix")  # metrics go by the listener's name
    bucket = config.message_at("token_bucket")
    options = bucket_of(bucket) if bucket is not None else {}
    conditions = [_condition(one) for one in config.each("conditions")]
    if bucket is None and not conditions:
        config.report.invalid(config.path, "neither token_bucket nor conditions; write one of them")
    return [{"local_rate_limit": without_empty({**options, "conditions": conditions})}]


def _condition(condition: Fields) -> Plain:
    match, bucket = condition.message_at("match"), condition.message_at("token_bucket")
    condition.require("match")
    condition.require("token_bucket")
    limits = bucket_of(bucket) if bucket is not None else {}
    return without_empty({"match": match_of(match.each("metadata")) if match is not None else {}, **limits})


def bucket_of(bucket: Fields) -> Plain:
    """A TokenBucket: filled by so many at a time, and not token by token."""
    most, fill = bucket.whole("max_tokens"), bucket.whole("tokens_per_fill", 1)
    interval = bucket.seconds("fill_interval")
    if not most:
        bucket.report.invalid(bucket.path, "max_tokens is missing; write how many tokens a full bucket has")
    if not fill:
        bucket.invalid("tokens_per_fill", "0 would never fill the bucket")
    if not interval:
        bucket.report.invalid(bucket.path, "fill_interval is missing; write how often the bucket is filled, such as 1s")
        return {}
    if interval < _LEAST_FILL:
        bucket.invalid("fill_interval", "local rate limit token bucket fill timer must be >= 50ms")
    return {"limit": fill, "per": shown_seconds(interval), "burst": most, "refill": "interval"}


@L7_FILTERS.add(f"{_FILTERS}.ratelimit.v1alpha.RateLimit", "aeraki.meta_protocol.filters.ratelimit")
def ratelimit(config: Fields, chain: Chain) -> list[object]:
    match, where = config.message_at("match"), config.message_at("rate_limit_service")
    config.require("domain")
    cluster = None
    if where is None:
        config.require("rate_limit_service")
    else:
        where.ignore("transport_api_version")  # v3 is all there is
        service = where.message_at("grpc_service")
        where.require("grpc_service")
        cluster = cluster_of_grpc(service) if service is not None else None
    descriptors: list[object] = []
    for one in config.each("descriptors"):
        one.require("property")
        one.require("descriptor_key")
        descriptors.append({"property": one.text("property"), "descriptor_key": one.text("descriptor_key")})
    if not descriptors:
        config.report.invalid(config.path, "descriptors is missing; write what requests are counted by")
    timeout = config.seconds("timeout")
    options: Plain = {
        "service": {"cluster": cluster or ""},
        "domain": config.text("domain"),
        "match": match_of(match.each("metadata")) if match is not None else {},
        "timeout": shown_seconds(timeout or _RLS_TIMEOUT),
        "on_failure": "deny" if config.flag("failure_mode_deny") else "allow",
        "descriptors": descriptors,
    }
    return [{"global_rate_limit": without_empty(options)}]
