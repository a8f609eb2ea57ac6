"""
Raw TCP: what the proxy asks of a codec.

Lives here: `Tcp`. docs/reference/codecs/tcp.md describes it for users. Does not: bytes (`session`).
"""

from __future__ import annotations

from metaproxy.codecs.framing import Codec
from metaproxy.codecs.tcp.session import TcpSession
from metaproxy.message import Correlation, ErrorKind, FinalFrame, Message, Side


class Tcp(Codec):
    """Bytes of any protocol: a connection is one exchange, from its beginning to its end."""

    name = "tcp"
    correlation = Correlation.FIFO
    connections = "pool"
    stateful = True
    opens = True
    mutable = "raw bytes have no place for metadata"
    open_keys = False

    def session(self, side: Side, max_frame: int) -> TcpSession:
        return TcpSession(max_frame)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        """No word is known to all protocols: the connection ends."""
        return FinalFrame()

    def detect(self, data: bytes) -> bool | None:
        """Any bytes will do: it is the last candidate, for what the others do not speak."""
        return True
