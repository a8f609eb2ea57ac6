"""
Messages that are right, in which each field is tried for docs/reference/envoy.md.

Lives here: EXAMPLES, and SAMPLES for fields whose value must have a form. Does not: trying (`envoy_page`).
"""

from __future__ import annotations

from typing import NamedTuple

LISTENER = "envoy.config.listener.v3.Listener"
CLUSTER = "envoy.config.cluster.v3.Cluster"
BOOTSTRAP = "envoy.config.bootstrap.v3.Bootstrap"
ROUTES = "envoy.config.route.v3.RouteConfiguration"
Path = tuple[str | int, ...]


class Example(NamedTuple):
    """type: of the message whose fields are tried; root: of the one that text describes; path: to the first."""

    type: str
    root: str
    text: str
    path: Path = ()
    about: str = ""


ADDRESS = "{socket_address: {address: 127.0.0.1, port_value: 80}}"
_PROXY = """
name: in
address: {socket_address: {address: 127.0.0.1, port_value: 80}}
traffic_direction: OUTBOUND
filter_chains:
- filters:
  - name: aeraki.meta_protocol_proxy
    typed_config:
      "@type": type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy
      stat_prefix: p
      protocol: {name: dubbo, codec: {name: aeraki.meta_protocol.codec.dubbo}}
"""
_ROUTED = (
    _PROXY
    + """\
      tracing:
        provider: {name: z, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig,
          collector_cluster: zipkin, collector_endpoint: /spans, collector_endpoint_version: HTTP_JSON}}
      route_config:
        name: r
        routes:
        - name: one
          match: {metadata: [{name: user, string_match: {exact: a}}]}
          request_mutation: [{key: k, value: v}]
          route:
            weighted_clusters: {clusters: [{name: a, weight: 1}]}
            request_mirror_policies: [{cluster: m, runtime_fraction: {default_value: {numerator: 5}}}]
"""
)
_CONFIG: Path = ("filter_chains", 0, "filters", 0, "typed_config")
_ROUTE: Path = (*_CONFIG, "route_config", "routes", 0)
_RDS = (
    _PROXY
    + """\
      rds:
        route_config_name: r
        config_source: {api_config_source: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: c}}]}}
"""
)
_SOURCE: Path = (*_CONFIG, "rds", "config_source")


def _filter(kind: str, fields: str) -> str:
    return (
        _ROUTED
        + f"""\
      meta_protocol_filters:
      - {{name: f, config: {{"@type": type.googleapis.com/{kind}{", " if fields else ""}{fields}}}}}
      - {{name: aeraki.meta_protocol.filters.router}}
"""
    )


_FILTER: Path = (*_CONFIG, "meta_protocol_filters", 0, "config")
_A = "aeraki.meta_protocol_proxy"
_LOCAL = f"{_A}.filters.local_ratelimit.v1alpha"
_GLOBAL = f"{_A}.filters.ratelimit.v1alpha"
_BUCKET = "{max_tokens: 5, fill_interval: 1s}"

_N = "envoy.extensions.filters.network"


def _network(kind: str, fields: str) -> str:
    """A listener with one network filter."""
    packed = f'{{"@type": type.googleapis.com/{_N}.{kind}, {fields}}}'
    chain = f"{{filters: [{{name: f, typed_config: {packed}}}]}}"
    return f"name: in\naddress: {ADDRESS}\nfilter_chains: [{chain}]\n"


_HCM = "http_connection_manager.v3.HttpConnectionManager"
_VIRTUAL = (
    "stat_prefix: s, route_config: {virtual_hosts: [{name: h, domains: ['*'], routes: [%s]}]}, "
    "http_filters: [{name: envoy.filters.http.router}]"
)
_HTTP_ROUTE = _network(_HCM, _VIRTUAL % "{match: {prefix: /a}, route: {cluster: a}}")
_HTTP_PATH: Path = (*_CONFIG, "route_config", "virtual_hosts", 0)
_SOCKET = '{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.%s, %s}}'
_PAIR = "tls_certificates: [{certificate_chain: {filename: /c}, private_key: {filename: /k}}]"
_DOWNSTREAM = _SOCKET % ("DownstreamTlsContext", f"common_tls_context: {{{_PAIR}}}")
_TLS = _PROXY.replace("- filters:", f"- transport_socket: {_DOWNSTREAM}\n  filters:")
_TLS = _TLS + "      route_config: {routes: [{route: {cluster: a}}]}\n"
_LOG = (
    _ROUTED
    + """\
      access_log: [{name: l, typed_config: {
        "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /l}}]
"""
)

