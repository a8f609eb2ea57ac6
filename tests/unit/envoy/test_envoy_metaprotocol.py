"""Aeraki's MetaProtocolProxy becomes a listener of ours."""

from __future__ import annotations

import pytest
from envoy_messages import CLUSTER, errors, message, proxy, warnings

from metaproxy.envoy.report import Report
from metaproxy.envoy.resources import Resources
from metaproxy.envoy.tables import Context

DUBBO = """
stat_prefix: x
protocol: {name: dubbo, codec: {name: aeraki.meta_protocol.codec.dubbo}}
route_config: {routes: [{route: {cluster: demo}}]}
"""


def routes(text: str) -> object:
    outcome = proxy(f"""
stat_prefix: x
application_protocol: dubbo
codec: {{name: aeraki.meta_protocol.codec.dubbo}}
route_config: {{name: r, routes: {text}}}
""")
    assert errors(outcome) == []
    return outcome.sections[0]["routes"]


def test_a_proxy_with_static_routes_is_a_listener() -> None:
    outcome = proxy(DUBBO)
    assert errors(outcome) == []
    assert outcome.sections == [
        {
            "name": "in",
            "listen": ["127.0.0.1:20880"],
            "protocol": "dubbo",
            "idle_timeout": "0s",
            "routes": [{"cluster": "demo"}],
        }
    ]


@pytest.mark.parametrize("name", ["dubbo", "thrift", "brpc", "trpc"])
def test_each_codec_of_aeraki_is_one_of_ours_in_the_new_and_the_deprecated_spelling(name: str) -> None:
    rest = "stat_prefix: x\nroute_config: {routes: []}\n"
    old = f"application_protocol: {name}\ncodec: {{name: aeraki.meta_protocol.codec.{name}}}\n"
    new = f"protocol: {{name: {name}, codec: {{name: aeraki.meta_protocol.codec.{name}}}, multiplexing: true}}\n"
    for text in (old, new):
        outcome = proxy(rest + text)
        assert errors(outcome) == []
        assert outcome.sections[0]["protocol"] == name


def test_protocol_goes_before_the_deprecated_pair() -> None:
    outcome = proxy(DUBBO + "application_protocol: thrift\ncodec: {name: aeraki.meta_protocol.codec.thrift}")
    assert errors(outcome) == []
    assert outcome.sections[0]["protocol"] == "dubbo"


def test_the_codec_of_the_deprecated_pair_counts_where_protocol_has_none() -> None:
    outcome = proxy("""
    stat_prefix: x
    protocol: {name: anything}
    codec: {name: aeraki.meta_protocol.codec.thrift}
    route_config: {}
    """)
    assert errors(outcome) == []
    assert outcome.sections[0]["protocol"] == "thrift"


def test_an_unknown_codec_is_refused_with_the_nearest_name() -> None:
    (error,) = errors(proxy(DUBBO.replace("codec.dubbo", "codec.dubo")))
    assert "typed_config.protocol.codec.name" in error
    assert "'aeraki.meta_protocol.codec.dubbo'" in error


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("stat_prefix: x\n", "stat_prefix"),
        ("route_config: {routes: [{route: {cluster: demo}}]}\n", "routes"),
        ("protocol: {name: dubbo, codec: {name: aeraki.meta_protocol.codec.dubbo}}\n", "codec"),
    ],
)
def test_what_must_be_there_is_missed(text: str, missing: str) -> None:
    (error,) = errors(proxy(DUBBO.replace(text, "")))
    assert missing in error


def test_every_matcher_is_a_condition() -> None:
    found = routes("""[{
      match: {metadata: [
        {name: a, exact_match: v},
        {name: b, exact_match: ""},
        {name: c, prefix_match: p},
        {name: d, suffix_match: s},
        {name: e, contains_match: c},
        {name: f, safe_regex_match: {google_re2: {}, regex: "x+"}},
        {name: g, range_match: {start: -1, end: 8}},
        {name: h, present_match: true},
        {name: i, present_match: true, invert_match: true},
        {name: j, present_match: false},
        {name: k},
        {name: l, string_match: {exact: v, ignore_case: true}},
        {name: m, string_match: {prefix: p}, invert_match: true},
        {name: n, string_match: {suffix: s}, treat_missing_header_as_empty: true},
        {name: o, string_match: {contains: c}},
        {name: p, string_match: {safe_regex: {regex: r}}},
        {name: q, string_match: {exact: ""}},
      ]}, route: {cluster: demo}}]""")
    assert isinstance(found, list)
    assert found[0]["match"] == {
        "a": "v",
        "b": {"present": True},
        "c": {"prefix": "p"},
        "d": {"suffix": "s"},
        "e": {"contains": "c"},
        "f": {"regex": "x+"},
        "g": {"range": [-1, 8]},
        "h": {"present": True},
        "i": {"present": True, "not": True},
        "j": {"present": False},
        "k": {"present": True},
        "l": {"exact": "v", "ignore_case": True},
        "m": {"prefix": "p", "not": True},
        "n": {"suffix": "s", "default": ""},
        "o": {"contains": "c"},
        "p": {"regex": "r"},
        "q": "",
    }


