from __future__ import annotations

from pathlib import Path

import pytest

from metaproxy.config.check import check
from metaproxy.plugins import Registry


def outcome(protocol: str, route: str) -> tuple[list[str], list[str]]:
    text = (
        f"listeners: [{{name: l, listen: '127.0.0.1:1', protocol: {protocol}, routes: [{{{route}, cluster: c}}]}}]\n"
        "clusters: [{name: c, endpoints: ['127.0.0.1:1']}]\n"
    )
    config, problems = check(text, "x.yaml", Registry())
    return [one.text for one in problems], [one.text for one in config.warnings] if config else []


@pytest.mark.parametrize("route", ["match: {comand: GET}", "sticky: [usre]", "hash: [tga]"])
def test_a_key_that_a_closed_codec_does_not_have_is_refused(route: str) -> None:
    (problem,), _ = outcome("redis", route)
    assert "has no key" in problem and "did you mean" in problem


@pytest.mark.parametrize("spec", ["get", "{in: [GET, set]}"])
def test_a_value_that_is_always_in_upper_case_is_asked_for_in_upper_case(spec: str) -> None:
    (problem,), _ = outcome("redis", f"match: {{command: {spec}}}")
    assert "is never" in problem and ("'GET'" in problem or "'SET'" in problem)


@pytest.mark.parametrize(
    "route",
    ["match: {command: GET}", "match: {command: {prefix: g}}", "match: {source.address: x}", "match: {kind: oneway}"],
)  # fmt: skip
def test_what_can_be_there_passes(route: str) -> None:
    assert outcome("redis", route)[0] == []


def test_a_near_miss_of_an_open_codec_is_warned_of_and_other_keys_pass() -> None:
    problems, warnings = outcome("dubbo", "match: {methd: echo, tenant: a}")
    assert problems == []
    (warning,) = [one for one in warnings if "methd" in one]
    assert "did you mean 'method'?" in warning
    assert not any("tenant" in one for one in warnings)


def checked(protocol: str, listener: str, cluster: str = "") -> tuple[list[str], list[str]]:
    """What is wrong, and what is warned of, with these lines in a listener, and more in its cluster."""
    text = (
        f"listeners:\n- name: l\n  listen: '127.0.0.1:1'\n  protocol: {protocol}\n"
        f"  {listener}\n"
        f"{'' if 'routes:' in listener else '  routes: [{cluster: c}]'}\n"
        f"clusters: [{{name: c, endpoints: ['127.0.0.1:1']{cluster}}}]\n"
    )
    config, problems = check(text, "x.yaml", Registry())
    return [f"{one.path}: {one.text}" for one in problems], [one.text for one in config.warnings] if config else []


CONDITIONS = {
    "rbac": "{rbac: {policies: {p: {action: deny, permissions: [{or: [{not: {%s: GET}}]}]}}}}",
    "rbac in the shadow": "{rbac: {shadow: {p: {principals: [{%s: GET}]}}}}",
    "fault": "{fault: {faults: [{match: {%s: GET}, percentage: 1, reset: request}]}}",
    "limit": "{local_rate_limit: {conditions: [{limit: 1, match: {and: [{%s: GET}]}}]}}",
}
BUCKETS = {
    "limit": "{local_rate_limit: {limit: 1, key: %s}}",
    "limits": "{local_rate_limit: {limit: 1, key: [user, %s]}}",
    "limit of a condition": "{local_rate_limit: {conditions: [{limit: 1, key: %s}]}}",
    "concurrency": "{concurrency_limit: {limit: 1, key: %s}}",
    "deadline": "{deadline: {key: %s}}",
    "callers": "{fault: {faults: [{percentage: 1, reset: request}], key: %s}}",
    "descriptor": "{global_rate_limit: {service: {grpc: '127.0.0.1:1'}, descriptors: [[{key: k, from: %s}]]}}",
    "entry": "{global_rate_limit: {service: {grpc: '127.0.0.1:1'}, descriptors: [{entries: [{key: k, from: %s}]}]}}",
    "property": (
        "{global_rate_limit: {service: {grpc: '127.0.0.1:1'}, descriptors: [{property: %s, descriptor_key: k}]}}"
    ),
}


@pytest.mark.parametrize("text", CONDITIONS.values(), ids=list(CONDITIONS))
def test_conditions_of_filters_ask_for_keys_that_are_there(text: str) -> None:
    (problem,), _ = checked("redis", f"filters: [{text % 'comand'}]")
    assert "did you mean 'command'?" in problem and "comand" in problem.partition(": ")[0]
    assert checked("redis", f"filters: [{text % 'command'}]")[0] == []


@pytest.mark.parametrize("text", CONDITIONS.values(), ids=list(CONDITIONS))
def test_conditions_of_filters_ask_for_values_that_can_be(text: str) -> None:
    (problem,), _ = checked("redis", f"filters: [{text.replace('GET', 'get') % 'command'}]")
    assert "command is never 'get'; write 'GET'" in problem


@pytest.mark.parametrize("text", BUCKETS.values(), ids=list(BUCKETS))
def test_what_tells_requests_apart_is_a_key_that_is_there(text: str) -> None:
    (problem,), _ = checked("redis", f"filters: [{text % 'usre'}]")
    assert "did you mean 'user'?" in problem
    for sound in ("user", "source.address"):
        assert checked("redis", f"filters: [{text % sound}]")[0] == []


