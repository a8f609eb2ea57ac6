"""What Envoy's routes of HTTP ask of a request: the same requests take them here."""

from __future__ import annotations

import pytest
from envoy_http import RouteOf, get, hosts, route, section_of
from envoy_messages import errors

GO = "{cluster: to}"


def takes(match: str, request: bytes) -> bool:
    return RouteOf(section_of(route(f"name: it\nmatch: {match}\nroute: {GO}\n")))(request) == "it"


@pytest.mark.parametrize(
    ("match", "target", "taken"),
    [
        ("{prefix: /}", "/any?x=1", True),
        ("{prefix: /api}", "/apiary", True),
        ("{prefix: /api}", "/API", False),
        ("{prefix: /api, case_sensitive: false}", "/API/x", True),
        ("{path: /exact}", "/exact?x=1", True),
        ("{path: /exact}", "/exact/", False),
        ("{path: /Exact, case_sensitive: false}", "/eXACT", True),
        ("{path_separated_prefix: /api}", "/api", True),
        ("{path_separated_prefix: /api}", "/api/v1?x", True),
        ("{path_separated_prefix: /api}", "/apiary", False),
        ("{safe_regex: {regex: '/[a-c]+'}}", "/abc?x", True),
        ("{safe_regex: {regex: '/[a-c]+'}}", "/abcd", False),
        ("{prefix: /, query_parameters: [{name: v, string_match: {exact: '2'}}]}", "/?v=2", True),
        ("{prefix: /, query_parameters: [{name: v, string_match: {exact: '2'}}]}", "/?v=3", False),
        ("{prefix: /, query_parameters: [{name: v}]}", "/?v", True),
        ("{prefix: /, query_parameters: [{name: v, present_match: true}]}", "/", False),
    ],
)
def test_a_path_and_its_query(match: str, target: str, taken: bool) -> None:
    assert takes(match, get(target)) is taken


@pytest.mark.parametrize(
    ("header", "line", "taken"),
    [
        ("{name: X-A, string_match: {exact: b}}", "x-a: b", True),
        ("{name: X-A, string_match: {exact: b}}", "x-a: B", False),
        ("{name: x-a, string_match: {prefix: B, ignore_case: true}}", "x-a: bcd", True),
        ("{name: x-a, string_match: {suffix: c}}", "x-a: bc", True),
        ("{name: x-a, string_match: {contains: b}}", "x-a: abc", True),
        ("{name: x-a, string_match: {safe_regex: {regex: 'b+'}}}", "x-a: abb", False),
        ("{name: x-a, range_match: {start: 1, end: 3}}", "x-a: 2", True),
        ("{name: x-a, range_match: {start: 1, end: 3}}", "x-a: 3", False),
        ("{name: x-a, present_match: true}", "x-b: 1", False),
        ("{name: x-a, present_match: false}", "x-b: 1", True),
        ("{name: x-a, present_match: true, invert_match: true}", "x-b: 1", True),
        ("{name: x-a, string_match: {exact: b}, invert_match: true}", "x-a: c", True),
        ("{name: x-a, string_match: {exact: b}, invert_match: true}", "x-b: c", False),
        (
            "{name: x-a, string_match: {exact: ''}, treat_missing_header_as_empty: true}",
            "x-b: c",
            True,
        ),
        ("{name: ':method', string_match: {exact: GET}}", "x-b: c", True),
        ("{name: ':path', string_match: {exact: '/p?q=1'}}", "x-b: c", True),
        ("{name: ':authority', string_match: {exact: a.example}}", "x-b: c", True),
        ("{name: path, string_match: {exact: v}}", "path: v", True),
        ("{name: query.x, string_match: {exact: v}}", "query.x: v", True),
    ],
)
def test_a_header(header: str, line: str, taken: bool) -> None:
    assert takes(f"{{prefix: /, headers: [{header}]}}", get("/p?q=1", "a.example", line)) is taken


def test_all_conditions_on_one_header_hold() -> None:
    match = "{prefix: /, headers: [{name: a, string_match: {prefix: x}}, {name: a, string_match: {suffix: z}}]}"
    assert takes(match, get("/", "h", "a: xyz"))
    assert not takes(match, get("/", "h", "a: xy"))


def test_a_call_of_grpc_is_known_by_its_content_type() -> None:
    text = """
    - name: all
      domains: ['*']
      routes:
      - {name: grpc, match: {prefix: /, grpc: {}}, route: {cluster: a}}
      - {name: web, match: {prefix: /}, route: {cluster: b}}
    """
    choose = RouteOf(section_of(hosts(text)))
    asked = [get("/", "h", f"content-type: {kind}") for kind in ("application/grpc", "application/grpc+proto", "a/b")]
    assert [choose(one) for one in asked] == ["grpc", "grpc", "web"]


HOSTS = """
- name: exact
  domains: [A.example, "b.example:8080"]
  routes: [{name: exact, match: {prefix: /x}, route: {cluster: to}}]
- name: long
  domains: ["*.a.example"]
  routes: [{name: long, match: {prefix: /}, route: {cluster: to}}]
- name: short
  domains: ["*.example"]
  routes: [{name: short, match: {prefix: /}, route: {cluster: to}}]
- name: before
  domains: ["www.*"]
  routes: [{name: before, match: {prefix: /}, route: {cluster: to}}]
- name: rest
  domains: ["*"]
  routes: [{name: rest, match: {prefix: /}, route: {cluster: to}}]
"""


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("a.example", "exact"),
        ("A.EXAMPLE", "exact"),
        ("a.example:80", "rest"),
        ("b.example:8080", "exact"),
        ("b.example", "short"),
        ("x.a.example", "long"),
        (".example", "rest"),
        ("x.y.example", "short"),
        ("www.org", "before"),
        ("other.org", "rest"),
    ],
)
def test_the_most_exact_domain_has_the_request(host: str, taken: str) -> None:
    assert RouteOf(section_of(hosts(HOSTS)))(get("/x", host)) == taken


def test_a_host_whose_routes_do_not_match_leaves_the_request_to_no_other() -> None:
    section = section_of(hosts(HOSTS))
    name = RouteOf(section)(get("/y", "a.example"))
    (found,) = [one for place, one in enumerate(section["routes"]) if one.get("name", f"routes[{place}]") == name]
    assert found["reply"] == {"error": "not_found"}


def test_ports_of_hosts_count_unless_they_are_ignored() -> None:
    choose = RouteOf(section_of(hosts(HOSTS, more="ignore_port_in_host_matching: true")))
    assert choose(get("/x", "a.example:80")) == "exact"
    assert choose(get("/x", "x.a.example:80")) == "long"


def test_a_star_within_a_domain_is_malformed() -> None:
    (error,) = errors(hosts("- {name: a, domains: [a.*.b], routes: []}"))
    assert "a.*.b" in error