_CLUSTER = """
name: c
type: STATIC
load_assignment:
  endpoints:
  - lb_endpoints:
    - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}
"""
_GROUP: Path = ("load_assignment", "endpoints", 0)


def _cluster(more: str) -> str:
    return _CLUSTER + more


_LOCALITIES = _cluster("common_lb_config: {locality_weighted_lb_config: {}}").replace(
    "- lb_", "- load_balancing_weight: 2\n    lb_"
)
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CHECK = "health_checks: [{timeout: 1s, interval: 5s, unhealthy_threshold: 2, healthy_threshold: 1, %s}]"
_RDS_ROUTES = """
name: n
virtual_hosts:
- name: h
  domains: ["*"]
  routes: [{name: one, match: {prefix: /}, route: {cluster: a, request_mirror_policies: [{cluster: m}],
    hash_policy: [{header: {header_name: u}}]}}]
"""
_RDS_ROUTE: Path = ("virtual_hosts", 0, "routes", 0)

EXAMPLES = [
    Example(BOOTSTRAP, BOOTSTRAP, "{}"),
    Example(f"{BOOTSTRAP}.StaticResources", BOOTSTRAP, "static_resources: {}", ("static_resources",)),
    Example(
        f"{BOOTSTRAP}.DynamicResources", BOOTSTRAP,
        "dynamic_resources: {ads_config: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: c}}]}}",
        ("dynamic_resources",),
    ),
    Example("envoy.config.core.v3.Node", BOOTSTRAP, "node: {locality: {zone: z}}", ("node",)),
    Example(
        "envoy.config.bootstrap.v3.Admin", BOOTSTRAP, f"admin: {{address: {ADDRESS}}}", ("admin",),
    ),
    Example(
        "envoy.config.bootstrap.v3.RuntimeLayer", BOOTSTRAP,
        "layered_runtime: {layers: [{name: a}]}", ("layered_runtime", "layers", 0),
    ),
    Example(LISTENER, LISTENER, _ROUTED),
    Example("envoy.config.listener.v3.FilterChain", LISTENER, _ROUTED, ("filter_chains", 0)),
    Example("envoy.config.listener.v3.Filter", LISTENER, _ROUTED, ("filter_chains", 0, "filters", 0)),
    Example(f"{_A}.v1alpha.MetaProtocolProxy", LISTENER, _ROUTED, _CONFIG),
    Example(f"{_A}.v1alpha.ApplicationProtocol", LISTENER, _ROUTED, (*_CONFIG, "protocol")),
    Example(f"{_A}.v1alpha.Codec", LISTENER, _ROUTED, (*_CONFIG, "protocol", "codec")),
    Example(f"{_A}.v1alpha.Rds", LISTENER, _RDS, (*_CONFIG, "rds")),
    Example(f"{_A}.v1alpha.Tracing", LISTENER, _ROUTED, (*_CONFIG, "tracing")),
    Example(f"{_A}.config.route.v1alpha.RouteConfiguration", LISTENER, _ROUTED, (*_CONFIG, "route_config")),
    Example(f"{_A}.config.route.v1alpha.Route", LISTENER, _ROUTED, _ROUTE),
    Example(f"{_A}.config.route.v1alpha.RouteMatch", LISTENER, _ROUTED, (*_ROUTE, "match")),
    Example(f"{_A}.config.route.v1alpha.RouteAction", LISTENER, _ROUTED, (*_ROUTE, "route")),
    Example(
        f"{_A}.config.route.v1alpha.RouteAction.RequestMirrorPolicy", LISTENER, _ROUTED,
        (*_ROUTE, "route", "request_mirror_policies", 0),
    ),
    Example(f"{_A}.config.route.v1alpha.KeyValue", LISTENER, _ROUTED, (*_ROUTE, "request_mutation", 0)),
    Example(
        "envoy.config.route.v3.HeaderMatcher", LISTENER, _ROUTED, (*_ROUTE, "match", "metadata", 0),
        "a condition of `match`",
    ),
    Example(
        "envoy.type.matcher.v3.StringMatcher", LISTENER, _ROUTED, (*_ROUTE, "match", "metadata", 0, "string_match"),
    ),
    Example(
        "envoy.config.route.v3.WeightedCluster", LISTENER, _ROUTED, (*_ROUTE, "route", "weighted_clusters"),
    ),
    Example(
        "envoy.config.route.v3.WeightedCluster.ClusterWeight", LISTENER, _ROUTED,
        (*_ROUTE, "route", "weighted_clusters", "clusters", 0),
    ),
    Example("envoy.config.core.v3.ConfigSource", LISTENER, _RDS, _SOURCE),
    Example("envoy.config.core.v3.ApiConfigSource", LISTENER, _RDS, (*_SOURCE, "api_config_source")),
    Example(
        f"{_A}.filters.istio_stats.v1alpha.IstioStats", LISTENER,
        _filter(f"{_A}.filters.istio_stats.v1alpha.IstioStats", ""), _FILTER,
    ),
    Example(
        f"{_LOCAL}.LocalRateLimit", LISTENER,
        _filter(f"{_LOCAL}.LocalRateLimit", f"stat_prefix: s, conditions: [{{match: {{}}, token_bucket: {_BUCKET}}}]"),
        _FILTER,
    ),
    Example(
        "envoy.type.v3.TokenBucket", LISTENER,
        _filter(f"{_LOCAL}.LocalRateLimit", f"stat_prefix: s, token_bucket: {_BUCKET}"), (*_FILTER, "token_bucket"),
    ),
    Example(
        f"{_GLOBAL}.RateLimit", LISTENER,
        _filter(f"{_GLOBAL}.RateLimit", "domain: d, descriptors: [{property: a, descriptor_key: b}], "
                "rate_limit_service: {grpc_service: {envoy_grpc: {cluster_name: c}}}"), _FILTER,
    ),
    Example(
        f"{_N}.dubbo_proxy.v3.DubboProxy", LISTENER,
        _network("dubbo_proxy.v3.DubboProxy", "stat_prefix: s, route_config: [{name: r, interface: i, routes: "
                 "[{match: {method: {name: {exact: m}}}, route: {cluster: a}}]}]"), _CONFIG,
    ),
    Example(
        f"{_N}.thrift_proxy.v3.ThriftProxy", LISTENER,
        _network("thrift_proxy.v3.ThriftProxy", "stat_prefix: s, route_config: {name: r, routes: "
                 "[{match: {method_name: m}, route: {cluster: a}}]}"), _CONFIG,
    ),
    Example(
        f"{_N}.thrift_proxy.v3.RouteAction", LISTENER,
        _network("thrift_proxy.v3.ThriftProxy", "stat_prefix: s, route_config: {name: r, routes: "
                 "[{match: {method_name: m}, route: {cluster: a}}]}"), (*_CONFIG, "route_config", "routes", 0, "route"),
    ),
    Example(
        f"{_N}.redis_proxy.v3.RedisProxy", LISTENER,
        _network("redis_proxy.v3.RedisProxy",
                 "stat_prefix: s, settings: {op_timeout: 1s}, prefix_routes: {catch_all_route: {cluster: a}}"), _CONFIG,
    ),
    Example(
        f"{_N}.redis_proxy.v3.RedisProxy.ConnPoolSettings", LISTENER,
        _network("redis_proxy.v3.RedisProxy",
                 "stat_prefix: s, settings: {op_timeout: 1s}, prefix_routes: {catch_all_route: {cluster: a}}"),
        (*_CONFIG, "settings"),
    ),
    Example(
        f"{_N}.tcp_proxy.v3.TcpProxy", LISTENER, _network("tcp_proxy.v3.TcpProxy", "stat_prefix: s, cluster: a"),
        _CONFIG,
    ),
    Example(f"{_N}.{_HCM}", LISTENER, _HTTP_ROUTE, _CONFIG),
    Example("envoy.config.route.v3.VirtualHost", LISTENER, _HTTP_ROUTE, _HTTP_PATH, "for HTTP"),
    Example("envoy.config.route.v3.Route", LISTENER, _HTTP_ROUTE, (*_HTTP_PATH, "routes", 0), "for HTTP"),
    Example("envoy.config.route.v3.RouteMatch", LISTENER, _HTTP_ROUTE, (*_HTTP_PATH, "routes", 0, "match"), "for HTTP"),
    Example(
        "envoy.config.route.v3.RouteAction", LISTENER, _HTTP_ROUTE, (*_HTTP_PATH, "routes", 0, "route"), "for HTTP"
    ),
    Example(
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", LISTENER, _TLS,
        ("filter_chains", 0, "transport_socket", "typed_config"),
    ),
    Example(
        "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext", LISTENER, _TLS,
        ("filter_chains", 0, "transport_socket", "typed_config", "common_tls_context"), "of a listener",
    ),
    Example(
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", CLUSTER,
        _CLUSTER + f"transport_socket: {_SOCKET % ('UpstreamTlsContext', 'common_tls_context: {}')}",
        ("transport_socket", "typed_config"),
    ),
    Example(
        "envoy.extensions.access_loggers.file.v3.FileAccessLog", LISTENER, _LOG,
        (*_CONFIG, "access_log", 0, "typed_config"),
    ),
    Example("envoy.config.accesslog.v3.AccessLog", LISTENER, _LOG, (*_CONFIG, "access_log", 0)),
    Example(ROUTES, ROUTES, _RDS_ROUTES, (), "as a server sends it for MetaProtocolProxy"),
    Example("envoy.config.route.v3.VirtualHost", ROUTES, _RDS_ROUTES, ("virtual_hosts", 0), "for MetaProtocolProxy"),
    Example("envoy.config.route.v3.Route", ROUTES, _RDS_ROUTES, _RDS_ROUTE, "for MetaProtocolProxy"),
    Example("envoy.config.route.v3.RouteMatch", ROUTES, _RDS_ROUTES, (*_RDS_ROUTE, "match"), "for MetaProtocolProxy"),
    Example("envoy.config.route.v3.RouteAction", ROUTES, _RDS_ROUTES, (*_RDS_ROUTE, "route"), "for MetaProtocolProxy"),
    Example(CLUSTER, CLUSTER, _CLUSTER),
    Example("envoy.config.endpoint.v3.ClusterLoadAssignment", CLUSTER, _CLUSTER, ("load_assignment",)),
    Example("envoy.config.endpoint.v3.LocalityLbEndpoints", CLUSTER,
            _LOCALITIES,
            _GROUP),
    Example("envoy.config.endpoint.v3.LbEndpoint", CLUSTER, _CLUSTER, (*_GROUP, "lb_endpoints", 0)),
    Example("envoy.config.endpoint.v3.Endpoint", CLUSTER, _CLUSTER, (*_GROUP, "lb_endpoints", 0, "endpoint")),
    Example(
        "envoy.config.cluster.v3.CircuitBreakers", CLUSTER, _cluster("circuit_breakers: {}"), ("circuit_breakers",),
    ),
    Example(
        "envoy.config.cluster.v3.CircuitBreakers.Thresholds", CLUSTER,
        _cluster("circuit_breakers: {thresholds: [{max_connections: 5}]}"), ("circuit_breakers", "thresholds", 0),
    ),
    Example(
        "envoy.config.cluster.v3.OutlierDetection", CLUSTER,
        _cluster("outlier_detection: {split_external_local_origin_errors: true, enforcing_failure_percentage: 100}"),
        ("outlier_detection",),
    ),
    Example(
        "envoy.config.core.v3.HealthCheck", CLUSTER, _cluster(_CHECK % "tcp_health_check: {}"), ("health_checks", 0),
    ),
    Example(
        "envoy.config.core.v3.HealthCheck.TcpHealthCheck", CLUSTER,
        _cluster(_CHECK % "tcp_health_check: {receive: [{text: '00'}]}"), ("health_checks", 0, "tcp_health_check"),
    ),
    Example(
        "envoy.config.core.v3.HealthCheck.HttpHealthCheck", CLUSTER, _cluster(_CHECK % "http_health_check: {path: /}"),
        ("health_checks", 0, "http_health_check"),
    ),
    Example(
        f"{CLUSTER}.CommonLbConfig", CLUSTER,
        _cluster("common_lb_config: {}").replace("- lb_", "- load_balancing_weight: 2\n    lb_"), ("common_lb_config",),
    ),
    Example(
        f"{CLUSTER}.RingHashLbConfig", CLUSTER, _cluster("lb_policy: RING_HASH\nring_hash_lb_config: {}"),
        ("ring_hash_lb_config",),
    ),
    Example(
        f"{CLUSTER}.LeastRequestLbConfig", CLUSTER,
        _cluster("lb_policy: LEAST_REQUEST\nleast_request_lb_config: {}"), ("least_request_lb_config",),
    ),
    Example(
        "envoy.config.cluster.v3.UpstreamConnectionOptions", CLUSTER, _cluster("upstream_connection_options: {}"),
        ("upstream_connection_options",),
    ),
    Example(
        _HTTP, CLUSTER,
        _cluster(f'typed_extension_protocol_options: {{{_HTTP}: {{"@type": type.googleapis.com/{_HTTP}}}}}'),
        ("typed_extension_protocol_options", _HTTP),
    ),
    Example(
        "envoy.config.trace.v3.ZipkinConfig", LISTENER, _ROUTED, (*_CONFIG, "tracing", "provider", "typed_config"),
    ),
]  # fmt: skip

