"""
What a socket and a turn of the reactor call of who reads and writes it: compiled, they do so without a look-up.

Lives here: `SocketProtocol`, below both sides of the path (`pool_client`, `server_connection`). Does not: what else a
protocol has (`wire.WireProtocol`).
"""

from __future__ import annotations

from twisted.python.failure import Failure


class SocketProtocol:
    """Is read by a `connection.Connection`, collects what is to be written, and is flushed by a `FlushQueue`."""

    __slots__ = ()

    def dataReceived(self, data: bytes) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        raise NotImplementedError

    def unflushable(self, failure: Failure) -> None:
        """What was to be written is no bytes: end the connection, and say whose fault it is."""
        raise NotImplementedError
