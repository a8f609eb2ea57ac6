"""
The share of each worker in limits that hold for all of them.

Lives here: one section of a configuration with its numbers divided. Does not: who gets which connection; as those of a
listener go to the worker that has the fewest of them, a limit of connections is exact but for what does not divide.
"""

from __future__ import annotations

from dataclasses import replace

from metaproxy.config import model
from metaproxy.config.build import overload_limits
from metaproxy.units import Bytes


def share(limit: int, workers: int) -> int:
    """A worker's part of a limit, rounded up: of a limit of 1 each has 1."""
    return -(-limit // workers)


def listener_share(spec: model.Listener, workers: int) -> model.Listener:
    """A listener, as each worker has it."""
    return replace(spec, max_connections=share(spec.max_connections, workers))


def cluster_share(spec: model.Cluster, workers: int) -> model.Cluster:
    """A cluster, as each worker has it."""
    breaker = spec.breaker
    shared = replace(
        breaker,
        max_connections=share(breaker.max_connections, workers),
        max_pending=share(breaker.max_pending, workers),
        max_requests=share(breaker.max_requests, workers),
        max_retries=share(breaker.max_retries, workers),
    )
    return replace(spec, breaker=shared)


def overload_share(config: model.Config, workers: int) -> model.Overload:
    """What each process may take: the memory of all is the supervisor's limit, of which it takes a part itself."""
    return replace(config.overload, max_memory=Bytes(overload_limits(config.overload).max_memory // workers))
