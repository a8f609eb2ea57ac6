"""Sections of our own files within messages of Envoy's."""

from __future__ import annotations

import pytest

from metaproxy.control.carried import carried_cluster, carried_listener
from metaproxy.envoy.clusters import translate_cluster
from metaproxy.envoy.listeners import translate_listener
from metaproxy.envoy.report import Report
from metaproxy.envoy.tables import Context

LISTENER = {
    "name": "l",
    "listen": ["127.0.0.1:80", "unix:/run/l"],
    "protocol": {"name": "dubbo"},
    "filters": ["rbac", {"local_rate_limit": {"limit": 10, "per": "1s"}}],
    "routes": [{"match": {"method": {"prefix": "say"}}, "clusters": {"a": 90, "b": 10}, "percent": 2.5}],
}
CLUSTER = {"name": "c", "endpoints": [{"address": "127.0.0.1:81", "weight": 2}], "request_timeout": "2s"}


def test_a_proxy_reads_a_listener_as_it_stands_in_the_file() -> None:
    context = Context(Report())
    assert translate_listener(carried_listener("l", LISTENER), context).sections == [LISTENER]
    assert context.report.findings == []


def test_so_does_it_a_cluster() -> None:
    context = Context(Report())
    assert translate_cluster(carried_cluster("c", CLUSTER), context).sections == [CLUSTER]
    assert context.report.findings == []


def test_equal_sections_are_equal_bytes() -> None:
    reordered = dict(reversed(CLUSTER.items()))
    one, other = (carried_cluster("c", one).SerializeToString(deterministic=True) for one in (CLUSTER, reordered))
    assert one == other


@pytest.mark.parametrize("listen", ["127.0.0.1:80", "unix:/run/l", ["[::1]:80"], None, "nonsense"])
def test_every_listener_has_an_address_for_who_looks_at_the_message_alone(listen: object) -> None:
    assert carried_listener("l", {"name": "l", "listen": listen}).HasField("address")