def test_filters_of_a_route_are_looked_at_too() -> None:
    limit = "filters: [{concurrency_limit: {limit: 1}}]\n  "
    routes = "routes: [{cluster: c, filters: {concurrency_limit: {limit: 1, key: usre}}}]"
    (problem,), _ = checked("redis", limit + routes)
    assert "did you mean 'user'?" in problem


@pytest.mark.parametrize(
    "log", ["format: '%%REQ(%s)%%'", "fields: {a: 'x %%REQ(user?%s):9%% y'}", "format: '%%RESP(%s)%%'"]
)
def test_logs_show_keys_that_are_there(log: str) -> None:
    (problem,), _ = checked("redis", f"access_log: [{{file: /dev/null, {log % 'databse'}}}]")
    assert "did you mean 'database'?" in problem
    for sound in ("database", "kind", "x-request-id", "x-meta-protocol-real-server-address"):
        assert checked("redis", f"access_log: [{{file: /dev/null, {log % sound}}}]")[0] == []


@pytest.mark.parametrize("balancer", ["ring_hash", "maglev"])
def test_a_balancer_hashes_keys_that_are_there(balancer: str) -> None:
    (problem,), _ = checked("redis", "max_inflight: 9", f", balancer: {{name: {balancer}, key: usre}}")
    assert "did you mean 'user'?" in problem
    assert checked("redis", "max_inflight: 9", f", balancer: {{name: {balancer}, key: [key, source.address]}}")[0] == []


@pytest.mark.parametrize("protocol", ["redis", "dubbo", "thrift"])
def test_a_kind_that_no_message_has_is_refused(protocol: str) -> None:
    (problem,), _ = outcome(protocol, "match: {kind: onewya}")
    assert "did you mean 'oneway'?" in problem


@pytest.mark.parametrize("transport", ["framed", "unframed"])
def test_thrift_without_headers_has_no_keys_but_its_own(transport: str) -> None:
    protocol = f"{{name: thrift, transport: {transport}}}"
    assert "has no key 'metod'" in outcome(protocol, "match: {metod: a}")[0][0]
    assert "has no key 'x-user'" in outcome(protocol, "match: {x-user: a}")[0][0]
    assert "has no key 'service'" in outcome(protocol, "match: {service: a}")[0][0]
    assert outcome(f"{{name: thrift, transport: {transport}, multiplexed: true}}", "match: {service: a}")[0] == []


@pytest.mark.parametrize("transport", ["auto", "header", "ttheader"])
def test_thrift_with_headers_has_those_that_senders_choose(transport: str) -> None:
    problems, warnings = outcome(f"{{name: thrift, transport: {transport}}}", "match: {metod: a, x-user: b}")
    assert problems == []
    assert ["did you mean 'method'?" in one for one in warnings if "own keys" in one] == [True]


def test_keys_of_a_family_that_a_codec_has_are_its_own() -> None:
    assert outcome("http", "match: {query.v: a, cookie.canary: b, header.query: c, path: /}") == ([], [])
    (warning,) = outcome("http", "match: {querys: a}")[1]
    assert "did you mean 'query'?" in warning


def test_mutations_of_an_open_codec_are_warned_of_where_a_key_is_nearly_its_own() -> None:
    problems, warnings = outcome("dubbo", "request: {set: {tenant: a}, remove: [methd]}")
    assert problems == []
    assert ["methd" in one for one in warnings if "own keys" in one] == [True]


def test_behind_a_filter_that_adds_keys_others_may_ask_for_any() -> None:
    asks = "{ext_authz: {service: {http: 'http://127.0.0.1:1'}}}"
    problems, _ = checked("redis", f"filters: [{asks}, {{rbac: {{policies: {{p: {{principals: [{{tenant: a}}]}}}}}}}}]")
    assert problems == []


def test_a_filter_may_ask_for_a_key_like_none_that_the_codec_has_and_is_warned_of() -> None:
    problems, warnings = checked("redis", "filters: [{rbac: {policies: {p: {principals: [{tenant: a}]}}}}]")
    assert problems == []
    assert [one for one in warnings if "redis has no key 'tenant'" in one]


def test_filters_and_codecs_that_declare_nothing_go_on_working(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from zope.interface import implementer\n"
        "from metaproxy.interfaces import IOnRequest\n"
        "@implementer(IOnRequest)\n"
        "class Mine:\n"
        "    def __init__(self, policies: dict[str, object]) -> None: ...\n"
        "    def on_request(self, exchange): return None\n"
        "name = 'mine'\nfilter = Mine\nMine.name = 'mine'\n"
    )
    registry = Registry([tmp_path])
    text = (
        "listeners: [{name: l, listen: '127.0.0.1:1', protocol: redis, filters: [{mine: {policies: {usre: [{a: b}]}}}],"
        " routes: [{cluster: c}]}]\nclusters: [{name: c, endpoints: ['127.0.0.1:1']}]\n"
    )
    _, problems = check(text, "x.yaml", registry)
    assert not [one for one in problems if "has no key" in one.text]


@pytest.mark.parametrize(("match", "meant"), [("source.adress: 10.0.0.1", "source.address"), ("tls.snl: a", "tls.sni")])
def test_a_misspelt_fact_is_refused_for_an_open_codec_too(match: str, meant: str) -> None:
    (problem,), _ = outcome("dubbo", f"match: {{{match}}}")
    assert repr(meant) in problem
