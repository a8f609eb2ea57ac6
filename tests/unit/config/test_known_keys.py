from __future__ import annotations

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
