"""A filter: no stream brings more bytes than it is allowed to, in all and, if that is bounded, a second."""

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from metaproxy.interfaces import IExchange, IFilter, IOnChunk, IOnComplete
from metaproxy.message import Chunk, ErrorKind, Reply, Side
from metaproxy.plugins import Declaration


@implementer(IOnChunk, IOnComplete)
class ByteQuota:
    """most: bytes of a request's stream; rate: bytes a second of it, 0 for any. clock: the reactor's."""

    def __init__(self, clock: IReactorTime, most: int, rate: int = 0) -> None:
        self._clock = clock
        self._most = most
        self._rate = rate
        self._sent: dict[IExchange, int] = {}

    def on_chunk(self, exchange: IExchange, chunk: Chunk, side: Side) -> Reply | Deferred[bytes | Reply | None] | None:
        if side is Side.SERVER:
            return None
        sent = self._sent[exchange] = self._sent.get(exchange, 0) + len(chunk.frame)
        if sent > self._most:
            return Reply(ErrorKind.LIMITED, f"more than {self._most} bytes")
        due = exchange.started + sent / self._rate if self._rate else 0.0
        if due <= self._clock.seconds():
            return None
        waiting: Deferred[bytes | Reply | None] = Deferred()
        self._clock.callLater(due - self._clock.seconds(), waiting.callback, None)
        return waiting

    def on_complete(self, exchange: IExchange) -> None:
        self._sent.pop(exchange, None)


byte_quota = Declaration(IFilter, "byte_quota", ByteQuota)
