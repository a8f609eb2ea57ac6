"""Routes that came over RDS, in the form of HTTP routes, are metaprotocol's again."""

from __future__ import annotations

import pytest
from envoy_messages import errors, message

from metaproxy.envoy.report import Report
from metaproxy.envoy.routes import routes_of
from metaproxy.envoy.tables import Context

KIND = "envoy.config.route.v3.RouteConfiguration"


def routes(text: str, lenient: bool = False) -> tuple[object, list[str]]:
    context = Context(Report(lenient))
    found = routes_of(message(KIND, text), context, "dubbo", "r")
    return found, errors(context.report)


def hosted(text: str) -> str:
    return f"{{name: n, virtual_hosts: [{{name: dummy, domains: ['*'], routes: [{text}]}}]}}"


def test_a_route_as_aeraki_sends_it_is_ours() -> None:
    found, wrong = routes(
        hosted("""{
      name: canary,
      match: {prefix: /, headers: [
        {name: interface, exact_match: com.shop.Stock}, {name: method, prefix_match: get},
        {name: user, safe_regex_match: {google_re2: {}, regex: 'a|b'}}, {name: x, present_match: true}]},
      route: {
        weighted_clusters: {clusters: [{name: a, weight: 20}, {name: b, weight: 80}], total_weight: 100},
        hash_policy: [{header: {header_name: user}}],
        request_mirror_policies: [
          {cluster: shadow, runtime_fraction: {default_value: {numerator: 500000, denominator: MILLION}}}]},
      request_headers_to_add: [{header: {key: foo, value: bar}}],
      response_headers_to_add: [{header: {key: foo, value: bar}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}""")
    )
    assert wrong == []
    assert found == [
        {
            "name": "canary",
            "match": {
                "interface": "com.shop.Stock",
                "method": {"prefix": "get"},
                "user": {"regex": "a|b"},
                "x": {"present": True},
            },
            "clusters": {"a": 20, "b": 80},
            "hash": ["user"],
            "mirror": [{"cluster": "shadow", "percent": 50}],
            "request": {"set": {"foo": "bar"}},
            "response": {"set": {"foo": "bar"}},
        }
    ]


def test_a_mirror_without_a_share_gets_all() -> None:
    found, wrong = routes(hosted("{match: {prefix: /}, route: {cluster: a, request_mirror_policies: [{cluster: s}]}}"))
    assert wrong == []
    assert found == [{"cluster": "a", "mirror": [{"cluster": "s"}]}]


def test_all_virtual_hosts_count_in_their_order() -> None:
    found, wrong = routes("""{virtual_hosts: [
      {name: a, domains: ['*'], routes: [{route: {cluster: x}}]},
      {name: b, domains: ['y'], routes: [{route: {cluster: y}}]}]}""")
    assert wrong == []
    assert found == [{"cluster": "x"}, {"cluster": "y"}]


def test_a_share_of_requests_is_the_routes_share() -> None:
    found, _ = routes(
        hosted("{match: {prefix: /, runtime_fraction: {default_value: {numerator: 5}}}, route: {cluster: a}}")
    )
    assert found == [{"cluster": "a", "percent": 5}]


@pytest.mark.parametrize(
    "text",
    [
        "{name: n}",
        hosted("{match: {prefix: /}}"),
        hosted("{match: {prefix: /}, direct_response: {status: 503}}"),
        hosted("{match: {prefix: /}, route: {}}"),
        hosted("{match: {prefix: /}, route: {cluster: a}, request_headers_to_add: [{header: {value: x}}]}"),
    ],
)
def test_routes_that_make_no_sense_are_refused_also_where_reports_are_lenient(text: str) -> None:
    assert len(routes(text, lenient=True)[1]) == 1


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{match: {prefix: /x}, route: {cluster: a}}", "match.prefix"),
        ("{match: {path: /x}, route: {cluster: a}}", "match.path"),
        ("{route: {cluster: a, hash_policy: [{cookie: {name: c}}]}}", "route.hash_policy[0].cookie"),
        ("{route: {cluster: a, retry_policy: {num_retries: 2}}}", "route.retry_policy"),
        ("{route: {cluster: a}, metadata: {}}", "metadata"),
    ],
)
def test_what_metaprotocol_has_not_is_named(text: str, path: str) -> None:
    (error,) = routes(hosted(text))[1]
    assert error.startswith(f"r.virtual_hosts[0].routes[0].{path}: ")


HTTP = "type.googleapis.com/envoy.extensions.filters.http"
LISTENER = {
    "protocol": {"name": "http", "via": "", "upgrade": ["websocket"]},
    "filters": [{"local_rate_limit": {"conditions": [{"match": {"kind": "event"}, "limit": 1}]}}],
}


def of_http(route: str) -> tuple[list[dict[str, object]], list[str]]:
    context = Context(Report())
    text = f"{{virtual_hosts: [{{name: v, domains: ['*'], routes: [{{match: {{prefix: /}}, {route}}}]}}]}}"
    found = routes_of(message(KIND, text), context, "http", "r", LISTENER)
    return found, errors(context.report)


def test_routes_of_http_give_filters_of_their_listener_other_options() -> None:
    on = "{default_value: {numerator: 100}}"
    limit = (
        f"{{'@type': {HTTP}.local_ratelimit.v3.LocalRateLimit, stat_prefix: x, filter_enabled: {on}, "
        f"filter_enforced: {on}, token_bucket: {{max_tokens: 5, tokens_per_fill: 5, fill_interval: 1s}}}}"
    )
    (route,), wrong = of_http(f"route: {{cluster: a}}, typed_per_filter_config: {{limit: {limit}}}")
    assert wrong == []
    assert route["filters"] == {"local_rate_limit": {"limit": 5, "per": "1s", "refill": "interval"}}


def test_upgrades_are_the_listeners_to_allow() -> None:
    assert of_http("route: {cluster: a, upgrade_configs: [{upgrade_type: websocket}]}")[1] == []
    (error,) = of_http("route: {cluster: a, upgrade_configs: [{upgrade_type: other}]}")[1]
    assert "upgrade" in error
