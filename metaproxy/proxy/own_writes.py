"""
When a client's writes were acknowledged, so that what it reads behind them is read where they are.

Lives here: `note_write`, a hook of routes that lead to a primary. Does not: where is read (`Cluster.pick`).
"""

from __future__ import annotations

from metaproxy.cluster.cluster import WROTE
from metaproxy.message import FrameError, Kind
from metaproxy.proxy.roles import OpenExchange


def note_write(exchange: OpenExchange) -> None:
    """A request that may have changed something has ended: well, or with an end that is not known."""
    if exchange.endpoint is None or exchange.message.kind is Kind.CONNECT:
        return
    try:
        codec = exchange.snapshot.codec
        changes = getattr(codec, "changes", None)
        if not (changes(exchange.message) if changes is not None else not codec.safe(exchange.message)):
            return
    except FrameError:
        pass  # what can't be read may be a write
    exchange.client.facts[WROTE] = repr(exchange.ended)
