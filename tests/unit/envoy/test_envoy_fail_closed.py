"""What keeps somebody out is never left out, nor made wider: also where a report is lenient."""

from __future__ import annotations

from typing import Any

import pytest
from checked import REGISTRY
from envoy_http import MANAGER, NETWORK, chain
from envoy_messages import cluster, errors, listener, message
from twisted.internet.task import Clock

from metaproxy.config import model
from metaproxy.config.values import Context as ReadingContext
from metaproxy.config.values import read_section
from metaproxy.envoy.extensions.tls import downstream, upstream
from metaproxy.envoy.fields import Fields
from metaproxy.envoy.message_types import url
from metaproxy.envoy.own_messages import LISTENER
from metaproxy.envoy.rbac_policies import options_of
from metaproxy.envoy.report import Report, Unusable
from metaproxy.envoy.resources import Resources
from metaproxy.envoy.routes import routes_of
from metaproxy.envoy.tables import Context
from metaproxy.envoy.translated import Translated

HTTP = "type.googleapis.com/envoy.extensions.filters.http"
TLS = "envoy.extensions.transport_sockets.tls.v3"
PAIR = "tls_certificates: [{certificate_chain: {filename: /c.pem}, private_key: {filename: /k.pem}}]"
ROUTER = "{name: envoy.filters.http.router}"
ALL = "{match: {prefix: /}, route: {cluster: a}}"
KEYS = "issuer: i, local_jwks: {inline_string: '{}'}"
A = f"providers: {{a: {{{KEYS}}}, b: {{{KEYS}}}}}"


def lenient() -> Context:
    return Context(Report(lenient=True))


def with_filter(name: str, config: str, routes: str = ALL) -> Translated:
    filter_ = f"{{name: f, typed_config: {{'@type': {HTTP}.{name}, {config}}}}}"
    hosts = f"[{{name: all, domains: ['*'], routes: [{routes}]}}]"
    return chain(MANAGER, f"http_filters: [{filter_}, {ROUTER}]\nroute_config: {{virtual_hosts: {hosts}}}", lenient())


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("ext_authz.v3.ExtAuthz", "grpc_service: {google_grpc: {target_uri: a, stat_prefix: x}}"),
        (
            "ratelimit.v3.RateLimit",
            "domain: d, rate_limit_service: {grpc_service: {google_grpc: {target_uri: a, stat_prefix: x}}}",
        ),
        ("rbac.v3.RBAC", "matcher: {on_no_match: {action: {name: x, typed_config: {'@type': "
         "type.googleapis.com/envoy.config.rbac.v3.Action}}}}"),
        ("jwt_authn.v3.JwtAuthentication", f"{A}, rules: [{{match: {{prefix: /open}}}}, {{match: {{prefix: /}},"
         " requires: {provider_name: a}}]"),
        ("jwt_authn.v3.JwtAuthentication", f"{A}, rules: [{{match: {{prefix: /}}, requires: {{"
         "provider_and_audiences: {provider_name: a, audiences: [x]}}}]"),
        ("jwt_authn.v3.JwtAuthentication", f"{A}, rules: [{{match: {{prefix: /}}, requires: {{requires_any: {{"
         "requirements: [{requires_all: {requirements: [{provider_name: a}, {provider_name: b}]}},"
         " {provider_name: b}]}}}]"),
        ("jwt_authn.v3.JwtAuthentication", f"{A}, filter_state_rules: {{name: x}}"),
        ("jwt_authn.v3.JwtAuthentication", f"providers: {{a: {{{KEYS}, require_expiration: true}}}}, rules: ["
         "{match: {prefix: /}, requires: {provider_name: a}}]"),
        ("jwt_authn.v3.JwtAuthentication", f"providers: {{a: {{{KEYS}, subjects: {{prefix: x}}}}}}, rules: ["
         "{match: {prefix: /}, requires: {provider_name: a}}]"),
        ("local_ratelimit.v3.LocalRateLimit", "stat_prefix: x, descriptors: [{entries: [{key: a, value: b}],"
         " token_bucket: {max_tokens: 1, fill_interval: 1s}}]"),
    ],
)  # fmt: skip
def test_a_filter_that_can_not_be_honoured_leaves_no_listener(name: str, config: str) -> None:
    outcome = with_filter(name, config)
    assert outcome.sections == []
    assert outcome.skipped


