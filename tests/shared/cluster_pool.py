"""A pool that notes how it is called."""

from __future__ import annotations

from metaproxy.cluster.endpoint import Endpoint


class Pool:
    def __init__(self) -> None:
        self.connections: set[object] = set()
        self.retired = False

    def retire(self) -> None:
        self.retired = True

    def resume(self) -> None:
        self.retired = False


def with_pool(endpoint: Endpoint) -> Pool:
    """The pool that the endpoint has from now on."""
    pool = Pool()
    endpoint.pool = pool  # type: ignore[assignment]
    return pool
