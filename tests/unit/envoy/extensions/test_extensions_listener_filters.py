"""Listener filters become keys of the listener."""

from __future__ import annotations

import pytest
from envoy_messages import errors, listener

from metaproxy.envoy.message_types import url

TCP = url("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy")
CHAIN = f"""
name: in
address: {{socket_address: {{address: 127.0.0.1, port_value: 80}}}}
filter_chains:
- filters:
  - name: t
    typed_config: {{"@type": {TCP}, stat_prefix: s, cluster: a}}
"""
PACKAGE = "envoy.extensions.filters.listener"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("{name: envoy.filters.listener.original_dst}", {"original_destination": True}),
        (
            f'{{name: x, typed_config: {{"@type": {url(f"{PACKAGE}.original_dst.v3.OriginalDst")}}}}}',
            {"original_destination": True},
        ),
        ("{name: envoy.filters.listener.proxy_protocol}", {"proxy_protocol": True}),
        ("{name: envoy.filters.listener.tls_inspector}", {}),
        ("{name: envoy.filters.listener.http_inspector}", {}),
    ],
)
def test_a_listener_filter_is_a_key(text: str, keys: dict[str, object]) -> None:
    outcome = listener(CHAIN + f"listener_filters: [{text}]")
    assert errors(outcome) == []
    section = outcome.sections[0]
    found = {key: section[key] for key in ("original_destination", "proxy_protocol") if key in section}
    assert found == keys


def test_the_original_destination_may_be_asked_for_by_the_listener_itself() -> None:
    outcome = listener(CHAIN + "use_original_dst: true\nper_connection_buffer_limit_bytes: 1000")
    assert errors(outcome) == []
    assert outcome.sections[0]["original_destination"] is True
    assert outcome.sections[0]["max_buffered"] == 65536


@pytest.mark.parametrize(
    "text",
    [
        "{name: acme.magic}",
        f'{{name: x, typed_config: {{"@type": {url(f"{PACKAGE}.proxy_protocol.v3.ProxyProtocol")}, '
        "allow_requests_without_proxy_protocol: true}}",
    ],
)
def test_what_we_have_not_is_named(text: str) -> None:
    assert len(errors(listener(CHAIN + f"listener_filters: [{text}]"))) == 1
