"""Listeners of dubbo, thrift, brpc and trpc as MetaProtocolProxy, and back."""

from __future__ import annotations

import pytest
from checked import accepted
from envoy_round_trip import refused_by, round_trip, written


def text(route: str, protocol: str = "dubbo", more: str = "") -> str:
    return (
        f"listeners: [{{name: l, listen: '127.0.0.1:80', protocol: {protocol}, routes: [{{{route}}}]{more}}}]\n"
        "clusters: [{name: a, endpoints: ['127.0.0.1:1']}, {name: b, endpoints: ['127.0.0.1:2']}]\n"
    )


@pytest.mark.parametrize("protocol", ["dubbo", "thrift", "brpc", "trpc"])
@pytest.mark.parametrize(
    "route",
    [
        "name: x, match: {method: {prefix: say}, tenant: beta}, clusters: {a: 20, b: 80}",
        "cluster: a, hash: [user], mirror: [{cluster: b, percent: 5}]",
        "cluster: a, request: {set: {stamp: '1'}}, response: {set: {seen: '1'}}",
    ],
)
def test_a_listener_comes_back_as_it_was(protocol: str, route: str) -> None:
    if protocol == "thrift" and "request" in route:
        protocol = "{name: thrift}"
    config = text(route, protocol)
    assert round_trip(config).listeners == accepted(config).listeners


def test_silence_for_ever_is_no_idle_timeout() -> None:
    config = text("cluster: a", more=", idle_timeout: 0s")
    (chain,) = written(config)["static_resources"]["listeners"][0]["filter_chains"]
    assert "idle_timeout" not in chain["filters"][0]["typed_config"]
    assert float(round_trip(config).listeners[0].idle_timeout) == 0


@pytest.mark.parametrize(
    ("route", "path"),
    [
        ("cluster: a, timeout: 3s", "timeout"),
        ("cluster: a, percent: 5", "percent"),
        ("reply: {error: denied}", "reply"),
        ("cluster: a, request: {remove: [x]}", "remove"),
        ("cluster: a, request: {set: {x: '%user%'}}", "request.set"),
    ],
)
def test_what_has_no_counterpart_is_named(route: str, path: str) -> None:
    (line,) = refused_by(text(route))
    assert path in line


def test_options_of_a_codec_are_named() -> None:
    (line,) = refused_by(text("cluster: a", "{name: thrift, multiplexed: true}"))
    assert "protocol.multiplexed" in line