@pytest.mark.parametrize(
    ("type", "config"),
    [
        ("dubbo_proxy.v3.DubboProxy", "dubbo_filters: [{name: envoy.filters.dubbo.magic}]"),
        ("dubbo_proxy.v3.DubboProxy", "dubbo_filters: [{name: envoy.filters.dubbo.rbac}]"),
        ("dubbo_proxy.v3.DubboProxy", "dubbo_filters: [{name: x, config: {'@type': "
         "type.googleapis.com/envoy.config.rbac.v3.RBAC}}]"),
        ("thrift_proxy.v3.ThriftProxy", "thrift_filters: [{name: envoy.filters.thrift.rate_limit},"
         " {name: envoy.filters.thrift.router}]"),
        ("redis_proxy.v3.RedisProxy", "settings: {op_timeout: 1s}\nprefix_routes: {catch_all_route: {cluster: a}}\n"
         "downstream_auth_passwords: [{filename: /password}]"),
        ("redis_proxy.v3.RedisProxy", "settings: {op_timeout: 1s}\nprefix_routes: {catch_all_route: {cluster: a}}\n"
         "downstream_auth_password: {inline_string: p}\ndownstream_auth_username: {environment_variable: USER}"),
        ("redis_proxy.v3.RedisProxy", "settings: {op_timeout: 1s}\nprefix_routes: {catch_all_route: {cluster: a}}\n"
         "downstream_auth_password: {inline_string: ''}"),
        ("redis_proxy.v3.RedisProxy", "settings: {op_timeout: 1s}\nprefix_routes: {catch_all_route: {cluster: a}}\n"
         "external_auth_provider: {grpc_service: {envoy_grpc: {cluster_name: a}}}"),
    ],
)  # fmt: skip
def test_other_protocols_have_no_listener_either(type: str, config: str) -> None:
    outcome = chain(f"{NETWORK}.{type}", config, lenient())
    assert outcome.sections == []
    assert outcome.skipped


def test_a_filter_of_dubbo_that_knows_the_rules_of_http_is_rbac_all_the_same() -> None:
    config = f"dubbo_filters: [{{name: x, config: {{'@type': {HTTP}.rbac.v3.RBAC, rules: {{}}}}}}]"
    (section,) = chain(f"{NETWORK}.dubbo_proxy.v3.DubboProxy", config, lenient()).sections
    assert section["filters"] == [{"rbac": {"policies": {"nothing": {"action": "allow", "permissions": []}}}}]


def test_a_section_of_our_own_is_not_put_in_force_without_the_policies_before_it() -> None:
    rbac = "{'@type': type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: x, rules: {}}"
    before = f"- {{name: rbac, typed_config: {rbac}}}"
    own = f"{{name: own, typed_config: {{'@type': {url(LISTENER)}, section: {{name: in, protocol: tcp}}}}}}"
    text = f"{FRONT}filter_chains:\n- filters:\n  {before}\n  - {own}"
    assert listener(text, lenient()).sections == []


def test_a_filter_that_a_route_can_not_turn_off_is_named() -> None:
    off = "{f: {'@type': type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}}"
    outcome = with_filter("rbac.v3.RBAC", "rules: {}", f"{{{ALL[1:-1]}, typed_per_filter_config: {off}}}")
    assert any("disabled" in str(one) for one in outcome.report.warnings)
    assert outcome.sections[0]["filters"]


EACH = "{requires_any: {requirements: [{provider_name: %s}, {allow_missing: {}}]}}"


def istios_requirement(*providers: str) -> str:
    """What Istio writes for these providers, a and b named first."""
    each = ", ".join(EACH % one for one in providers)
    return f"[{{provider_name: a}}, {{provider_name: b}}, {{requires_all: {{requirements: [{each}]}}}}]"


def with_requirement(listed: str) -> Translated:
    rule = f"{{match: {{prefix: /}}, requires: {{requires_any: {{requirements: {listed}}}}}}}"
    providers = ", ".join(f"{name}: {{{KEYS}}}" for name in "abc")
    return with_filter("jwt_authn.v3.JwtAuthentication", f"providers: {{{providers}}}, rules: [{rule}]")


