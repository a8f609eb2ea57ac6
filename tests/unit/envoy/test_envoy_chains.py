"""Listeners of Envoy with several filter chains."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_messages import errors, listener

from metaproxy.envoy.report import Report
from metaproxy.envoy.tables import Context
from metaproxy.envoy.translated import Translated

TCP = """
  filters:
  - name: tcp
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: x
      cluster: demo
"""
ADDRESS = "address: {socket_address: {address: 127.0.0.1, port_value: 80}}"


def chained(*chains: str, more: str = "", lenient: bool = False) -> Translated:
    listed = "".join(f"- {chain}{TCP}" if chain else f"- name: all{TCP}" for chain in chains)
    return listener(f"name: in\n{ADDRESS}\n{more}\nfilter_chains:\n{listed}", Context(Report(lenient)))


def match(text: str) -> Any:
    """`match:` of the chain with this filter_chain_match."""
    outcome = chained(f"filter_chain_match: {text}", "")
    assert errors(outcome) == []
    front: Any = outcome.sections[-1]
    return front["chains"][0].get("match")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{destination_port: 80}", {"port": 80}),
        ("{prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}", {"destination": ["10.0.0.0/8"]}),
        ('{source_prefix_ranges: [{address_prefix: "::1", prefix_len: 128}]}', {"source": ["::1/128"]}),
        ('{server_names: [a.b, "*.c"]}', {"server_names": ["a.b", "*.c"]}),
        ("{transport_protocol: tls, application_protocols: [istio]}", {"encrypted": True, "alpn": ["istio"]}),
        ("{transport_protocol: raw_buffer}", {"encrypted": False}),
        ("{}", None),
    ],
)
def test_what_a_chain_is_for(text: str, expected: object) -> None:
    assert match(text) == expected


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{source_type: EXTERNAL}", "source_type"),
        ("{source_ports: [1]}", "source_ports"),
        ("{transport_protocol: quic}", "transport_protocol"),
        ("{direct_source_prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}", "direct_source_prefix_ranges"),
    ],
)
def test_what_no_chain_of_ours_looks_at_is_named(text: str, path: str) -> None:
    (error,) = errors(chained(f"filter_chain_match: {text}", ""))
    assert f"filter_chains[0].filter_chain_match.{path}" in error


def test_each_chain_is_a_listener_behind_the_one_that_accepts() -> None:
    outcome = chained("filter_chain_match: {destination_port: 80}", "", more="listener_filters_timeout: 2s")
    first, second, front = outcome.sections
    assert (first["name"], second["name"]) == ("in/chain/0", "in/all/1")
    assert "listen" not in first
    assert front == {
        "name": "in", "listen": ["127.0.0.1:80"], "protocol": {"name": "auto", "wait": 2.0},
        "chains": [{"match": {"port": 80}, "listener": "in/chain/0"}, {"listener": "in/all/1"}],
    }  # fmt: skip


def test_one_chain_without_a_match_is_the_listener_itself() -> None:
    (section,) = chained("").sections
    assert (section["name"], section["protocol"], section["listen"]) == ("in", "tcp", ["127.0.0.1:80"])


def test_one_that_is_not_bound_takes_what_was_meant_for_its_address() -> None:
    (section,) = chained("", more="bind_to_port: false").sections
    assert section["meant_for"] == ["127.0.0.1:80"] and "listen" not in section


def test_the_default_chain_takes_what_is_left() -> None:
    default = "default_filter_chain:" + TCP
    outcome = listener(
        f"name: in\n{ADDRESS}\nfilter_chains:\n- filter_chain_match: {{destination_port: 80}}{TCP}\n{default}"
    )
    assert errors(outcome) == []
    front: Any = outcome.sections[-1]
    assert front["chains"][-1] == {"listener": "in/chain/1"}


def test_a_lenient_report_keeps_the_other_chains_where_one_is_beyond_us() -> None:
    text = f"""name: in
{ADDRESS}
filter_chains:
- filter_chain_match: {{destination_port: 80}}
  filters: [{{name: acme.magic}}]
- name: all{TCP}"""
    outcome = listener(text, Context(Report(lenient=True)))
    front: Any = outcome.sections[-1]
    assert [chain["listener"] for chain in front["chains"]] == ["in/chain/0", "in/all/1"]
    assert outcome.sections[0] == {"name": "in/chain/0", "listen": [], "protocol": "tcp", "routes": []}
    assert any("acme.magic" in str(one) for one in outcome.report.warnings)
    assert "acme.magic" in errors(listener(text))[0]
