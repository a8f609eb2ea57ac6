"""Envoy's network filters in front of the one that answers."""

from __future__ import annotations

import pytest
from envoy_http import NETWORK, chain, section_of
from envoy_messages import errors

TCP = f"{NETWORK}.tcp_proxy.v3.TcpProxy"


def before(kind: str, fields: str) -> str:
    return f"- {{name: it, typed_config: {{'@type': type.googleapis.com/{NETWORK}.{kind}, stat_prefix: x, {fields}}}}}"


def test_policies_are_a_filter() -> None:
    rules = "rules: {policies: {p: {permissions: [{destination_port: 80}], principals: [{any: true}]}}}"
    section = section_of(chain(TCP, "cluster: a", before=before("rbac.v3.RBAC", rules)))
    assert section["filters"][0]["rbac"]["policies"]["p"]["permissions"] == [{"destination.port": "80"}]


def test_a_limit_of_connections_is_the_listeners() -> None:
    limit = before("connection_limit.v3.ConnectionLimit", "max_connections: 7")
    assert section_of(chain(TCP, "cluster: a", before=limit))["max_connections"] == 7


@pytest.mark.parametrize(
    "fields", ["max_connections: 7, delay: 1s", "max_connections: 7, runtime_enabled: {runtime_key: a}"]
)
def test_what_is_not_there_is_named(fields: str) -> None:
    (error,) = errors(chain(TCP, "cluster: a", before=before("connection_limit.v3.ConnectionLimit", fields)))
    assert fields.split(", ")[1].partition(":")[0] in error
