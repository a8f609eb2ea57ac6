"""Listeners of HTTP and gRPC as HttpConnectionManager, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from checked import accepted
from envoy_round_trip import refused_by, round_trip, written
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.config.model import Route

CLUSTERS = "clusters: [{name: one, endpoints: ['127.0.0.1:1']}, {name: two, endpoints: ['127.0.0.1:2']}]\n"


def listener(routes: str, more: str = "", protocol: str = "http") -> str:
    return f"listeners: [{{name: a, listen: '127.0.0.1:80', protocol: {protocol}, routes: {routes}{more}}}]\n{CLUSTERS}"


def back(route: str) -> Route:
    (found,) = round_trip(listener(f"[{route}]")).listeners[0].routes
    return found


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{path: /a}", {"path": "/a"}),
        ("{path: {prefix: /a, ignore_case: true}}", {"path": {"prefix": "/a", "ignore_case": True}}),
        ("{path: {suffix: a}}", {"path": {"regex": ".*a"}}),
        ("{method: GET, x-a: {prefix: b}}", {"method": "GET", "x-a": {"prefix": "b"}}),
        ("{target: {contains: q}}", {"target": {"contains": "q"}}),
        ("{query.v: '2'}", {"query.v": "2"}),
        ("{host: a.example}", {"host": "a.example"}),
        ("{header.path: b}", {"header.path": "b"}),
    ],
)
def test_conditions(match: str, expected: dict[str, object]) -> None:
    assert back(f"{{match: {match}, cluster: one}}").match == expected


@pytest.mark.parametrize(
    "route",
    [
        "clusters: {one: 1, two: 3}, percent: 5, timeout: 3s",
        "cluster: one, hash: [x-user, cookie.s, source.address, query.q], subset: {v: '1'}",
        "cluster: one, mirror: [{cluster: two, percent: 10}]",
        "cluster: one, retry: {attempts: 2, on: [connect], backoff: 100ms..1s, per_try_timeout: 1s}",
        "cluster: one, retry: {on: [connect, reset, timeout, error], unsafe: true}",
        "cluster: one, rewrite: {path: {regex: '^/b', to: '/c'}, host: h.example}",
        "cluster: one, rewrite: {host: '%x-host%'}",
        "cluster: one, request: {set: {x-a: '%source.address%-%x-b% 5%'}, remove: [x-c]}, response: {set: {x-d: e}}",
        "cluster: one, request: {append: {x-a: b}, add: {x-c: d}}, response: {append: {via: me}}",
        "reply: {name: '301', set: {location: 'https://%host%/x'}}",
        "reply: {name: '418', message: short}",
    ],
)
def test_a_route_comes_back_as_it_was(route: str) -> None:
    text = listener(f"[{{name: r, {route}}}]")
    assert round_trip(text).listeners[0].routes == accepted(text).listeners[0].routes


def test_an_error_is_its_status() -> None:
    found = back("{reply: {error: denied, message: no}}")
    assert found.reply is not None and found.reply.name == "403"


def test_options_of_the_codec_come_back() -> None:
    protocol = (
        "{name: http, via: edge, upgrade: [], max_head: 32KiB, max_streams: 50, window: 128KiB, ping_interval: 30s}"
    )
    (found,) = round_trip(listener("[{cluster: one}]", protocol=protocol)).listeners
    assert found.protocol.options["via"] == "edge"
    assert found.protocol.options["max_head"] == 32768


def test_calls_of_grpc_have_servers_of_http2() -> None:
    bootstrap = written(listener("[{match: {x-a: b}, cluster: one}]", protocol="grpc"))
    text = json.dumps(bootstrap)
    assert '"grpc": {}' in text
    assert '"http2_protocol_options": {}' in text


@pytest.mark.parametrize(
    ("route", "path"),
    [
        ("match: {cookie.a: b}, cluster: one", "cookie.a"),
        ("match: {source.address: {cidr: 10.0.0.0/8}}, cluster: one", "source.address"),
        ("match: {path: {exact: /a, not: true}}, cluster: one", "path"),
        ("cluster: one, sticky: [x-a]", "sticky"),
        ("cluster: one, retry: {on: [reset], unsafe: true}", "retry.on"),
        ("cluster: one, retry: {on: [connect, reset, timeout]}", "retry.unsafe"),
        ("cluster: one, mirror: [{cluster: two, compare: true}]", "compare"),
        ("cluster: one, request: {set: {x: '%operation%'}}", "request.set"),
        ("cluster: one, request: {remove: [path]}", "request.remove"),
    ],
)
def test_what_has_no_counterpart_is_named(route: str, path: str) -> None:
    (line,) = refused_by(listener(f"[{{{route}}}]"))
    assert path in line


WORDS = st.text(st.sampled_from("ab.-*+(\\/%1é"), min_size=1, max_size=6)
CONDITIONS = st.one_of(
    WORDS,
    st.builds(lambda kind, word: {kind: word}, st.sampled_from(["prefix", "suffix", "contains"]), WORDS),
    st.builds(lambda words: {"in": words}, st.lists(WORDS, min_size=1, max_size=3)),
    st.builds(lambda low, size: {"range": [low, low + size]}, st.integers(-9, 9), st.integers(1, 9)),
    st.builds(lambda there: {"present": there}, st.booleans()),
)
ROUTES = st.lists(
    st.builds(
        lambda headers, path, cluster, percent: {
            "match": {**{f"x-{key}": one for key, one in headers.items()}, **({"path": f"/{path}"} if path else {})},
            "cluster": cluster,
            "percent": percent,
        },
        st.dictionaries(st.sampled_from("abc"), CONDITIONS, max_size=2),
        WORDS | st.none(),
        st.sampled_from(["one", "two"]),
        st.sampled_from([100, 50, 0.01]),
    ),
    min_size=1,
    max_size=4,
)


@given(ROUTES)
def test_whatever_routes_there_are_they_are_the_same_when_written_again(routes: list[dict[str, Any]]) -> None:
    config = {
        "listeners": [{"name": "a", "listen": "127.0.0.1:80", "protocol": "http", "routes": routes}],
        "clusters": [{"name": name, "endpoints": ["127.0.0.1:1"]} for name in ("one", "two")],
    }
    found = round_trip(json.dumps(config)).listeners[0].routes
    assert [(one.cluster, one.percent) for one in found] == [(one["cluster"], one["percent"]) for one in routes]


@pytest.mark.parametrize("reserved", ["keep", "strip"])
@pytest.mark.parametrize("stays", ["always", "with_certificate", "never"])
def test_whose_header_of_certificates_stays_comes_back_as_it_was(reserved: str, stays: str) -> None:
    more = f", reserved_keys: {reserved}, forward_client_cert: {stays}"
    (found,) = round_trip(listener("[{cluster: one}]", more)).listeners
    by_default = "never" if reserved == "strip" else "always"
    assert (found.reserved_keys, found.forward_client_cert or by_default) == (reserved, stays)
