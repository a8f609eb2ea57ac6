"""Connections to an endpoint that other processes have."""

from __future__ import annotations

from metaproxy.admin.traffic import connection_states
from metaproxy.cluster.elsewhere import PoolElsewhere
from metaproxy.cluster.endpoint import Endpoint


def test_they_are_shown_by_their_states() -> None:
    endpoint = Endpoint("127.0.0.1:1")
    assert sum(connection_states(endpoint).values()) == 0
    endpoint.pool = PoolElsewhere({"idle": 2, "busy": 1})
    shown = connection_states(endpoint)
    assert (shown["idle"], shown["busy"], shown["pinned"]) == (2, 1, 0)


def test_as_many_are_open_as_there_are_in_all_states() -> None:
    assert len(PoolElsewhere({"idle": 2, "busy": 1}).connections) == 3


def test_this_process_ends_none_of_them() -> None:
    pool = PoolElsewhere({"idle": 1})
    pool.retire()
    pool.resume()
    pool.cancelled(object())
    assert len(pool.connections) == 1
