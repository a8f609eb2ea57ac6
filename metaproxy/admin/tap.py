"""
A look into the traffic: exchanges as they end, decoded, a line of JSON each; streams also as they begin.

Lives here: /tap, and its bounds. Does not: what a line says (`telemetry.inspect.decoded`), sending it (`live`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

from twisted.internet.interfaces import IReactorTime

from metaproxy.admin.flows import number
from metaproxy.admin.live import Live
from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, Json, nearest
from metaproxy.admin.view import View
from metaproxy.app.service import ProxyService
from metaproxy.filters.rate_limit.token_bucket import Bucket, Filling
from metaproxy.message import KIND_NAMES, Chunk, Message, Side
from metaproxy.proxy.snapshot import ListenerSnapshot
from metaproxy.telemetry.inspect.decoded import as_time, decoded, metadata, readable, source
from metaproxy.telemetry.inspect.exchange_match import Choice, compile_match
from metaproxy.telemetry.inspect.first_bytes import FIRST, FirstBytes, confidential, shown
from metaproxy.telemetry.roles import CompletedExchange

MAX_TAPS = 8
"""Taps at a time, of all clients together."""
MAX_LIMIT = 1_000_000
RATE, MAX_RATE = 100.0, 10_000.0
"""Lines a second: the default, and the most. Making one takes some 50 µs."""


class Tap(Endpoint):
    path = "/tap"
    about = (
        "A stream of exchanges as they end, decoded, a line of JSON each, of `listener=`, that `match=`; `limit=` ends "
        "it, `rate=` bounds it. Streams as they begin, too; with `chunks=1` all of their pieces."
    )

    def __init__(self, view: View) -> None:
        self._proxy = view.proxy
        self._clock = view.reactor
        self._open: set[_Lines] = set()

    def get(self, ask: AdminRequest) -> AdminResponse:
        choice = chosen(self._proxy, ask.query.get("listener", ""), ask.query.get("match", ""))
        limit = int(number(ask, "limit", MAX_LIMIT, 1, MAX_LIMIT))
        rate = number(ask, "rate", RATE, 1, MAX_RATE)
        if len(self._open) >= MAX_TAPS:
            raise HttpError(429, f"{MAX_TAPS} taps are open; end one of them", "path")
        chunks = bool(int(number(ask, "chunks", 0, 0, 1)))
        lines = _Lines(choice, limit, rate, self._clock, chunks)
        self._open.add(lines)
        hook = lines.on_complete
        self._proxy.watch(hook, lines.on_head, lines.on_chunk)

        def ended() -> None:
            self._open.discard(lines)
            self._proxy.unwatch(hook)

        lines.body = Live(ended)
        return AdminResponse(lines.body, "application/x-ndjson")


_HALF = {Side.CLIENT: "request", Side.SERVER: "response"}


def _chunk(exchange: CompletedExchange, chunk: Chunk, side: Side, now: float) -> Json:
    """A line for one piece of a stream."""
    line: Json = {
        "event": "chunk",
        "time": as_time(now),
        "listener": exchange.listener,
        "source": source(exchange.client.facts),
        "connection": exchange.client.number,
        "operation": readable(exchange, "operation") or "-",
        "id": exchange.message.id,
        "half": _HALF[side],
        "kind": KIND_NAMES[chunk.kind],
        "bytes": len(chunk.frame),
    }
    if chunk.metadata:
        line["trailers"] = metadata(chunk)
    if chunk.frame and not confidential(exchange):
        line["first"] = shown(chunk.frame[:FIRST])
    return line


def chosen(proxy: ProxyService, listener: str, match: str) -> Choice:
    """Return what chooses exchanges. Raises HttpError when there is no such listener, or `match` makes no sense."""
    if listener and listener not in proxy.listeners:
        raise HttpError(404, f"no listener {listener[:200]!r}; {nearest(listener, list(proxy.listeners))}", "listener")
    snapshots = [one.snapshot for name, one in proxy.listeners.items() if not listener or name == listener]
    keys = {key.lower() for one in snapshots for key in one.codec.keys}
    try:
        return compile_match(match, listener, _known(proxy, snapshots), keys)
    except ValueError as error:
        raise HttpError(400, str(error), "match") from None


def _known(proxy: ProxyService, snapshots: Iterable[ListenerSnapshot]) -> dict[str, list[str]]:
    """The names of the configuration in force that an exchange can have, by the key that asks for them."""
    clusters = proxy.snapshot.clusters if proxy.snapshot is not None else {}
    found = {
        "listener": [one.name for one in snapshots],
        "protocol": [one.codec.name for one in snapshots],
        "route": [route.name for one in snapshots for route in (*one.routes.routes, one.no_route)],
        "cluster": [*clusters, "-"],
    }
    return {key: list(dict.fromkeys(names)) for key, names in found.items()}


class _Lines:
    """limit: how many, then it ends; rate: a second; chunks: whether each chunk has a line."""

    body: Live

    def __init__(self, choice: Choice, limit: int, rate: float, clock: IReactorTime, chunks: bool) -> None:
        self._choice = choice
        self._chunks = chunks
        self._first = FirstBytes()
        self._left = limit
        self._filling = Filling(rate, 1.0, max(rate, 1.0), True)
        self._bucket = Bucket(max(rate, 1.0))
        self._clock = clock
        self._offset = time.time() - clock.seconds()

    def on_complete(self, exchange: CompletedExchange) -> None:
        """A hook of ProxyService.watch."""
        if not exchange.streamed:
            if self._choice(exchange) and self._may():
                self._put(decoded(exchange, self._offset))
            return
        request, response = self._first.take(exchange)
        if self._choice(exchange) and self._may():
            line = {"event": "end", **decoded(exchange, self._offset)}
            line["stream"]["request"] |= request
            line["stream"]["response"] |= response
            self._put(line)

    def on_head(self, exchange: CompletedExchange, side: Side) -> None:
        """The head of a stream went on: the client's to its server, or the server's to its client."""
        if self._choice(exchange) and self._may():
            event = f"{_HALF[side]}_head"
            self._put({"event": event, **decoded(exchange, self._offset, self._clock.seconds())})

    def on_chunk(self, exchange: CompletedExchange, chunk: Chunk, side: Side) -> None:
        """A hook of ProxyService.watch."""
        if not self._left:
            return
        self._first.add(exchange, chunk, side)
        if self._chunks and self._choice(exchange) and self._may():
            self._put(_chunk(exchange, chunk, side, self._clock.seconds() + self._offset))

    def on_difference(self, exchange: CompletedExchange, cluster: str, answer: Message, text: str) -> None:
        """A mirror answered something else (proxy.mirror)."""
        if self._choice(exchange) and self._may():
            shown = {"cluster": cluster, "differs": text, "metadata": metadata(answer)}
            self._put({**decoded(exchange, self._offset), "mirror": shown})

    def _may(self) -> bool:
        if not self._left:
            return False
        if not self._bucket.take(self._filling, self._clock.seconds()):
            self.body.lost += 1
            return False
        return self.body.room()

    def _put(self, shown_exchange: Json) -> None:
        if self.body.lost:
            shown_exchange["lost"] = self.body.lost
        self._left -= 1
        self.body.put(json.dumps(shown_exchange, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
        if not self._left:
            self.body.end()