def test_tokens_of_one_of_istios_issuers_or_none_are_what_they_are() -> None:
    outcome = with_requirement(istios_requirement("a", "b"))
    filters: Any = outcome.sections[0]["filters"]
    assert (set(filters[0]["jwt"]["providers"]), filters[0]["jwt"]["require"]) == ({"a", "b"}, "allow_missing")
    assert errors(outcome) == []


def test_but_not_where_another_issuer_is_among_them() -> None:
    assert with_requirement(istios_requirement("a", "c")).sections == []


# -- policies


def test_no_policy_takes_the_place_of_another_one() -> None:
    name = "ns[%s]-policy[%s]-rule[%d]"
    policies = "".join(
        f"'{name % ('n' * 63, 'p' * 200, place)}': {{permissions: [{{any: true}}], principals: [{{any: true}}]}}, "
        for place in range(2)
    )
    rules = f"rules: {{action: DENY, policies: {{{policies} 'a b': {{}}, 'a-b': {{}}}}}}"
    found: Any = options_of(Fields(message("envoy.extensions.filters.http.rbac.v3.RBAC", rules), "rbac", Report()))
    assert len(found["policies"]) == 4
    assert all(len(name) <= 128 for name in found["policies"])


def test_a_policy_that_compares_in_a_way_of_somebody_s_own_is_not_one_that_never_holds() -> None:
    custom = "{name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}"
    rules = (
        "action: DENY, policies: {p: {permissions: [{any: true}], principals: [{header: {name: x, string_match: {"
        f"custom: {custom}}}}}}}]}}}}"
    )
    assert with_filter("rbac.v3.RBAC", f"rules: {{{rules}}}").sections == []


# -- TLS


@pytest.mark.parametrize(
    "validation",
    [
        "validation_context: {trusted_ca: {filename: /ca}, verify_certificate_hash: [aa]}",
        "validation_context: {trusted_ca: {filename: /ca}, crl: {filename: /crl}}",
        "validation_context: {trusted_ca: {filename: /ca}, max_verify_depth: 1}",
        "validation_context: {ca_certificate_provider_instance: {instance_name: x}}",
        "validation_context_certificate_provider_instance: {instance_name: x}",
        "validation_context_sds_secret_config: {name: s, sds_config: {ads: {}}}",
    ],
)
@pytest.mark.parametrize("side", ["Upstream", "Downstream"])
def test_what_is_asked_of_certificates_is_asked(side: str, validation: str) -> None:
    secret = message(
        f"{TLS}.Secret", "{name: s, validation_context: {trusted_ca: {filename: /ca}, crl: {filename: /c}}}"
    )
    context = Context(Report(lenient=True), Resources(secrets={"s": secret}))
    text = f"common_tls_context: {{{PAIR}, {validation}}}"
    fields = Fields(message(f"{TLS}.{side}TlsContext", text), "tls", context.report)
    with pytest.raises(Unusable):
        (upstream if side == "Upstream" else downstream)(fields, context)
        fields.close()


def test_names_of_servers_that_could_not_be_compared_make_no_cluster_that_takes_any() -> None:
    context = lenient()
    names = "match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]"
    text = f"common_tls_context: {{validation_context: {{{names}}}}}"
    with pytest.raises(Unusable):
        upstream(Fields(message(f"{TLS}.UpstreamTlsContext", text), "tls", context.report), context)


def test_endpoints_with_another_kind_of_tls_are_not_spoken_to_without_any() -> None:
    context = f"{{common_tls_context: {{}}, sni: %s, '@type': type.googleapis.com/{TLS}.UpstreamTlsContext}}"
    sockets = "".join(
        f"- {{name: {name}, match: {{{name}: x}}, transport_socket: {{name: tls, typed_config: {context % name}}}}}\n"
        for name in ("a", "b")
    )
    text = f"name: c\ntype: STATIC\nload_assignment: {{cluster_name: c}}\ntransport_socket_matches:\n{sockets}"
    outcome = cluster(text, lenient())
    assert outcome.sections == [] and outcome.skipped


# -- chains

