"""A listener by itself: its routes, its filters, and what its codec must know for them."""

from __future__ import annotations

import pytest
from checked import accepted, mesh, refused, warned

from metaproxy.config.check import check
from metaproxy.plugins import Registry


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (mesh("[{clusters: §{demo: 0}}]"), "routes[0].clusters: all weights are 0; one at least must be above"),
        (
            mesh("[{cluster: demo, name: a}, {cluster: demo, name: §a}]"),
            "routes[1].name: a route 'a' is there already, in line 1",
        ),
        (
            mesh("[{clusters: {demo: 1, §dem: 2}}]"),
            "routes[0].clusters.dem: no cluster 'dem'; did you mean 'demo'?",
        ),
        (
            mesh("[{cluster: demo, request: §{set: {a: 1}}}]", "mute"),
            "routes[0].request: messages of mute can't be changed: the protocol has no place for metadata",
        ),
        (
            mesh("[{cluster: demo, filters: {§gate: {wait: 1}}}]"),
            "routes[0].filters.gate: the listener has no filter 'gate'; no filter is defined",
        ),
        (
            mesh("[{cluster: demo, filters: {gate: {§wiat: 1}}}]", listener=", filters: [{gate: {wait: 1}}]"),
            "routes[0].filters.gate.wiat: gate: no option 'wiat'; did you mean 'wait'?",
        ),
        (
            mesh("[{reply: {error: §not_fund}}]"),
            "routes[0].reply.error: 'not_fund' is not known here; did you mean 'not_found'?",
        ),
        (
            mesh(r"[{cluster: demo, rewrite: {path: {regex: ^/a, to: §/\1}}}]", "http"),
            r"routes[0].rewrite.path.to: \1 is no group of the pattern, which has 0",
        ),
        (
            mesh(r"[{cluster: demo, rewrite: {statement: {regex: ^a, to: §\1}}}]", "postgres"),
            r"routes[0].rewrite.statement.to: \1 is no group of the pattern, which has 0",
        ),
        (
            mesh("[{cluster: demo, rewrite: {statement: §{regex: a, to: b}}}]", "http"),
            "routes[0].rewrite.statement: requests of http have no statements that can be changed",
        ),
        (
            mesh(r"[{cluster: demo, rewrite: {key: {regex: ^a, to: §\1}}}]", "redis"),
            r"routes[0].rewrite.key.to: \1 is no group of the pattern, which has 0",
        ),
        (
            mesh("[{cluster: demo, rewrite: {key: §{regex: a, to: b}}}]", "postgres"),
            "routes[0].rewrite.key: requests of postgres have no keys that can be changed",
        ),
        (
            mesh("[{cluster: demo, rewrite: {key: §{regex: a, to: b}}}]", "{name: redis, mode: pinned}"),
            "routes[0].rewrite.key: requests of redis have no keys that can be changed",
        ),
        (
            mesh("[{cluster: demo, rewrite: {statement: §{regex: a, to: b}}}]", "redis"),
            "routes[0].rewrite.statement: requests of redis have no statements that can be changed",
        ),
        (
            mesh("[{cluster: demo, rewrite: §{statement: {regex: a, to: b}, host: a}}]", "postgres"),
            "routes[0].rewrite: requests of postgres have no path and host that can be changed",
        ),
        (
            mesh("[{cluster: demo, rewrite: §{host: a}}]"),
            "routes[0].rewrite: requests of dubbo have no path and host that can be changed",
        ),
        (
            mesh("[{reply: §{message: no}}]"),
            "routes[0].reply: neither error nor name; write which answer it is, such as {error: denied}",
        ),
        (
            mesh("[{cluster: demo}]", listener=", statements: §true"),
            "statements: requests of dubbo have no fingerprint; leave it out",
        ),
        (mesh("[{reply: {name: §'600'}}]", "http"), "routes[0].reply.name: http has no answer '600'"),
        (
            mesh("[{reply: {error: denied, set: §{a: b}}}]", "mute"),
            "routes[0].reply.set: answers of mute carry no metadata: the protocol has no place for metadata",
        ),
        (mesh("[§{match: {a: b}}]"), "routes[0]: one of cluster, clusters, reply is missing"),
        (
            mesh("[{cluster: demo, §reply: {error: denied}}]"),
            "routes[0].reply: cluster and reply exclude each other; write one of them",
        ),
        (
            mesh("§{rdz: {name: x}}"),
            "routes: a mapping of other keys than rds; write a list of routes, or {rds: {name: NAME}}",
        ),
    ],
)
def test_a_route_must_make_sense_where_it_stands(text: str, problem: str) -> None:
    """§ stands before what is at fault."""
    assert refused(text.replace("§", "")) == [f"1:{text.index('§') + 1}: listeners[0].{problem}"]