SAMPLES: dict[str, object] = {
    "address": {"socket_address": {"address": "127.0.0.2", "port_value": 81}},
    "additional_addresses": [{"address": {"socket_address": {"address": "127.0.0.2", "port_value": 81}}}],
    "StringMatcher.safe_regex": {"regex": "x"},
    "HeaderMatcher.safe_regex_match": {"regex": "x"},
    "HeaderMatcher.string_match": {"exact": "x"},
    "HeaderMatcher.range_match": {"start": 1, "end": 2},
    "RouteMatch.metadata": [{"name": "x", "exact_match": "y"}],
    "RouteMatch.headers": [{"name": "x", "exact_match": "y"}],
    "RateLimit.match": {"metadata": [{"name": "x", "exact_match": "y"}]},
    "token_bucket": {"max_tokens": 5, "fill_interval": "1s"},
    "weighted_clusters": {"clusters": [{"name": "x", "weight": 1}]},
    "request_mirror_policies": [{"cluster": "x"}],
    "request_mutation": [{"key": "x", "value": "y"}],
    "response_mutation": [{"key": "x", "value": "y"}],
    "request_headers_to_add": [{"header": {"key": "x", "value": "y"}}],
    "response_headers_to_add": [{"header": {"key": "x", "value": "y"}}],
    "lds_config": {"ads": {}},
    "cds_config": {"ads": {}},
    "static_layer": {"x": 7},
    "layered_runtime": {"layers": [{"name": "a", "static_layer": {"x": 7}}]},
    "Bootstrap.tracing": {"http": {"name": "x"}},
    "StaticResources.listeners": [{"name": "x", "address": {"pipe": {"path": "/x"}}}],
    "StaticResources.clusters": [{"name": "x", "type": "STATIC", "load_assignment": {}}],
    "Node.locality": {"zone": "x"},
    "Node.metadata": {"x": "y"},
    "health_status": "UNHEALTHY",
    "lb_policy": "MAGLEV",
    "Cluster.type": "ORIGINAL_DST",
    "Cluster.load_assignment": {"endpoints": []},
    "retry_budget": {"budget_percent": {"value": 7}},
    "zone_aware_lb_config": {},
    "tcp_keepalive": {"keepalive_time": 7},
    "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 7}},
    "common_http_protocol_options": {"idle_timeout": "7s"},
    "explicit_http_config": {"http2_protocol_options": {}},
    "expected_statuses": [{"start": 200, "end": 202}],
    "HttpHealthCheck.method": "HEAD",
    "Cluster.health_checks": [
        {"timeout": "1s", "interval": "1s", "unhealthy_threshold": 1, "healthy_threshold": 1, "tcp_health_check": {}}
    ],
    "circuit_breakers": {"thresholds": [{"max_connections": 7}]},
    "thresholds": [{"max_connections": 7}],
    "Thresholds.priority": "HIGH",
    "LbEndpoint.metadata": {"filter_metadata": {"envoy.lb": {"version": "x"}}},
    "Cluster.metadata": {"filter_metadata": {"metaproxy": {"request_timeout": "7s"}}},
    "Listener.metadata": {"filter_metadata": {"metaproxy": {"max_connections": 7}}},
    "Listener.bind_to_port": False,
    "Listener.deprecated_v1": {"bind_to_port": False},
    "Cluster.upstream_bind_config": {"source_address": {"address": "127.0.0.6", "port_value": 0}},
    "LocalityLbEndpoints.locality": {"zone": "x"},
    "common_lb_config": {"healthy_panic_threshold": {"value": 7}},
    "ClusterLoadAssignment.policy": {"overprovisioning_factor": 7},
    "path_config_source": {"path": "/x"},
    "api_config_source": {"api_type": "REST", "cluster_names": ["x"]},
    "ApiConfigSource.api_type": "DELTA_GRPC",
    "RouteMatch.prefix": "/x",
    "send": {"text": "00"},
    "success_rate_minimum_hosts": 7,
    "access_log_path": "/x",
    "layers": [],
    "least_request_lb_config": {"choice_count": 7},
    "traffic_direction": "INBOUND",
    "collector_endpoint_version": "HTTP_PROTO",
    "codec_type": "HTTP2",
    "RedisProxy.faults": [{"fault_type": "ERROR", "fault_enabled": {"default_value": {"numerator": 7}}}],
    "TcpProxy.hash_policy": [{"source_ip": {}}],
    "RouteMatch.case_sensitive": False,
    "RouteMatch.tls_context": {"presented": True},
    "CommonTlsContext.tls_params": {"tls_minimum_protocol_version": "TLSv1_3"},
    "CommonTlsContext.combined_validation_context": {"default_validation_context": {"trusted_ca": {"filename": "/x"}}},
    "CommonTlsContext.validation_context": {"trusted_ca": {"filename": "/x"}},
    "UpstreamTlsContext.common_tls_context": {"alpn_protocols": ["x"]},
    "Bootstrap.node": {"id": "x"},
    "Bootstrap.static_resources": {"clusters": [{"name": "x", "type": "STATIC", "load_assignment": {}}]},
    "Bootstrap.dynamic_resources": {
        "ads_config": {"api_type": "GRPC", "grpc_services": [{"envoy_grpc": {"cluster_name": "c"}}]},
    },
    "cluster_manager": {"local_cluster_name": "x"},
    "wait_for_warm_on_init": False,
    "lb_subset_config": {"subset_selectors": [{"keys": ["x"]}]},
    "slow_start_config": {"slow_start_window": "7s"},
    "round_robin_lb_config": {"slow_start_config": {"slow_start_window": "7s"}},
    "active_request_bias": {"default_value": 7, "runtime_key": "x"},
    "successful_active_health_check_uneject_host": False,
}
"""Message.field, or field alone -> a value that makes sense there."""

NOTES: dict[str, str] = {
    "StaticResources.secrets": "what transport sockets name",
    "FilterChain.transport_socket_connect_timeout": "with TLS: `tls.handshake_timeout`",
    "Filter.name": "only where there is no message: the type of that decides",
    "RouteAction.include_vh_rate_limits": "with `rate_limits` of the virtual host: those count, too",
    "UpstreamTlsContext.auto_sni_san_validation": "with `auto_host_sni`: what metaproxy does without a name",
    "AccessLog.name": "only where there is no message: the type of that decides",
    "MetaProtocolProxy.codec": "`protocol`, where `protocol` has none",
    "Route.match": "`match`",
    "OutlierDetection.consecutive_gateway_failure": "`outlier.consecutive_local`, where it is enforced",
}
"""Message.field -> what a trial of the field alone does not show."""
