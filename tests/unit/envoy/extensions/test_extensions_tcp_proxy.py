"""Envoy's tcp_proxy as a listener of raw bytes."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_http import NETWORK, chain, section_of
from envoy_messages import errors

TCP = f"{NETWORK}.tcp_proxy.v3.TcpProxy"


def section(fields: str) -> dict[str, Any]:
    return section_of(chain(TCP, fields))


def test_bytes_go_to_a_cluster() -> None:
    found = section("cluster: db")
    assert (found["protocol"], found["routes"], found["stream_idle"]) == ("tcp", [{"cluster": "db"}], "3600s")


def test_or_to_several_by_weight() -> None:
    found = section("weighted_clusters: {clusters: [{name: a, weight: 1}, {name: b, weight: 2}]}")
    assert found["routes"] == [{"clusters": {"a": 1, "b": 2}}]


def test_another_server_is_tried() -> None:
    found = section("cluster: db\nmax_connect_attempts: 3\nbackoff_options: {base_interval: 0.1s, max_interval: 2s}")
    assert found["routes"][0]["retry"] == {"attempts": 2, "on": ["connect"], "backoff": "100ms..2s"}


def test_clients_stay_at_their_server() -> None:
    assert section("cluster: db\nhash_policy: [{source_ip: {}}]")["routes"][0]["hash"] == ["source.address"]


def test_silence_ends_a_connection_or_never() -> None:
    assert section("cluster: db\nidle_timeout: 5s")["stream_idle"] == "5s"
    assert section("cluster: db\nidle_timeout: 0s")["stream_idle"] == "0s"


@pytest.mark.parametrize(
    "fields",
    [
        "tunneling_config: {hostname: a}",
        "max_downstream_connection_duration: 5s",
        "hash_policy: [{filter_state: {key: a}}]",
    ],
)
def test_what_is_not_there_is_named(fields: str) -> None:
    found = errors(chain(TCP, f"cluster: db\n{fields}"))
    assert len(found) == 1 and fields.partition(":")[0] in found[0]


def test_without_a_destination_it_is_malformed() -> None:
    (error,) = errors(chain(TCP, "idle_timeout: 5s"))
    assert "no destination" in error