def test_a_route_is_not_blamed_for_a_filter_that_is_written_wrong() -> None:
    for filters in ("[{gate: {wiat: 1}}]", "[gaet]", "", "gate"):
        text = mesh("[{cluster: demo, filters: {gate: off}}]", listener=f", filters: {filters}")
        assert len(refused(text)) == 1


def test_a_route_that_can_never_be_reached_is_a_warning() -> None:
    assert warned(mesh("[{cluster: demo}, {cluster: demo, match: {a: b}}]")) == [
        "1:90: listeners[0].routes[1]: never reached: listeners[0].routes[0], in line 1, takes every request"
    ]
    assert warned(mesh("[{cluster: demo, percent: 99}, {cluster: demo}]")) == []
    assert warned(mesh("[{cluster: demo, match: {a: b}}, {cluster: demo}]")) == []


def test_a_listener_without_routes_is_a_warning() -> None:
    assert warned(mesh("[]"))[0] == "1:13: listeners[0]: no routes; every request is answered with not_found"


def test_a_fault_names_errors_that_the_listeners_protocol_has() -> None:
    filters = ", filters: [{fault: {faults: [{error: {name: LOADING}}]}}]"
    (told,) = refused(mesh(listener=filters, protocol="thrift"))
    assert told.endswith("listeners[0].filters[0].fault: fault: thrift has no error 'LOADING'")
    accepted(mesh(listener=filters, protocol="redis"))


def test_the_same_holds_for_the_options_that_a_route_gives() -> None:
    routes = "[{cluster: demo, filters: {fault: {faults: [{error: {name: NAME}}]}}}]"
    filters = ", filters: [{fault: {faults: []}}]"
    (told,) = refused(mesh(routes.replace("NAME", "LOADING"), "thrift", filters))
    assert told.endswith("routes[0].filters.fault: fault: thrift has no error 'LOADING'")
    accepted(mesh(routes.replace("NAME", "internal_error"), "thrift", filters))


def test_a_fault_for_each_of_what_requests_name_asks_for_a_protocol_that_can_take_them_apart() -> None:
    filters = ", filters: [{fault: {faults: [{error: timeout, each: KEY}]}}]"
    (told,) = refused(mesh(listener=filters.replace("KEY", "topics"), protocol="redis"))
    assert told.endswith("fault: requests of redis can't be taken apart by 'topics'; leave `each` out")
    (told,) = refused(mesh(listener=filters.replace("KEY", "tables"), protocol="kafka"))
    assert told.endswith(
        "requests of kafka can't be taken apart by 'tables'; write one of topics, partitions, groups, transactional_ids"
    )
    accepted(mesh(listener=filters.replace("KEY", "partitions"), protocol="kafka"))


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"])
def test_a_proxy_header_that_is_believed_from_anyone_is_warned_of(listen: str) -> None:
    text = f"listeners: [{{name: l, listen: '{listen}', protocol: redis, proxy_protocol: true}}]"
    config, problems = check(text, "x.yaml", Registry())
    assert problems == []
    assert config is not None
    assert any("trusted" in warning.text for warning in config.warnings)


@pytest.mark.parametrize("written", ["{trusted: [10.0.0.0/8, unix]}", "{trusted: 10.0.0.0/8}", "false"])
def test_a_proxy_header_of_trusted_networks_is_not(written: str) -> None:
    text = f"listeners: [{{name: l, listen: '0.0.0.0:1', protocol: redis, proxy_protocol: {written}}}]"
    config, problems = check(text, "x.yaml", Registry())
    assert problems == []
    assert config is not None
    assert not any("trusted" in warning.text for warning in config.warnings)
