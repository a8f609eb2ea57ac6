"""
What clusters have by extensions: protocol options of HTTP, plain sockets, clusters of clusters.

Lives here: translators of these. Does not: TLS (`tls`), options of other protocols.
"""

from __future__ import annotations

from metaproxy.envoy.cluster_types import assigned, by_dns, by_name, dns_options
from metaproxy.envoy.clusters import common_http
from metaproxy.envoy.fields import Fields
from metaproxy.envoy.http2_options import options_of_http2
from metaproxy.envoy.tables import CLUSTER_TYPES, PROTOCOL_OPTIONS, Context, Plain


@PROTOCOL_OPTIONS.add(
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
)
def http_protocol_options(config: Fields, section: Plain, context: Context) -> None:
    common = config.message_at("common_http_protocol_options")
    if common is not None:
        kept = section.setdefault("connections", {})
        assert isinstance(kept, dict)
        kept.update(common_http(common))
        if not kept:
            del section["connections"]
    which = config.which("upstream_protocol_options")
    inner = config.message_at(which) if which is not None else None
    if inner is None:
        return
    if which == "explicit_http_config":
        if inner.message_at("http_protocol_options") is not None:
            section["protocol"] = {"name": "http", "version": 1}
        if (http2 := inner.message_at("http2_protocol_options")) is not None:
            section["protocol"] = {"name": "http", "version": 2}
            options_of_http2(http2, section)
    elif which == "use_downstream_protocol_config":
        config.ignore(which)  # a cluster without a protocol of its own has the listener's
    elif which == "auto_config":
        config.ignore(which)  # ALPN decides wherever there is TLS
        inner.ignore("http_protocol_options")
        if (http2 := inner.message_at("http2_protocol_options")) is not None:
            options_of_http2(http2, section)


@CLUSTER_TYPES.add("envoy.extensions.clusters.aggregate.v3.ClusterConfig", "envoy.clusters.aggregate")
def aggregate(config: Fields, cluster: Fields, context: Context) -> Plain:
    """A cluster without endpoints, with the others to try."""
    names = config.texts("clusters")
    if not names:
        config.report.invalid(config.path, "clusters is missing")
    return {"endpoints": [], "fallback": names}


@CLUSTER_TYPES.add("envoy.extensions.clusters.dns.v3.DnsCluster", "envoy.cluster.dns")
def dns(config: Fields, cluster: Fields, context: Context) -> Plain:
    """STRICT_DNS, or LOGICAL_DNS by `all_addresses_in_single_endpoint`, in their newer form."""
    endpoints = assigned(cluster, False)
    options = dns_options(config)
    single = config.flag("all_addresses_in_single_endpoint")
    return by_name(cluster, endpoints, options) if single else by_dns(cluster, endpoints, options)
