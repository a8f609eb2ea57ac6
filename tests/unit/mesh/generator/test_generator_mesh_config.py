"""Istio's mesh configuration, as far as Aeraki reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mesh_stand import Stand

from metaproxy.mesh.generator.node import ProxyNode

BOTH = ProxyNode(namespace="demo", addresses=("127.0.0.11",))
LISTENERS = ("127.0.10.1_20880", "127.0.0.11_20880")


def configured(mesh: str, namespace: str = "istio-system") -> Stand:
    stand = Stand(BOTH).hello()
    return stand.put("ConfigMap", "istio", json.dumps({"data": {"mesh": mesh}}), "", namespace=namespace)


def log(mesh: str, listener: str = LISTENERS[0]) -> Any:
    found = configured(mesh).filter(listener)["access_log"]
    assert isinstance(found, list)
    (one,) = found
    return one["typed_config"]


@pytest.mark.parametrize("listener", LISTENERS)
def test_lines_go_to_the_file_with_the_usual_fields(listener: str) -> None:
    found = log("accessLogFile: /dev/stdout", listener)
    assert found["path"] == "/dev/stdout"
    line = found["log_format"]["text_format_source"]["inline_string"]
    assert line.endswith("\n") and "%REQ(X-META-PROTOCOL-APPLICATION-PROTOCOL)%" in line


def test_lines_are_json_or_what_is_written() -> None:
    fields = log("{accessLogFile: /x, accessLogEncoding: JSON}")["log_format"]["json_format"]
    assert fields["route_name"] == "%ROUTE_NAME%"
    own = log('{accessLogFile: /x, accessLogEncoding: JSON, accessLogFormat: \'{"a": "%DURATION%"}\'}')
    assert own["log_format"]["json_format"] == {"a": "%DURATION%"}
    text = log('{accessLogFile: /x, accessLogFormat: "%DURATION%\\n"}')
    assert text["log_format"]["text_format_source"] == {"inline_string": "%DURATION%\n"}


@pytest.mark.parametrize(("more", "share"), [("", 1), ("defaultConfig: {tracing: {sampling: 25}}", 25)])
def test_requests_are_traced_by_a_share(more: str, share: float) -> None:
    found = configured(f"enableTracing: true\n{more}").filter(LISTENERS[0])["tracing"]
    assert found == {
        "client_sampling": {"value": 100.0},
        "random_sampling": {"value": share},
        "overall_sampling": {"value": 100.0},
    }


def test_without_it_or_in_another_namespace_there_is_neither() -> None:
    for stand in (Stand(BOTH).hello(), configured("enableTracing: true", "demo"), configured("rootNamespace: x")):
        assert not stand.filter(LISTENERS[0]).keys() & {"tracing", "access_log"}


@pytest.mark.parametrize(("mesh", "said"), [("enableTracing: perhaps", "neither true nor false"), ("a: [", "not YAML")])
def test_what_is_wrong_is_noted_and_changes_nothing(mesh: str, said: str) -> None:
    stand = configured(mesh)
    assert "tracing" not in stand.filter(LISTENERS[0])
    (text,) = stand.notes("ConfigMap", "istio", "istio-system")
    assert said in text