def test_two_conditions_on_one_key_are_two_spellings_of_it() -> None:
    found = routes("""[{match: {metadata: [
      {name: user, prefix_match: a}, {name: user, suffix_match: z}, {name: user, contains_match: m}
    ]}, route: {cluster: demo}}]""")
    assert isinstance(found, list)
    assert found[0]["match"] == {"user": {"prefix": "a"}, "User": {"suffix": "z"}, "uSer": {"contains": "m"}}


def test_a_route_has_weights_keys_mirrors_and_mutations() -> None:
    assert routes("""[{
      name: canary,
      route: {
        weighted_clusters: {clusters: [{name: a, weight: 90}, {name: b, weight: 5}, {name: b, weight: 5}],
          total_weight: 100},
        hash_policy: [user],
        request_mirror_policies: [
          {cluster: shadow},
          {cluster: other, runtime_fraction: {default_value: {numerator: 25, denominator: TEN_THOUSAND}}},
        ]},
      request_mutation: [{key: lane, value: canary}],
      response_mutation: [{key: served-by, value: canary}],
    }]""") == [
        {
            "name": "canary",
            "clusters": {"a": 90, "b": 10},
            "hash": ["user"],
            "mirror": [{"cluster": "shadow"}, {"cluster": "other", "percent": 0.25}],
            "request": {"set": {"lane": "canary"}},
            "response": {"set": {"served-by": "canary"}},
        }
    ]


def test_names_of_routes_are_made_to_differ() -> None:
    found = routes("[{name: a, route: {cluster: x}}, {name: a, route: {cluster: y}}, {route: {cluster: z}}]")
    assert found == [{"name": "a", "cluster": "x"}, {"name": "a#2", "cluster": "y"}, {"cluster": "z"}]


@pytest.mark.parametrize(
    "route",
    [
        "{name: a}",
        "{route: {}}",
        "{route: {weighted_clusters: {clusters: [{name: a}]}}}",
        "{route: {weighted_clusters: {clusters: [{name: a, weight: 0}]}}}",
        "{route: {weighted_clusters: {clusters: [{name: a, weight: 1}], total_weight: 5}}}",
        "{route: {cluster: a, request_mirror_policies: [{}]}}",
        "{route: {cluster: a}, request_mutation: [{value: x}]}",
        "{route: {cluster: a}, match: {metadata: [{exact_match: x}]}}",
        "{route: {cluster: a}, match: {metadata: [{name: x, range_match: {start: 5, end: 5}}]}}",
    ],
)
def test_a_malformed_route_is_refused(route: str) -> None:
    outcome = proxy(DUBBO.replace("{route: {cluster: demo}}", route))
    assert len(errors(outcome)) == 1, errors(outcome)


def test_fields_of_weights_that_have_no_counterpart_are_named() -> None:
    weighted = "{weighted_clusters: {clusters: [{name: a, weight: 1}], header_name: x}}"
    (error,) = errors(proxy(DUBBO.replace("{cluster: demo}", weighted)))
    assert "typed_config.route_config.routes[0].route.weighted_clusters.header_name" in error


def test_routes_that_a_server_sends_are_referred_to() -> None:
    grpc = "api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: aeraki-xds}}]"
    outcome = proxy(f"""
    stat_prefix: x
    applicationProtocol: thrift
    codec: {{name: aeraki.meta_protocol.codec.thrift}}
    rds:
      routeConfigName: r
      configSource: {{resourceApiVersion: V3, initialFetchTimeout: 5s, apiConfigSource: {{{grpc}}}}}
    """)
    assert errors(outcome) == []
    assert outcome.sections[0]["routes"] == {"rds": {"name": "r", "server": "aeraki-xds"}}
    assert outcome.needs == [("routes", "r", "aeraki-xds")]
    assert outcome.servers == {
        "aeraki-xds": {
            "name": "aeraki-xds",
            "cluster": "aeraki-xds",
            "transport": "grpc",
            "ads": False,
            "resources": ["routes"],
            "initial_fetch_timeout": "5s",
        }
    }


def test_routes_of_the_aggregated_stream_name_no_server() -> None:
    outcome = proxy(
        DUBBO.replace(
            "route_config: {routes: [{route: {cluster: demo}}]}",
            "rds: {route_config_name: r, config_source: {ads: {}}}",
        )
    )
    assert errors(outcome) == []
    assert outcome.sections[0]["routes"] == {"rds": {"name": "r"}}
    assert outcome.needs == [("routes", "r", "ads")]


