"""Envoy's access logs as ours: files, formats, operators."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_http import manager, section_of
from envoy_messages import errors, proxy, warnings

from metaproxy.telemetry.access_log.format import compile_format

FILE = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
ROUTES = (
    "route_config: {virtual_hosts: [{name: a, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a}}]}]}"
)


def outcome(fields: str, more: str = "") -> Any:
    log = f"{{name: it, typed_config: {{'@type': {FILE}, path: /tmp/a.log, {fields}}}{more}}}"
    return manager(f"{ROUTES}\naccess_log: [{log}]\n")


def log(fields: str) -> Any:
    (found,) = section_of(outcome(fields))["access_log"]
    return found


def text(format: str) -> str:
    found: str = log(f"log_format: {{text_format_source: {{inline_string: '{format}'}}}}")["format"]
    compile_format(found)
    return found


@pytest.mark.parametrize(
    ("envoys", "ours"),
    [
        ("%START_TIME% %DURATION%\n", "%START_TIME% %DURATION%"),
        ("%REQ(:METHOD)% %REQ(X-User):5%", "%REQ(method)% %REQ(x-user):5%"),
        ("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "%REQ(target)%"),
        ("%REQ(X-A?X-B)%", "%REQ(x-a?x-b)%"),
        ("%RESPONSE_CODE% %RESPONSE_FLAGS%", "%RESP(status)% %RESPONSE_FLAGS%"),
        ("%UPSTREAM_REMOTE_ADDRESS% 100%%", "%UPSTREAM_HOST% 100%%"),
        ("%START_TIME(%Y/%m/%d)%", "%START_TIME(%Y/%m/%d)%"),
    ],
)
def test_operators(envoys: str, ours: str) -> None:
    assert text(envoys.replace("\n", "")) == ours


def test_json_has_the_fields_that_are_given() -> None:
    found = log("log_format: {json_format: {ms: '%DURATION%', code: '%RESPONSE_CODE%', fixed: 5, flag: true}}")
    assert found["fields"] == {"ms": "%DURATION%", "code": "%RESP(status)%", "fixed": "5", "flag": "true"}


def test_the_deprecated_forms() -> None:
    assert log("format: '%DURATION%'")["format"] == "%DURATION%"
    assert log("json_format: {a: '%DURATION%'}")["fields"] == {"a": "%DURATION%"}


def test_http_has_envoys_own_format_where_none_is_given() -> None:
    assert "%REQ(user-agent)%" in log("")["format"]


@pytest.mark.parametrize(("kind", "file"), [("StdoutAccessLog", "/dev/stdout"), ("StderrAccessLog", "/dev/stderr")])
def test_streams_are_files(kind: str, file: str) -> None:
    one = f"{{typed_config: {{'@type': type.googleapis.com/envoy.extensions.access_loggers.stream.v3.{kind}}}}}"
    (found,) = section_of(manager(f"{ROUTES}\naccess_log: [{one}]\n"))["access_log"]
    assert found["file"] == file


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ("log_format: {text_format_source: {inline_string: '%FILTER_STATE(a)%'}}", "%FILTER_STATE(a)%"),
        ("log_format: {text_format_source: {inline_string: '%DURATIO%'}}", "DURATION"),
        ("log_format: {json_format: {a: {b: '%DURATION%'}}}", "flat"),
        ("log_format: {omit_empty_values: true, json_format: {a: '%DURATION%'}}", "omit_empty_values"),
    ],
)
def test_what_is_not_there_is_named(fields: str, shown: str) -> None:
    (error,) = errors(outcome(fields))
    assert shown in error


def test_a_log_of_some_exchanges_only_is_reported() -> None:
    (error,) = errors(outcome("", ", filter: {not_health_check_filter: {}}"))
    assert "filter" in error


def test_what_control_planes_ask_for_by_themselves_is_shown_as_nothing_and_warned_of() -> None:
    found = outcome("log_format: {text_format_source: {inline_string: '%DURATION% %UPSTREAM_LOCAL_ADDRESS%'}}")
    assert section_of(found)["access_log"][0]["format"] == "%DURATION% -"
    assert any("%UPSTREAM_LOCAL_ADDRESS%" in one for one in warnings(found))


def test_metaprotocol_logs_its_metadata_and_its_own_code() -> None:
    found = proxy(
        f"""
stat_prefix: x
codec: {{name: aeraki.meta_protocol.codec.dubbo}}
route_config: {{routes: [{{route: {{cluster: a}}}}]}}
access_log:
- typed_config:
    "@type": {FILE}
    path: /a
    log_format:
      text_format_source: {{inline_string: "%REQ(X-META-PROTOCOL-APPLICATION-PROTOCOL)% %RESPONSE_CODE%"}}
"""
    )
    (one,) = section_of(found)["access_log"]
    assert one["format"] == "%REQ(x-meta-protocol-application-protocol)% %RESPONSE_CODE%"
