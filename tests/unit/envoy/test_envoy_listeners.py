"""Envoy's listeners become listeners of ours."""

from __future__ import annotations

from envoy_messages import errors, listener

from metaproxy.envoy.report import Report
from metaproxy.envoy.tables import Context

PROXY = """
filter_chains:
- filters:
  - name: envoy.filters.network.meta_protocol_proxy
    typed_config:
      "@type": type.googleapis.com/xds.type.v3.TypedStruct
      type_url: type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy
      value:
        statPrefix: x
        codec: {name: aeraki.meta_protocol.codec.dubbo}
        route_config: {routes: [{route: {cluster: demo}}]}
"""


def test_a_listener_has_addresses_of_each_kind() -> None:
    outcome = listener(
        """
    name: in
    address: {socket_address: {address: "::1", port_value: 80}}
    additional_addresses: [{address: {pipe: {path: /run/x.sock}}}]
    """.replace("    ", "")
        + PROXY
    )
    assert errors(outcome) == []
    assert outcome.sections[0]["listen"] == ["[::1]:80", "unix:/run/x.sock"]


def test_a_filter_that_came_as_a_typed_struct_goes_by_the_type_within() -> None:
    outcome = listener("name: in\naddress: {socket_address: {address: 127.0.0.1, port_value: 80}}" + PROXY)
    assert errors(outcome) == []
    assert outcome.sections[0]["protocol"] == "dubbo"


def test_a_listener_without_an_address_is_malformed() -> None:
    (error,) = errors(listener("name: in" + PROXY))
    assert "address" in error


def test_an_unknown_network_filter_makes_the_listener_unusable() -> None:
    text = """
    name: in
    address: {socket_address: {address: 127.0.0.1, port_value: 80}}
    filter_chains: [{filters: [{name: acme.magic}]}]
    """
    outcome = listener(text)
    assert outcome.sections == []
    assert len(errors(outcome)) == 1
    lenient = listener(text, Context(Report(lenient=True)))
    assert lenient.sections == []
    assert errors(lenient) == []
    assert "acme.magic" in lenient.skipped


def test_every_other_field_is_named() -> None:
    outcome = listener(
        """
name: in
address: {socket_address: {address: 127.0.0.1, port_value: 80}}
transparent: true
tcp_fast_open_queue_length: 5
"""
        + PROXY
    )
    assert [one.path for one in outcome.report.errors] == [
        "listener.transparent",
        "listener.tcp_fast_open_queue_length",
    ]
