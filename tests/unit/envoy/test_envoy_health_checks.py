"""How endpoints are asked whether they can serve."""

from __future__ import annotations

import pytest
from envoy_messages import cluster, errors, message

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.health_checks import payload_of
from metaproxy.envoy.message_types import url
from metaproxy.envoy.report import Report

ENDPOINT = "{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}"
BASE = f"name: c\ntype: STATIC\nload_assignment: {{endpoints: [{{lb_endpoints: [{ENDPOINT}]}}]}}\n"
TIMES = "timeout: 0.5s, interval: 2s, unhealthy_threshold: 4, healthy_threshold: 1"
OURS = {"interval": "2s", "timeout": "500ms", "unhealthy": 4, "healthy": 1, "jitter": 0}
REDIS = url("envoy.extensions.health_checkers.redis.v3.Redis")


def checks(text: str) -> object:
    outcome = cluster(BASE + f"health_checks: [{text}]")
    assert errors(outcome) == []
    return outcome.sections[0]["health_check"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("tcp_health_check: {}", "tcp"),
        (
            "tcp_health_check: {send: {text: 0D0a}, receive: [{text: '00ff'}, {binary: AQ==}]}",
            {"script": {"send": "0d0a", "expect": r"(?s)\x00\xff.*\x01"}},
        ),
        ("http_health_check: {path: /health}", {"http": {"path": "/health", "status": [200]}}),
        (
            "alt_port: 8080, http_health_check: "
            "{path: /h, host: a, method: GET, expected_statuses: [{start: 200, end: 202}]}",
            {"http": {"path": "/h", "host": "a", "port": 8080, "status": [200, 201]}},
        ),
        ("grpc_health_check: {}", "codec"),
        (f'custom_health_check: {{name: envoy.health_checkers.redis, typed_config: {{"@type": {REDIS}}}}}', "codec"),
        ("custom_health_check: {name: envoy.health_checkers.redis}", "codec"),
    ],
)
def test_each_kind_of_check_is_one_of_ours(text: str, kind: object) -> None:
    assert checks(f"{{{TIMES}, {text}}}") == {**OURS, "kind": kind}


def test_several_checks_must_all_pass() -> None:
    text = f"{{{TIMES}, tcp_health_check: {{}}}}, {{{TIMES}, grpc_health_check: {{}}}}"
    assert checks(text) == {**OURS, "kind": ["tcp", "codec"]}


def test_jitter_is_a_share_of_the_interval() -> None:
    text = f"{{{TIMES}, interval_jitter: 0.5s, interval_jitter_percent: 5, tcp_health_check: {{}}}}"
    assert checks(text) == {**OURS, "jitter": 30, "kind": "tcp"}


@pytest.mark.parametrize(
    "text",
    [
        f"{{{TIMES}}}",
        "{timeout: 1s, interval: 1s, unhealthy_threshold: 1, tcp_health_check: {}}",
        f"{{{TIMES}, tcp_health_check: {{}}}}, {{{TIMES.replace('2s', '3s')}, grpc_health_check: {{}}}}",
        f"{{{TIMES}, tcp_health_check: {{send: {{text: '00'}}}}}}",
        f"{{{TIMES}, tcp_health_check: {{receive: [{{text: xx}}]}}}}",
        f"{{{TIMES}, alt_port: 5, tcp_health_check: {{}}}}",
        f"{{{TIMES}, http_health_check: {{path: /, method: HEAD}}}}",
        f"{{{TIMES}, http_health_check: {{path: /, codec_client_type: HTTP2}}}}",
        f"{{{TIMES}, http_health_check: {{path: /, expected_statuses: [{{start: 300, end: 200}}]}}}}",
        f"{{{TIMES}, http_health_check: {{}}}}",
        f"{{{TIMES}, grpc_health_check: {{service_name: x}}}}",
        f"{{{TIMES}, custom_health_check: {{name: acme}}}}",
        f"{{{TIMES}, unhealthy_interval: 60s, tcp_health_check: {{}}}}",
        f"{{{TIMES}, event_log_path: /dev/null, tcp_health_check: {{}}}}",
    ],
)
def test_checks_that_we_have_not_are_named(text: str) -> None:
    assert len(errors(cluster(BASE + f"health_checks: [{text}]"))) == 1


def test_a_text_of_a_payload_is_hexadecimal() -> None:
    report = Report()
    fields = Fields(message("envoy.config.core.v3.HealthCheck.Payload", "text: 000A"), "p", report)
    assert payload_of(fields) == b"\x00\n"
