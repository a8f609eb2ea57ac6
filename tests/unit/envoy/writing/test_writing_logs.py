"""Access logs and tracing as Envoy has them, and back."""

from __future__ import annotations

import pytest
from checked import accepted
from envoy_round_trip import refused_by, round_trip

from metaproxy.envoy.writing.logs import line


def text(more: str, protocol: str = "http") -> str:
    return (
        f"tracing: {{exporter: zipkin}}\nlisteners: [{{name: l, listen: '127.0.0.1:80', protocol: {protocol}, "
        f"routes: [{{cluster: a}}], {more}}}]\nclusters: [{{name: a, endpoints: ['127.0.0.1:1']}}]\n"
    )


@pytest.mark.parametrize(
    "log",
    [
        "{file: /tmp/a.log, format: '%START_TIME% %REQ(method)% %RESP(status)% %REQ(x-user):5%'}",
        "{file: /dev/stdout, fields: {ms: '%DURATION%', to: '%UPSTREAM_CLUSTER%'}}",
    ],
)
def test_a_log_comes_back_as_it_was(log: str) -> None:
    config = text(f"access_log: [{log}]")
    assert round_trip(config).listeners[0].access_log == accepted(config).listeners[0].access_log


@pytest.mark.parametrize(
    ("format", "http", "expected"),
    [
        ("%REQ(target)% 5%%", True, "%REQ(:PATH)% 5%%"),
        ("%RESP(status)%", True, "%RESPONSE_CODE%"),
        ("%REQ(interface)%", False, "%REQ(interface)%"),
    ],
)
def test_operators(format: str, http: bool, expected: str) -> None:
    wrong: list[str] = []
    assert (line(format, "x", wrong, http), wrong) == (expected, [])


@pytest.mark.parametrize("format", ["text", "json", "%OUTCOME%", "%DURATION(ms)%"])
def test_what_envoy_has_no_operators_for_is_named(format: str) -> None:
    found = refused_by(text(f"access_log: [{{file: /a, format: '{format}'}}]"))
    assert len(found) == 1 and "access_log[0].format" in found[0]


@pytest.mark.parametrize("protocol", ["http", "dubbo"])
def test_shares_of_traces_come_back(protocol: str) -> None:
    config = text("tracing: {sampling: 5, client_sampling: 50, max_tag_length: 100, direction: inbound}", protocol)
    assert round_trip(config).listeners[0].tracing == accepted(config).listeners[0].tracing


def test_tags_come_back() -> None:
    config = text("tracing: {tags: {a: {literal: b}, c: {metadata: x-c, default: d}, e: {env: HOME}}}")
    assert round_trip(config).listeners[0].tracing == accepted(config).listeners[0].tracing


def test_tags_of_metaprotocol_are_named() -> None:
    (found,) = refused_by(text("tracing: {tags: {a: {literal: b}}}", "dubbo"))
    assert "tracing.tags" in found
