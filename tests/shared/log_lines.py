"""An exchange as access logs see it, and the line that they make of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from metaproxy.message import Kind, Message
from metaproxy.telemetry.access_log.format import compile_format


class FakeClient:
    def __init__(self, facts: dict[str, str]) -> None:
        self.facts = facts


class FakeExchange:
    """An exchange that is over; whatever is named in `changes` is another way."""

    def __init__(self, metadata: dict[str, str] | None = None, **changes: Any) -> None:
        self.message = Message(Kind.REQUEST, b"", 0, metadata if metadata is not None else {"operation": "org.Demo/hi"})
        self.response: Message | None = Message(Kind.RESPONSE, b"", 0, {"server": "blue"})
        self.started, self.ended = 1700000000.25, 1700000000.252
        self.listener, self.protocol, self.route, self.cluster = "front", "dubbo", "main", "demo"
        self.upstream_address = "127.0.0.1:1000"
        self.outcome, self.details = "ok", ""
        self.request_bytes, self.response_bytes = 120, 48
        self.request_chunks = self.response_chunks = 0
        self.first_byte = self.ended
        self.learnt: dict[str, str | None] | None = None
        self.attempts, self.matched_route = 1, SimpleNamespace(retry=None)
        facts = {"source.address": "127.0.0.9", "source.port": "4321"}
        self.client = FakeClient({**facts, "destination.address": "::1", "destination.port": "80"})
        for name, value in changes.items():
            setattr(self, name, value)

    def get(self, key: str) -> str | None:
        return self.message.get(key)


def line(format: Any, exchange: Any = None, offset: float = 0.0) -> str:
    template, reads = compile_format(format, offset)
    exchange = exchange or FakeExchange()
    return template % tuple([read(exchange) for read in reads])
