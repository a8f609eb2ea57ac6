"""Listener filters that metaproxy does by itself, and Istio's network filter that never acts."""

from __future__ import annotations

from envoy_messages import errors, listener

from metaproxy.envoy.translated import Translated


def with_filters(filters: str, before: str = "") -> Translated:
    return listener(f"""
name: in
address: {{socket_address: {{address: 127.0.0.1, port_value: 80}}}}
listener_filters: [{filters}]
filter_chains:
- filters:
  {before}
  - name: tcp
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: x
      cluster: demo
""")


def test_original_dst_and_proxy_protocol_are_keys_of_the_listener() -> None:
    outcome = with_filters("{name: envoy.filters.listener.original_dst}, {name: envoy.filters.listener.proxy_protocol}")
    assert errors(outcome) == []
    (section,) = outcome.sections
    assert (section["original_destination"], section["proxy_protocol"]) == (True, True)


def test_inspectors_need_nothing() -> None:
    outcome = with_filters(
        "{name: envoy.filters.listener.tls_inspector}, {name: envoy.filters.listener.http_inspector}"
    )
    assert errors(outcome) == []


def test_what_a_proxy_header_says_besides_addresses_is_named() -> None:
    config = (
        "typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol,"
        " rules: [{tlv_type: 2, on_tlv_present: {key: x}}]}"
    )
    (error,) = errors(with_filters(f"{{name: envoy.filters.listener.proxy_protocol, {config}}}"))
    assert "rules" in error


def test_an_unknown_one_makes_the_listener_unusable() -> None:
    assert "acme" in errors(with_filters("{name: acme}"))[0]


def test_istios_metadata_exchange_is_passed_over() -> None:
    struct = """- name: istio.metadata_exchange
    typed_config:
      "@type": type.googleapis.com/udpa.type.v1.TypedStruct
      type_url: type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange
      value: {protocol: istio-peer-exchange, enable_discovery: true}"""
    outcome = with_filters("", struct)
    assert errors(outcome) == []
    assert outcome.sections[0]["protocol"] == "tcp"


def test_a_listener_that_asks_for_original_destinations_hands_over_and_has_its_chain_for_the_rest() -> None:
    text = with_filters("")
    assert errors(text) == []
    outcome = listener("""
name: in
address: {socket_address: {address: 127.0.0.1, port_value: 80}}
use_original_dst: true
per_connection_buffer_limit_bytes: 1000
filter_chains:
- filters:
  - name: tcp
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: x
      cluster: demo
""")
    assert errors(outcome) == []
    rest, front = outcome.sections
    assert (front["original_destination"], front["hand_over"]) == (True, True)
    assert rest["max_buffered"] == 65536
