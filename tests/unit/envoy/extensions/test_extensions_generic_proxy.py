"""Envoy's generic_proxy with the codec of Dubbo as a listener of Dubbo."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_http import NETWORK, chain, section_of
from envoy_messages import errors

GENERIC = f"{NETWORK}.generic_proxy.v3.GenericProxy"
URL = f"type.googleapis.com/{NETWORK}.generic_proxy"
DUBBO = f'{{name: dubbo, typed_config: {{"@type": {URL}.codecs.dubbo.v3.DubboCodecConfig}}}}'
ROUTER = f'{{name: router, typed_config: {{"@type": {URL}.router.v3.Router}}}}'


def to(cluster: str, more: str = "") -> str:
    return f'{{action: {{name: a, typed_config: {{"@type": {URL}.action.v3.RouteAction, cluster: {cluster}{more}}}}}}}'


def looks_at(kind: str, fields: str = "") -> str:
    return f'{{name: i, typed_config: {{"@type": {URL}.matcher.v3.{kind}{fields}}}}}'


def single(kind: str, value: str, fields: str = "") -> str:
    return f"{{single_predicate: {{input: {looks_at(kind, fields)}, value_match: {value}}}}}"


METHOD_X, METHOD_Y = single("MethodMatchInput", "{exact: x}"), single("MethodMatchInput", "{exact: y}")


def outcome(routes: str) -> Any:
    return chain(GENERIC, f"codec_config: {DUBBO}\nfilters: [{ROUTER}]\nroute_config: {{name: r, {routes}}}")


def found(routes: str) -> list[Any]:
    return [{**one} for one in section_of(outcome(routes))["routes"]]


def listed(*matchers: str) -> str:
    return f"routes: {{matcher_list: {{matchers: [{', '.join(matchers)}]}}}}"


def test_a_tree_by_service_with_lists_by_method() -> None:
    method = f"{{predicate: {single('MethodMatchInput', '{prefix: say}')}, on_match: {to('a')}}}"
    inner = f"{{matcher: {{matcher_list: {{matchers: [{method}]}}, on_no_match: {to('b')}}}}}"
    tree = f"{{input: {looks_at('HostMatchInput')}, exact_match_map: {{map: {{org.Demo: {inner}}}}}}}"
    assert found(f"routes: {{matcher_tree: {tree}, on_no_match: {to('c', ', timeout: 2s')}}}") == [
        {"match": {"interface": "org.Demo", "method": {"prefix": "say"}}, "cluster": "a"},
        {"match": {"interface": "org.Demo"}, "cluster": "b"},
        {"cluster": "c", "timeout": "2s"},
    ]


def test_the_longest_prefix_comes_first() -> None:
    tree = f"{{input: {looks_at('ServiceMatchInput')}, prefix_match_map: {{map: {{a: {to('x')}, ab: {to('y')}}}}}}}"
    assert [one["cluster"] for one in found(f"routes: {{matcher_tree: {tree}}}")] == ["y", "x"]


@pytest.mark.parametrize(
    ("predicate", "matches"),
    [
        (single("PropertyMatchInput", "{exact: beta}", ", property_name: tenant"), [{"tenant": "beta"}]),
        (
            f"{{or_matcher: {{predicate: [{METHOD_X}, {METHOD_Y}]}}}}",
            [{"method": "x"}, {"method": "y"}],
        ),
        (
            f"{{and_matcher: {{predicate: [{single('HostMatchInput', '{exact: s}')}, {METHOD_Y}]}}}}",
            [{"interface": "s", "method": "y"}],
        ),
        (
            f"{{not_matcher: {single('MethodMatchInput', '{exact: x}')}}}",
            [{"method": {"exact": "x", "not": True}}],
        ),
    ],
)
def test_predicates(predicate: str, matches: list[object]) -> None:
    routes = found(listed(f"{{predicate: {predicate}, on_match: {to('a')}}}"))
    assert [one["match"] for one in routes] == matches


def test_a_whole_request() -> None:
    custom = (
        f'{{name: r, typed_config: {{"@type": {URL}.matcher.v3.RequestMatcher, host: {{exact: s}}, '
        "method: {prefix: m}, properties: [{name: k, string_match: {exact: v}}]}}"
    )
    predicate = f"{{single_predicate: {{input: {looks_at('RequestMatchInput')}, custom_match: {custom}}}}}"
    (route,) = found(listed(f"{{predicate: {predicate}, on_match: {to('a')}}}"))
    assert route["match"] == {"interface": "s", "method": {"prefix": "m"}, "k": "v"}


def test_virtual_hosts_are_services() -> None:
    host = f"{{name: h, hosts: [org.Demo, 'org.*'], routes: {{on_no_match: {to('a')}}}}}"
    assert [one["match"] for one in found(f"virtual_hosts: [{host}]")] == [
        {"interface": "org.Demo"},
        {"interface": {"prefix": "org."}},
    ]


def test_what_is_not_there_is_named() -> None:
    nothing = f"{{predicate: {{not_matcher: {{or_matcher: {{predicate: []}}}}}}, on_match: {to('a')}}}"
    found_ = errors(outcome(listed(nothing)))
    assert any("predicate" in one for one in found_)


def test_another_codec_is_beyond_metaproxy() -> None:
    codec = f'{{name: h, typed_config: {{"@type": {URL}.codecs.http1.v3.Http1CodecConfig}}}}'
    (error,) = errors(chain(GENERIC, f"codec_config: {codec}"))
    assert "codec_config" in error
