"""What becomes of requests that take one of Envoy's routes of HTTP."""

from __future__ import annotations

import pytest
from envoy_http import hosts, only, route, routes_of
from envoy_messages import errors


def test_weights_are_weights() -> None:
    text = "match: {prefix: /}\nroute: {weighted_clusters: {clusters: [{name: a, weight: 1}, {name: b, weight: 3}]}}\n"
    assert only(route(text))["clusters"] == {"a": 1, "b": 3}


def test_clusters_with_headers_of_their_own_are_routes_with_shares_of_what_is_left() -> None:
    one = "{header: {key: x, value: '1'}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}"
    text = f"""\
match: {{prefix: /}}
route:
  weighted_clusters:
    clusters:
    - {{name: a, weight: 20, request_headers_to_add: [{one}]}}
    - {{name: b, weight: 40}}
    - {{name: c, weight: 40, host_rewrite_literal: c.example}}
"""
    routes = routes_of(route(text))
    assert [(one["cluster"], one.get("percent", 100)) for one in routes] == [("a", 20), ("b", 50), ("c", 100)]
    assert routes[0]["request"] == {"set": {"x": "1"}}
    assert routes[2]["rewrite"] == {"host": "c.example"}


def test_a_share_of_requests_goes_here_and_the_rest_further_down() -> None:
    text = "match: {prefix: /, runtime_fraction: {default_value: {numerator: 5, denominator: TEN_THOUSAND}}}\n"
    assert only(route(text + "route: {cluster: a}\n"))["percent"] == 0.05


def test_time_and_subsets_are_the_routes() -> None:
    text = """\
match: {prefix: /}
route:
  cluster: a
  timeout: 1.5s
  metadata_match: {filter_metadata: {envoy.lb: {version: v2, shard: 3}}}
  request_mirror_policies: [{cluster: copy, runtime_fraction: {default_value: {numerator: 10}}}]
"""
    found = only(route(text))
    assert found["timeout"] == "1500ms"
    assert found["subset"] == {"version": "v2", "shard": "3"}
    assert found["mirror"] == [{"cluster": "copy", "percent": 10}]


def test_no_time_limit_is_none_here() -> None:
    assert only(route("match: {prefix: /}\nroute: {cluster: a, timeout: 0s}\n"))["timeout"] == "0s"


@pytest.mark.parametrize(
    ("match", "rewrite", "expected"),
    [
        ("prefix: /a.b", "prefix_rewrite: /c", {"regex": r"^/a\.b", "to": "/c"}),
        ("path: /a", "prefix_rewrite: /c", {"regex": "^/a$", "to": "/c"}),
        ("path_separated_prefix: /a", "prefix_rewrite: /", {"regex": "^/a", "to": "/"}),
        (
            "prefix: /",
            "regex_rewrite: {pattern: {regex: '^/s/([^/]+)(/.*)$'}, substitution: '\\2/i/\\1'}",
            {"regex": "^/s/([^/]+)(/.*)$", "to": r"\2/i/\1"},
        ),
    ],
)
def test_a_path_is_rewritten(match: str, rewrite: str, expected: dict[str, str]) -> None:
    assert only(route(f"match: {{{match}}}\nroute: {{cluster: a, {rewrite}}}\n"))["rewrite"] == {"path": expected}


def test_a_pattern_that_may_match_at_several_places_is_reported() -> None:
    text = "match: {prefix: /}\nroute: {cluster: a, regex_rewrite: {pattern: {regex: a}, substitution: b}}\n"
    (error,) = errors(route(text))
    assert "regex_rewrite.pattern" in error and "first" in error


@pytest.mark.parametrize(
    "rewrite",
    [
        "prefix_rewrite: '/c\\1'",
        "regex_rewrite: {pattern: {regex: '^/.*$'}, substitution: 'a\\\\b'}",
    ],
)
def test_backslashes_that_mean_something_else_are_reported(rewrite: str) -> None:
    (error,) = errors(route(f"match: {{prefix: /}}\nroute: {{cluster: a, {rewrite}}}\n"))
    assert "_rewrite" in error


def test_hosts_are_rewritten_to_a_text_or_to_a_header() -> None:
    assert only(route("match: {prefix: /}\nroute: {cluster: a, host_rewrite_literal: b.example}\n"))["rewrite"] == {
        "host": "b.example"
    }
    found = only(route("match: {prefix: /}\nroute: {cluster: a, host_rewrite_header: X-Host}\n"))
    assert found["rewrite"] == {"host": "%x-host%"}


@pytest.mark.parametrize(
    ("redirect", "name", "locations"),
    [
        ("https_redirect: true", "301", ["https://%host%%target%"]),
        ("host_redirect: b.example, response_code: FOUND", "302", ["%scheme%://b.example%target%"]),
        ("port_redirect: 8443, https_redirect: true", "301", ["https://%hostname%:8443%target%"]),
        ("path_redirect: /n, strip_query: true", "301", ["%scheme%://%host%/n"]),
        (
            "path_redirect: /n, response_code: PERMANENT_REDIRECT",
            "308",
            ["%scheme%://%host%/n?%query%", "%scheme%://%host%/n"],
        ),
        ("path_redirect: '/n?a=b'", "301", ["%scheme%://%host%/n?a=b"]),
    ],
)
def test_redirects_are_answers_with_a_location(redirect: str, name: str, locations: list[str]) -> None:
    routes = routes_of(route(f"match: {{path: /o}}\nredirect: {{{redirect}}}\n"))
    assert [one["reply"]["set"]["location"] for one in routes] == locations
    assert {one["reply"]["name"] for one in routes} == {name}
    assert all(one["match"]["path"] == "/o" for one in routes)


def test_a_redirect_to_a_part_of_the_path_is_reported() -> None:
    (error,) = errors(route("match: {prefix: /a}\nredirect: {prefix_rewrite: /b}\n"))
    assert "redirect.prefix_rewrite" in error


def test_a_direct_response_is_a_reply() -> None:
    found = only(route("match: {prefix: /}\ndirect_response: {status: 418, body: {inline_string: short}}\n"))
    assert found["reply"] == {"name": "418", "message": "short"}


def test_a_body_that_is_too_long_is_reported() -> None:
    body = "x" * 2000
    (error,) = errors(
        route(f"match: {{prefix: /}}\ndirect_response: {{status: 200, body: {{inline_string: {body}}}}}\n")
    )
    assert "1024" in error


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ("route: {cluster_header: x}", "route.cluster_header"),
        ("route: {cluster: a, auto_host_rewrite: true}", "auto_host_rewrite"),
        ("route: {cluster: a, priority: HIGH}", "priority"),
        ("route: {cluster: a, internal_redirect_policy: {}}", "internal_redirect_policy"),
        ("non_forwarding_action: {}", "non_forwarding_action"),
        ("route: {cluster: a}\nrequest_body_buffer_limit: 5", "request_body_buffer_limit"),
    ],
)
def test_what_is_not_there_is_named(fields: str, path: str) -> None:
    (error,) = errors(route(f"match: {{prefix: /}}\n{fields}\n"))
    assert path in error


def test_names_of_routes_are_made_to_differ() -> None:
    text = """
    - name: all
      domains: ["*"]
      routes:
      - {name: a, match: {path: /1}, route: {cluster: a}}
      - {name: a, match: {path: /2}, route: {cluster: a}}
    """
    assert [one["name"] for one in routes_of(hosts(text))] == ["a", "a#2"]