TCP = """
  filters: [{name: envoy.filters.network.tcp_proxy, typed_config: {
    "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: x, cluster: a}}]
"""
FRONT = "name: in\naddress: {socket_address: {address: 127.0.0.1, port_value: 80}}\n"


@pytest.mark.parametrize("match", ["source_type: SAME_IP_OR_LOOPBACK", "source_ports: [1]", "transport_protocol: quic"])
def test_a_chain_takes_no_more_connections_than_it_is_for(match: str) -> None:
    text = f"{FRONT}filter_chains:\n- filter_chain_match: {{{match}}}{TCP}- name: all{TCP}"
    assert listener(text, lenient()).sections == []


def test_connections_of_a_chain_that_is_beyond_us_are_closed_and_no_other_chain_has_them() -> None:
    beyond = "filter_chain_match: {destination_port: 80}\n  filters: [{name: acme.magic}]"
    text = f"{FRONT}filter_chains:\n- {beyond}\n- name: all{TCP}"
    outcome = listener(text, lenient())
    closing, other, front = outcome.sections
    assert front["chains"] == [
        {"match": {"port": 80}, "listener": closing["name"]},
        {"listener": other["name"]},
    ]
    context = ReadingContext("envoy", REGISTRY, {"clock": Clock(), "node": model.Node(), "clusters": {}})
    section, _ = read_section(model.Listener, closing, context)
    assert section is not None and section.routes == ()


# -- routes


def table(routes: str) -> tuple[list[dict[str, Any]], Context]:
    context = lenient()
    text = f"{{name: n, virtual_hosts: [{{name: all, domains: ['*'], routes: [{routes}]}}]}}"
    section = {"protocol": {"name": "http"}, "filters": [{"rbac": {}}, {"jwt": {}}, {"ext_authz": {}}]}
    kind = "envoy.config.route.v3.RouteConfiguration"
    return routes_of(message(kind, text), context, "http", listener=section), context


OWN_PATH = "path_match_policy: {name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}"
PER_ROUTE = "typed_per_filter_config: {f: {'@type': %s}}"


@pytest.mark.parametrize(
    ("route", "match"),
    [
        (f"{{match: {{{OWN_PATH}}}, route: {{cluster: b}}}}", {}),
        ("{match: {path: /b, dynamic_metadata: [{filter: x}]}, route: {cluster: b}}", {"path": "/b"}),
        ("{match: {path: /b}, route: {cluster_header: x}}", {"path": "/b"}),
        ("{match: {path: /b}, non_forwarding_action: {}}", {"path": "/b"}),
        ("{match: {path: /b}, route: {cluster: b}, %s}" % (
            PER_ROUTE % f"{HTTP}.jwt_authn.v3.PerRouteConfig, requirement_name: x"), {"path": "/b"}),
        ("{match: {path: /b}, route: {cluster: b}, %s}" % (
            PER_ROUTE % f"{HTTP}.ratelimit.v3.RateLimitPerRoute, vh_rate_limits: INCLUDE"), {"path": "/b"}),
        ("{match: {path: /b}, route: {weighted_clusters: {clusters: [{name: b, weight: 1, %s}]}}}" % (
            PER_ROUTE % f"{HTTP}.rbac.v3.RBACPerRoute"), {"path": "/b"}),
    ],
)  # fmt: skip
def test_a_route_that_can_not_be_honoured_answers_and_lets_no_route_behind_it_have_its_requests(
    route: str, match: dict[str, object]
) -> None:
    (first, second), context = table(f"{route}, {ALL}")
    assert first.get("match", {}) == match
    assert first["reply"] == {"error": "not_found"}
    assert second["cluster"] == "a"
    assert errors(context.report) == []


def test_routes_that_are_beyond_us_as_a_whole_are_refused_so_that_those_before_stay() -> None:
    custom = "{custom: {name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}}"
    route = f"{{match: {{prefix: /, headers: [{{name: x, string_match: {custom}}}]}}, route: {{cluster: b}}}}"
    context = lenient()
    text = f"{{name: n, virtual_hosts: [{{name: all, domains: ['*'], routes: [{route}]}}]}}"
    assert routes_of(message("envoy.config.route.v3.RouteConfiguration", text), context, "dubbo") == []
    assert any("as a whole" in one for one in errors(context.report))