def filters(text: str, direction: str = "OUTBOUND") -> object:
    outcome = proxy(DUBBO + f"meta_protocol_filters: {text}", direction=direction)
    assert errors(outcome) == []
    return outcome.sections[0].get("filters")


TYPES = "type.googleapis.com/aeraki.meta_protocol_proxy.filters"


@pytest.mark.parametrize(("direction", "ours"), [("OUTBOUND", "outbound"), ("INBOUND", "inbound")])
def test_filters_may_come_by_name_alone(direction: str, ours: str) -> None:
    assert filters(
        """[
      {name: aeraki.meta_protocol.filters.metadata_exchange},
      {name: aeraki.meta_protocol.filters.istio_stats},
      {name: aeraki.meta_protocol.filters.router}]""",
        direction,
    ) == [
        {"metadata_exchange": {"direction": ours}},
        {"istio_stats": {"direction": ours}},
    ]


def test_filters_go_by_their_type_whatever_their_name() -> None:
    assert filters(f"""[
      {{name: whatever, config: {{"@type": {TYPES}.istio_stats.v1alpha.IstioStats, destination_service: s}}}},
      {{name: r, config: {{"@type": {TYPES}.router.v1alpha.Router}}}}]""") == [
        {"istio_stats": {"direction": "outbound", "destination_service": "s"}}
    ]


def test_a_local_limit_fills_its_bucket_at_intervals() -> None:
    assert filters(f"""[
      {{name: l, config: {{"@type": {TYPES}.local_ratelimit.v1alpha.LocalRateLimit, stat_prefix: x,
        token_bucket: {{max_tokens: 1000, tokens_per_fill: 10, fill_interval: 1s}},
        conditions: [{{match: {{metadata: [{{name: method, exact_match: m}}]}},
                      token_bucket: {{max_tokens: 5, fill_interval: 0.25s}}}}]}}}},
      {{name: aeraki.meta_protocol.filters.router}}]""") == [
        {
            "local_rate_limit": {
                "limit": 10,
                "per": "1s",
                "burst": 1000,
                "refill": "interval",
                "conditions": [
                    {"match": {"method": "m"}, "limit": 1, "per": "250ms", "burst": 5, "refill": "interval"}
                ],
            }
        }
    ]


def test_a_global_limit_asks_a_cluster() -> None:
    assert filters(f"""[
      {{name: l, config: {{"@type": {TYPES}.ratelimit.v1alpha.RateLimit,
        match: {{metadata: [{{name: method, present_match: true}}]}}, domain: shop, timeout: 0.05s,
        failure_mode_deny: true,
        rate_limit_service: {{grpc_service: {{envoy_grpc: {{cluster_name: rls}}}}, transport_api_version: V3}},
        descriptors: [{{property: interface, descriptor_key: service}}]}}}},
      {{name: aeraki.meta_protocol.filters.router}}]""") == [
        {
            "global_rate_limit": {
                "service": {"cluster": "rls"},
                "domain": "shop",
                "match": {"method": {"present": True}},
                "timeout": "50ms",
                "on_failure": "deny",
                "descriptors": [{"property": "interface", "descriptor_key": "service"}],
            }
        }
    ]


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ("local_ratelimit.v1alpha.LocalRateLimit, stat_prefix: x", "token_bucket"),
        ("local_ratelimit.v1alpha.LocalRateLimit, token_bucket: {max_tokens: 1, fill_interval: 1s}", "stat_prefix"),
        (
            "local_ratelimit.v1alpha.LocalRateLimit, stat_prefix: x, "
            "token_bucket: {max_tokens: 1, fill_interval: 0.04s}",
            "50ms",
        ),
        ("local_ratelimit.v1alpha.LocalRateLimit, stat_prefix: x, token_bucket: {fill_interval: 1s}", "max_tokens"),
        ("local_ratelimit.v1alpha.LocalRateLimit, stat_prefix: x, conditions: [{match: {}}]", "token_bucket"),
        (
            "ratelimit.v1alpha.RateLimit, rate_limit_service: {grpc_service: {envoy_grpc: {cluster_name: c}}}, "
            "descriptors: [{property: a, descriptor_key: b}]",
            "domain",
        ),
        (
            "ratelimit.v1alpha.RateLimit, domain: d, descriptors: [{property: a, descriptor_key: b}]",
            "rate_limit_service",
        ),
        (
            "ratelimit.v1alpha.RateLimit, domain: d, "
            "rate_limit_service: {grpc_service: {envoy_grpc: {cluster_name: c}}}",
            "descriptors",
        ),
        (
            "ratelimit.v1alpha.RateLimit, domain: d, descriptors: [{property: a, descriptor_key: b}], "
            "rate_limit_service: {grpc_service: {envoy_grpc: {cluster_name: c}, timeout: 1s}}",
            "rate_limit_service.grpc_service.timeout",
        ),
    ],
)
def test_a_malformed_limit_is_refused(config: str, part: str) -> None:
    text = f'{{name: l, config: {{"@type": {TYPES}.{config}}}}}'
    outcome = proxy(DUBBO + f"meta_protocol_filters: [{text}, {{name: aeraki.meta_protocol.filters.router}}]")
    (error,) = errors(outcome)
    assert part in error


