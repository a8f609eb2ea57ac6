"""Envoy's addresses as texts."""

from __future__ import annotations

import pytest
from envoy_messages import errors, message

from metaproxy.envoy.addresses import address_of, host_and_port, joined
from metaproxy.envoy.fields import Fields
from metaproxy.envoy.report import Report


def found(text: str) -> tuple[str | None, list[str]]:
    report = Report()
    fields = Fields(message("envoy.config.core.v3.Address", text), "address", report)
    address = address_of(fields)
    fields.close()
    return address, errors(report)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("socket_address: {address: 10.0.0.1, port_value: 80}", "10.0.0.1:80"),
        ("socket_address: {address: 'fd00::1', port_value: 80, ipv4_compat: true}", "[fd00::1]:80"),
        ("socket_address: {address: a.example, port_value: 80}", "a.example:80"),
        ("pipe: {path: /run/x.sock}", "unix:/run/x.sock"),
    ],
)
def test_an_address_is_a_text(text: str, address: str) -> None:
    assert found(text) == (address, [])


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "socket_address: {port_value: 80}",
        "socket_address: {address: 10.0.0.1, port_value: 70000}",
        "socket_address: {address: 10.0.0.1, named_port: http}",
        "socket_address: {address: 10.0.0.1, port_value: 53, protocol: UDP}",
        "pipe: {path: '@abstract'}",
        "envoy_internal_address: {server_listener_name: x}",
    ],
)
def test_what_is_no_address_of_ours_is_reported(text: str) -> None:
    address, wrong = found(text)
    assert address is None
    assert len(wrong) == 1


@pytest.mark.parametrize("given", [("10.0.0.1", 1), ("::1", 2), ("a.example", 3)])
def test_hosts_and_ports_are_put_together_and_taken_apart(given: tuple[str, int]) -> None:
    assert host_and_port(joined(*given)) == given
