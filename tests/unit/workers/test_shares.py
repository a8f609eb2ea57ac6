"""The share of each worker in limits that hold for all."""

from __future__ import annotations

import pytest

from metaproxy.config import model
from metaproxy.config.check import check
from metaproxy.plugins import Registry
from metaproxy.workers.shares import cluster_share, listener_share, overload_share, share

TEXT = """
listeners: [{name: a, listen: "127.0.0.1:1", protocol: redis, max_connections: 100, routes: [{cluster: c}]}]
clusters:
- name: c
  endpoints: ["127.0.0.1:2"]
  breaker: {max_connections: 10, max_pending: 11, max_requests: 12, max_retries: 1}
overload: {max_memory: 3GB}
"""


@pytest.fixture(scope="module")
def config() -> model.Config:
    found, problems = check(TEXT, "x.yaml", Registry())
    assert found is not None, problems
    return found


@pytest.mark.parametrize(("limit", "workers", "part"), [(10, 2, 5), (11, 2, 6), (1, 4, 1), (0, 4, 0), (5, 1, 5)])
def test_a_limit_is_divided_and_rounded_up(limit: int, workers: int, part: int) -> None:
    assert share(limit, workers) == part


def test_a_listeners_connections_are_divided_and_nothing_else_of_it_changes(config: model.Config) -> None:
    before = config.listeners[0]
    after = listener_share(before, 3)
    assert after.max_connections == 34
    assert listener_share(before, 1) == before
    assert (after.name, after.routes, after.listen) == (before.name, before.routes, before.listen)


def test_a_clusters_breaker_is_divided(config: model.Config) -> None:
    breaker = cluster_share(config.clusters[0], 2).breaker
    assert (breaker.max_connections, breaker.max_pending, breaker.max_requests, breaker.max_retries) == (5, 6, 6, 1)


def test_each_process_may_take_its_part_of_the_memory(config: model.Config) -> None:
    whole = overload_share(config, 1).max_memory
    assert whole is not None
    assert overload_share(config, 3).max_memory == whole // 3