def test_an_unknown_filter_is_refused_with_the_nearest_name() -> None:
    outcome = proxy(DUBBO + "meta_protocol_filters: [{name: aeraki.meta_protocol.filters.routr}]")
    assert outcome.sections == []
    (error,) = errors(outcome)
    assert "meta_protocol_filters[0]" in error
    assert "'aeraki.meta_protocol.filters.router'" in error


def test_a_filter_behind_the_router_is_named() -> None:
    outcome = proxy(
        DUBBO
        + """meta_protocol_filters: [
      {name: aeraki.meta_protocol.filters.router}, {name: aeraki.meta_protocol.filters.istio_stats}]"""
    )
    (error,) = errors(outcome)
    assert "meta_protocol_filters[1]" in error


def test_filters_without_a_router_are_odd() -> None:
    outcome = proxy(DUBBO + "meta_protocol_filters: [{name: aeraki.meta_protocol.filters.istio_stats}]")
    assert errors(outcome) == []
    assert len(warnings(outcome)) == 1


def test_tracing_has_three_shares() -> None:
    tracer: dict[str, object] = {"exporter": "zipkin"}
    outcome = proxy(
        DUBBO
        + """
tracing: {client_sampling: {value: 50}, random_sampling: {value: 1.5}, verbose: true, max_tag_length: 64}
""",
        Context(Report(), tracer=tracer),
    )
    assert errors(outcome) == []
    assert outcome.tracing == tracer
    assert outcome.sections[0]["tracing"] == {
        "direction": "outbound",
        "sampling": 1.5,
        "client_sampling": 50,
        "overall_sampling": 100,
        "max_tag_length": 64,
    }


def test_without_a_tracer_anywhere_nothing_is_traced_with_a_warning() -> None:
    outcome = proxy(DUBBO + "tracing: {}", Context(Report(), live=True))
    assert errors(outcome) == []
    assert "tracing" not in outcome.sections[0]
    assert len(warnings(outcome)) == 1


def test_a_control_plane_asks_for_spans_whether_this_proxy_has_a_tracer_or_not() -> None:
    assert "tracing" in proxy(DUBBO + "tracing: {}").sections[0]


ZIPKIN = """
tracing: {provider: {name: z, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig,
  collector_cluster: zipkin, collector_endpoint: /s, collector_endpoint_version: HTTP_JSON}}}
"""


@pytest.mark.parametrize(("url", "wrong"), [("http://127.0.0.1:1/s", 0), ("http://127.0.0.1:2/s", 1)])
def test_spans_of_all_listeners_go_to_one_place(url: str, wrong: int) -> None:
    endpoint = "{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}"
    zipkin = message(CLUSTER, f"{{name: zipkin, load_assignment: {{endpoints: [{{lb_endpoints: [{endpoint}]}}]}}}}")
    tracer: dict[str, object] = {"exporter": "zipkin", "url": url}
    outcome = proxy(DUBBO + ZIPKIN, Context(Report(), Resources(clusters={"zipkin": zipkin}), tracer=tracer))
    assert len(errors(outcome)) == wrong
    assert outcome.tracing == tracer


def test_an_unknown_tracer_and_logger_are_named_once_each() -> None:
    outcome = proxy(
        DUBBO
        + """
tracing: {provider: {name: acme, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.SkyWalkingConfig,
  client_config: {service_name: x}}}}
access_log: [{name: acme, typed_config: {
  "@type": type.googleapis.com/envoy.extensions.access_loggers.wasm.v3.WasmAccessLog, config: {name: x}}}]
"""
    )
    paths = [one.path.partition(".typed_config.")[2] for one in outcome.report.errors]
    assert paths == ["access_log[0].typed_config", "tracing.provider.typed_config"]


def test_the_configuration_of_another_codec_is_refused() -> None:
    packed = '{"@type": type.googleapis.com/aeraki.meta_protocol.codec.ThriftCodec}'
    (error,) = errors(proxy(DUBBO.replace("codec.dubbo}", f"codec.dubbo, config: {packed}}}")))
    assert "protocol.codec.config" in error
    assert "DubboCodec" in error
