"""
One connected socket: read when it is readable, written at once as far as the kernel takes it.

Lives here: `Connection`. Does not: the epoll that says when (`transport`), protocols.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Protocol

from twisted.internet import error
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from metaproxy.message import Spliced, Written, flat
from metaproxy.proxy.lingering import Lingering, untaken
from metaproxy.proxy.socket_calls import CLOSED, LARGE, MOST, SocketCalls, calls_of
from metaproxy.proxy.socket_options import keep_alive, original_destination
from metaproxy.proxy.socket_protocol import SocketProtocol
from metaproxy.wire import READ_SIZE, WireProtocol

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
END = select.EPOLLRDHUP
"""The peer sends no more; asked for while nothing is read, as else it would not be noticed."""
_NO_LINGER = struct.pack("ii", 1, 0)
_BROKEN = select.EPOLLERR | select.EPOLLHUP
READ_LARGE = 4 * READ_SIZE
"""Bytes of one recv where messages are large: most of them are whole in it. READ_SIZE elsewhere."""
LARGE_MESSAGE = 4096
"""Bytes of messages, on average, that are large."""
HIGH_WATER = 256 * 1024
"""Bytes waiting for a slow peer at which who feeds it is paused; resumed at a quarter."""
UNREAD = 64
"""Reads of READ_SIZE at most before a connection closes."""

DONE = Failure(error.ConnectionDone())
_NO_FACTS: Mapping[str, str] = {}
_NOTHING: tuple[()] = ()
"""What waits for most peers: an empty deque would be a sixth of what an idle connection takes."""


class Registrations(Protocol):
    """A `transport.Network`, as its connections see it."""

    @property
    def clock(self) -> IReactorTime: ...

    def modify(self, fd: int, events: int) -> None:
        """Wait for other events of a socket."""

    def forget(self, fd: int) -> None: ...

    def soon(self, call: Callable[[], None]) -> None:
        """Call when what happens now is over."""


class Connection:
    """
    One connected socket: read into `protocol.dataReceived`, written at once as far as the kernel takes it.

    `protocol` is a Twisted Protocol (dataReceived, connectionLost, and readConnectionLost for a half-close) and the
    producer of what is written here: it gets pauseProducing and resumeProducing at the water marks. If it has
    `end_seen`, that is called when the peer has sent its end while nothing is read: behind bytes that are not read yet.
    """

    disconnecting = False

    __slots__ = (
        "_broken", "_calls", "_closing", "_end_seen", "_ended", "_events", "_fd", "_finished", "_network", "_out",
        "_read_size", "_reader", "_socket", "_waiting_for_room", "_want_read", "buffered", "facts", "host", "peer",
        "producer", "protocol",
    )  # fmt: skip

    def __init__(self, network: Registrations, sock: socket.socket, host: str, peer: str) -> None:
        self._network = network
        self._socket = sock
        self._fd = sock.fileno()
        self._calls: SocketCalls = calls_of(sock)
        self._read_size = READ_SIZE
        self._out: deque[memoryview] | tuple[()] = _NOTHING
        self._events = 0
        self._want_read = True
        self._closing = False
        self._ended = self._end_seen = self._finished = False
        self._broken = False
        self._waiting_for_room = False
        self.buffered = 0
        self.facts: Mapping[str, str] = _NO_FACTS
        self.host = host
        self.peer = peer
        self.protocol: WireProtocol | None = None
        self.producer: WireProtocol | None = None
        self._reader: SocketProtocol | None = None

    def hand_to(self, protocol: WireProtocol) -> None:
        """Another protocol reads it from now on. Its makeConnection is the caller's to call."""
        self.producer = protocol
        self._read_by(protocol)

    def _read_by(self, protocol: WireProtocol) -> None:
        self.protocol = protocol
        self._reader = protocol if isinstance(protocol, SocketProtocol) else None

    def start(self, protocol: WireProtocol) -> int:
        """Read into `protocol` from now on. Returns the descriptor, which waits for READ."""
        self.hand_to(protocol)
        self._events = READ
        return self._fd

    def fileno(self) -> int:
        """Its descriptor, which stays its own."""
        return self._fd

    def lose(self) -> None:
        """End now, without a word: the network is closed."""
        self._lose(None)

    # -- reading

    def on_events(self, events: int) -> None:
        if events & READ and self._want_read:
            self.read()
        elif events & _BROKEN:
            self._lose(self._socket_error())
            return
        if events & END and not self._want_read:
            self._end_seen = True
            self._watch()
            seen = getattr(self.protocol, "end_seen", None)
            if seen is not None:
                seen()
        if events & WRITE and not self._broken:
            self._drain()

    def read(self) -> None:
        if not self._want_read:  # paused by what an earlier socket of this turn brought
            return
        calls = self._calls  # which lives on, should a signal's handler close this
        try:
            data = calls.recv(self._read_size)
        except BlockingIOError:
            return
        except OSError as failure:
            self._lose(failure)
            return
        if data:
            reader = self._reader
            if reader is not None:
                reader.dataReceived(data)
                return
            self.protocol.dataReceived(data)  # type: ignore[union-attr]  # it reads only while it has one
        else:
            self._ended = True
            self._watch_reads(False)
            self.protocol.readConnectionLost()  # type: ignore[union-attr]

    def weigh(self, size: int, messages: int) -> None:
        # Of one that is not whole no more than before: it may never be, and what was read of it is kept.
        self._read_size = READ_LARGE if messages and size >= LARGE_MESSAGE * messages else READ_SIZE

    def pauseProducing(self) -> None:
        self._watch_reads(False)

    def resumeProducing(self) -> None:
        if not self._closing and not self._ended:
            self._watch_reads(True)

    def stopProducing(self) -> None:
        self.loseConnection()

    def _watch_reads(self, wanted: bool) -> None:
        self._want_read = wanted
        self._end_seen = False
        self._watch()

    def _watch(self) -> None:
        events = WRITE if self._out else 0
        if self._want_read:
            events |= READ
        elif not (self._closing or self._ended or self._end_seen):
            events |= END
        if events != self._events and not self._broken:
            self._events = events
            self._network.modify(self._fd, events)

    # -- writing

    def write(self, data: Written) -> None:
        if isinstance(data, Spliced):
            self._write_pieces([data])
            return
        if self._broken or self._closing or self._finished:
            return
        if self._out:
            self._keep(memoryview(data))
            return
        calls = self._calls  # as above
        try:
            sent = calls.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as failure:
            self._fail_later(failure)
            return
        if sent < len(data):
            self._keep(memoryview(data)[sent:])

    def writeSequence(self, pieces: list[Written]) -> None:
        """Writes the pieces in order with as few system calls, and as little copying, as their sizes allow."""
        if len(pieces) == 1:
            self.write(pieces[0])
        else:
            self._write_pieces(pieces)

    def _write_pieces(self, pieces: list[Written]) -> None:
        if self._broken or self._closing or self._finished:
            return
        taken, calls = 0, self._calls
        if not self._out:
            try:
                taken = calls.send_pieces(pieces)
            except OSError as failure:
                self._fail_later(failure)
                return
        if taken >= 0:
            self._keep_from(pieces, taken)

    def _keep_from(self, pieces: list[Written], taken: int) -> None:
        """Keeps what is behind the bytes that were taken: large pieces where they lie, small ones joined."""
        small: list[bytes | memoryview] = []
        size = 0
        for piece in flat(pieces):
            if taken >= len(piece):
                taken -= len(piece)
                continue
            rest = memoryview(piece)[taken:] if taken else piece
            taken = 0
            large = len(rest) >= LARGE
            if small and (large or size >= MOST):
                self._add(b"".join(small))
                small, size = [], 0
            if large:
                self._add(rest)
            else:
                small.append(rest)
                size += len(rest)
        if small:
            self._add(b"".join(small))
        self._more_waits()

    def _keep(self, rest: memoryview) -> None:
        self._add(rest)
        self._more_waits()

    def _add(self, rest: bytes | memoryview) -> None:
        if not self._out:
            self._out = deque()
        self._out.append(memoryview(rest))
        self.buffered += len(rest)

    def _more_waits(self) -> None:
        """More waits for the peer than before."""
        self._watch()
        if self.buffered > HIGH_WATER and not self._waiting_for_room and self.producer is not None:
            self._waiting_for_room = True
            self.producer.pauseProducing()

    def _drain(self) -> None:
        out = self._out
        if not out:
            return
        try:
            while out:
                sent = self._socket.sendmsg(list(islice(out, 64))) if len(out) > 1 else self._calls.send(out[0])
                self.buffered -= sent
                while out and sent >= len(out[0]):
                    sent -= len(out.popleft())
                if sent:
                    out[0] = out[0][sent:]
        except BlockingIOError:
            pass
        except OSError as failure:
            self._lose(failure)
            return
        if self._waiting_for_room and self.buffered <= HIGH_WATER // 4:
            self._waiting_for_room = False
            if self.producer is not None:
                self.producer.resumeProducing()
        if not out:
            self._out = _NOTHING
            if self._closing:
                self._close_now()
                return
            if self._finished:
                self._send_end()
            self._watch()

    def registerProducer(self, producer: WireProtocol, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    # -- ending

    def loseConnection(self) -> None:
        """Closes once everything written was taken by the kernel, and by the peer as far as that can be seen."""
        if self._broken or self._closing:
            return
        self._closing = True
        self._watch_reads(False)
        if not self._out:
            self._network.soon(self._close_now)

    def abortConnection(self) -> None:
        """Closes at once; what was not sent yet is dropped."""
        if not self._broken:
            self._closing = True
            self._out = _NOTHING
            self.buffered = 0
            self._watch_reads(False)
            self._network.soon(self._abort_now)

    def resetConnection(self) -> None:
        """As abortConnection, and the peer sees a reset in place of a regular end."""
        if self._socket.family != socket.AF_UNIX and not self._broken:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.abortConnection()

    def loseWriteConnection(self) -> None:
        """Send the end behind everything that was written; what the peer sends is read on."""
        if self._broken or self._closing or self._finished:
            return
        self._finished = True
        if not self._out:
            self._send_end()

    def _send_end(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as failure:  # the peer was faster: what is to be known of it comes by the epoll
            if failure.errno != errno.ENOTCONN:
                raise

    def _close_now(self) -> None:
        if self._out or self._broken:
            return
        self._discard_unread()
        if self._ended or not self.untaken or self.protocol is None:
            self._lose(None)
        else:
            self._linger(self.protocol)

    def _linger(self, protocol: WireProtocol) -> None:
        if not self._finished:
            self._send_end()
        self._read_by(Lingering(self, protocol, self._network.clock))
        self._watch_reads(True)

    @property
    def untaken(self) -> int:
        """Bytes that are on their way to the peer."""
        try:
            return untaken(self._socket)
        except OSError:
            return 0

    def _abort_now(self) -> None:
        self._lose(None)

    def _discard_unread(self) -> None:
        """Bytes that were never read would turn the end into a reset, and the peer would lose our last words."""
        try:
            for _ in range(UNREAD):
                if not self._calls.recv(READ_SIZE):
                    return
        except OSError:
            return

    def _fail_later(self, failure: OSError) -> None:
        """A write that fails is reported from the next turn: who writes is in the middle of something."""
        self._closing = True
        self._network.soon(lambda: self._lose(failure))

    def _socket_error(self) -> OSError:
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return OSError(
            code or errno.ECONNRESET, "connection reset" if not code else errno.errorcode.get(code, str(code))
        )

    def _lose(self, failure: OSError | None) -> None:
        if self._broken:
            return
        self._broken = True
        self._out = _NOTHING
        self.buffered = 0
        self._network.forget(self._fd)
        self._socket.close()
        self._calls = CLOSED
        self._want_read = False
        protocol, self.protocol, self.producer = self.protocol, None, None  # it points back here: no cycle is left
        self._reader = None
        protocol.connectionLost(  # type: ignore[union-attr]  # once: see _broken
            DONE if failure is None else Failure(error.ConnectionLost(str(failure)))
        )

    # -- facts

    @property
    def unread(self) -> bool:
        """Whether bytes have come that were not read yet."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def keep_alive(self, idle: float, interval: float, count: int) -> None:
        """Have the system ask a silent peer whether it is there; seconds, whole ones. Nothing for a Unix socket."""
        if self._socket.family != socket.AF_UNIX:
            keep_alive(self._socket, idle, interval, count)

    def find_original_destination(self) -> None:
        """
        Take as the own address the one that the client meant, if the connection was redirected here; then it is the
        fact destination.original as well.
        """
        meant, self.host = original_destination(self._socket, self.host)
        if meant:
            self.facts = {"destination.original": meant}

    def getPeer(self) -> str:
        return self.peer

    def getHost(self) -> str:
        return self.host
