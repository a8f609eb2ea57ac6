"""Retries and hashes of Envoy's routes of HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_http import hosts, only, route, routes_of
from envoy_messages import errors


def retry(fields: str) -> Any:
    return only(route(f"match: {{prefix: /}}\nroute: {{cluster: a, retry_policy: {{{fields}}}}}\n")).get("retry")


@pytest.mark.parametrize(
    ("words", "on"),
    [
        ("5xx", ["connect", "reset", "timeout", "error"]),
        ("connect-failure,refused-stream", ["connect"]),
        ("reset, connect-failure", ["connect", "reset", "timeout"]),
    ],
)
def test_what_is_tried_again(words: str, on: list[str]) -> None:
    unsafe = {} if on == ["connect"] else {"unsafe": True}  # what was never sent may be sent again in any case
    assert retry(f"retry_on: '{words}'") == {"attempts": 1, "on": on, **unsafe}


def test_how_often_and_when() -> None:
    found = retry(
        "retry_on: 5xx, num_retries: 3, per_try_timeout: 0.25s, retry_back_off: {base_interval: 0.1s}, "
        "retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts}], "
        "host_selection_retry_max_attempts: 5"
    )
    assert (found["attempts"], found["per_try_timeout"], found["backoff"]) == (3, "250ms", "100ms..1s")


def test_none_at_all() -> None:
    assert retry("retry_on: 5xx, num_retries: 0") is None


@pytest.mark.parametrize("word", ["gateway-error", "retriable-4xx", "unavailable", "envoy-ratelimited"])
def test_conditions_that_are_not_there_are_named(word: str) -> None:
    (error,) = errors(route(f"match: {{prefix: /}}\nroute: {{cluster: a, retry_policy: {{retry_on: {word}}}}}\n"))
    assert word in error


def test_a_virtual_hosts_policy_is_its_routes() -> None:
    text = """
    - name: all
      domains: ["*"]
      retry_policy: {retry_on: connect-failure}
      routes:
      - {match: {path: /1}, route: {cluster: a}}
      - {match: {path: /2}, route: {cluster: a, retry_policy: {retry_on: 5xx}}}
    """
    first, second = routes_of(hosts(text))
    assert (first["retry"]["on"], len(second["retry"]["on"])) == (["connect"], 4)


@pytest.mark.parametrize(
    ("policy", "key"),
    [
        ("header: {header_name: X-User}", "x-user"),
        ("cookie: {name: session}", "cookie.session"),
        ("connection_properties: {source_ip: true}", "source.address"),
        ("query_parameter: {name: q}", "query.q"),
    ],
)
def test_what_is_hashed(policy: str, key: str) -> None:
    found = only(route(f"match: {{prefix: /}}\nroute: {{cluster: a, hash_policy: [{{{policy}}}]}}\n"))
    assert found["hash"] == [key]


@pytest.mark.parametrize(
    "policy",
    [
        "{cookie: {name: s, ttl: 5s}}",
        "{filter_state: {key: x}}",
        "{header: {header_name: x}, terminal: true}, {header: {header_name: y}}",
    ],
)
def test_what_can_not_be_hashed_so_is_reported(policy: str) -> None:
    (error,) = errors(route(f"match: {{prefix: /}}\nroute: {{cluster: a, hash_policy: [{policy}]}}\n"))
    assert "hash_policy" in error
