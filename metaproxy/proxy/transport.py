"""
Sockets of the data path: one epoll of our own inside the reactor's.

Lives here: `Network` (listens, connects, reads what is readable) and `Connection` (an ITransport for one socket).
Does not: protocols, pools, anything that knows what the bytes mean.

Why not the reactor's own transports: they cost a log context, several calls and a 64 KiB allocation each event, as much
as all the rest of an exchange. An epoll descriptor is itself readable when one of its sockets is, so the reactor sees a
single reader: it calls `doRead` once, all ready sockets are read in one loop, and what they caused to be written leaves
at the end of it (`FlushQueue`). It works under every reactor that can watch a descriptor, and gives turns a clear end.

Longer than most modules: the epoll, what listens, what connects and what is connected share its registrations.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from twisted.internet import error
from twisted.internet.interfaces import IDelayedCall, IReactorCore, IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from metaproxy.proxy.deadlines import DeadlineQueues
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.overload import OverloadMonitor
from metaproxy.proxy.socket_options import keep_alive, original_destination
from metaproxy.support import addresses as address
from metaproxy.support.addresses import Address
from metaproxy.wire import Accepted, ConnectingProtocol, WireProtocol

log = Logger()

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
END = select.EPOLLRDHUP
"""The peer sends no more; asked for while nothing is read, as else nobody would notice."""
_NO_LINGER = struct.pack("ii", 1, 0)
_BROKEN = select.EPOLLERR | select.EPOLLHUP
READ_SIZE = 65536
"""Bytes of one recv: what malloc still serves from its heap. Larger ones cost a page fault for each page."""
JOIN_LIMIT = 65536
"""Up to here pieces are joined for one send; beyond, copying costs more than handing the kernel a vector."""
HIGH_WATER = 256 * 1024
"""Bytes waiting for a slow peer at which who feeds it is paused; resumed at a quarter."""
UNREAD = 64
"""Reads of READ_SIZE at most before a connection closes."""
ROUNDS = 8
"""How often `doRead` asks its epoll before it lets the reactor see to timers and other readers."""
ACCEPTS = 64
"""Connections accepted a turn, so that a flood of them does not starve those that are there."""

DONE = Failure(error.ConnectionDone())
_NO_FACTS: Mapping[str, str] = {}


class Watched(Protocol):
    """What the epoll calls for its socket."""

    def on_events(self, events: int) -> None: ...
    def read(self) -> None: ...


class Connection:
    """
    One connected socket: read into `protocol.dataReceived`, written at once as far as the kernel takes it.

    `protocol` is a Twisted Protocol (dataReceived, connectionLost, and readConnectionLost for a half-close) and the
    producer of what is written here: it gets pauseProducing and resumeProducing at the water marks. If it has
    `end_seen`, that is called when the peer has sent its end while nothing is read: behind bytes that are not read yet.
    """

    disconnecting = False

    __slots__ = (
        "_broken", "_closing", "_end_seen", "_ended", "_events", "_fd", "_finished", "_network", "_out", "_recv",
        "_send", "_socket", "_waiting_for_room", "_want_read", "buffered", "facts", "host", "peer",
        "producer", "protocol",
    )  # fmt: skip

    def __init__(self, network: Network, sock: socket.socket, host: str, peer: str) -> None:
        self._network = network
        self._socket = sock
        self._fd = sock.fileno()
        self._recv = sock.recv
        self._send = sock.send
        self._out: deque[memoryview] = deque()
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

    def hand_to(self, protocol: WireProtocol) -> None:
        """Another protocol reads it from now on. Its makeConnection is the caller's to call."""
        self.protocol = self.producer = protocol

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
        try:
            data = self._recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError as failure:
            self._lose(failure)
            return
        if data:
            self.protocol.dataReceived(data)  # type: ignore[union-attr]  # it reads only while it has one
        else:
            self._ended = True
            self._watch_reads(False)
            self.protocol.readConnectionLost()  # type: ignore[union-attr]

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

    def write(self, data: bytes) -> None:
        if self._broken or self._closing or self._finished:
            return
        if self._out:
            self._keep(memoryview(data))
            return
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError as failure:
            self._fail_later(failure)
            return
        if sent < len(data):
            self._keep(memoryview(data)[sent:])

    def writeSequence(self, pieces: list[bytes]) -> None:
        """Writes the pieces in order with as few system calls, and as little copying, as their sizes allow."""
        if len(pieces) == 1:
            self.write(pieces[0])
            return
        small: list[bytes] = []
        size = 0
        for piece in pieces:
            if size + len(piece) > JOIN_LIMIT and small:
                self.write(small[0] if len(small) == 1 else b"".join(small))
                small, size = [], 0
            small.append(piece)
            size += len(piece)
        self.write(small[0] if len(small) == 1 else b"".join(small))

    def _keep(self, rest: memoryview) -> None:
        self._out.append(rest)
        self.buffered += len(rest)
        self._watch()
        if self.buffered > HIGH_WATER and not self._waiting_for_room and self.producer is not None:
            self._waiting_for_room = True
            self.producer.pauseProducing()

    def _drain(self) -> None:
        out = self._out
        try:
            while out:
                sent = self._socket.sendmsg(list(out)[:64]) if len(out) > 1 else self._send(out[0])
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
            if self._closing:
                self._discard_unread()
                self._lose(None)
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
        """Closes once everything written was taken by the kernel; reads no more."""
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
            self._out.clear()
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
        if not self._out:
            self._discard_unread()
            self._lose(None)

    def _abort_now(self) -> None:
        self._lose(None)

    def _discard_unread(self) -> None:
        """Bytes that were never read would turn the end into a reset, and the peer would lose our last words."""
        try:
            for _ in range(UNREAD):
                if not self._recv(READ_SIZE):
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
        self._out.clear()
        self.buffered = 0
        self._network.forget(self._fd)
        self._socket.close()
        self._want_read = False
        protocol, self.protocol, self.producer = self.protocol, None, None  # it points back here: no cycle is left
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


def _remove_stale_socket(path: str) -> None:
    """A socket file without a listener would make bind fail for ever."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)


class Listening:
    """A bound, listening socket. `accepted(connection) -> protocol | None`: None refuses the connection."""

    def __init__(self, network: Network, where: Address, sock: socket.socket, accepted: Accepted) -> None:
        self._network = network
        self._socket = sock
        self._accepted = accepted
        self.address = where
        self.bound = address.show(sock.getsockname())
        network.register(sock.fileno(), self, READ)

    def on_events(self, events: int) -> None:
        for _ in range(ACCEPTS):
            try:
                sock, peer = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as failure:
                if failure.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    log.error("{where}: no connection accepted for a second: {error}", where=self.bound, error=failure)
                    self._network.modify(self._socket.fileno(), 0)
                    self._network.clock.callLater(1.0, self._again)
                return  # anything else: the client left before it was accepted
            self._take(sock, address.show(peer or "client") if peer else "unix:")

    def read(self) -> None:
        self.on_events(READ)

    def _take(self, sock: socket.socket, peer: str) -> None:
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self._network, sock, self.bound, peer)
        try:
            protocol = self._accepted(connection)
        except BaseException:
            log.failure("{where}: a new connection was closed after an internal error", where=self.bound)
            protocol = None
        if protocol is None:
            sock.close()
            return
        self._network.attach(connection, protocol)

    def _again(self) -> None:
        if self._socket.fileno() >= 0:
            self._network.modify(self._socket.fileno(), READ)

    def hand_to(self, accepted: Accepted) -> None:
        """Another listener's from now on; who connected and was not accepted yet comes to it."""
        self._accepted = accepted

    def close(self) -> None:
        """Accepts no more; connections that are there stay."""
        if self._socket.fileno() >= 0:
            self._network.forget(self._socket.fileno())
            self._socket.close()
            if self.address.family == socket.AF_UNIX:
                os.unlink(self.address.host)


class _Connecting:
    """A socket on its way: connected, refused, or out of time, whichever comes first."""

    def __init__(
        self, network: Network, sock: socket.socket, peer: str, protocol: ConnectingProtocol, timeout: float
    ) -> None:
        self._network = network
        self._socket = sock
        self._peer = peer
        self._protocol = protocol
        self._timer: IDelayedCall | None = network.clock.callLater(timeout, self._too_late)
        network.register(sock.fileno(), self, WRITE)

    def on_events(self, events: int) -> None:
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.cancel()
            self._protocol.connectionFailed(f"{self._peer}: {errno.errorcode.get(code, code)}", False)
            return
        self._stop_timer()
        self._network.forget(self._socket.fileno())
        host = address.show(self._socket.getsockname())
        self._network.attach(Connection(self._network, self._socket, host, self._peer), self._protocol)

    def read(self) -> None:
        self.on_events(READ)

    def _too_late(self) -> None:
        self._timer = None
        self.cancel()
        self._protocol.connectionFailed(f"{self._peer}: no connection in time", True)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def cancel(self) -> None:
        self._stop_timer()
        if self._socket.fileno() >= 0:
            self._network.forget(self._socket.fileno())
            self._socket.close()


@implementer(IReadDescriptor)
class Network:
    """
    The sockets of one process's data path. reactor: with IReactorFDSet, and IReactorCore for names.

    connect() gives its protocol either makeConnection (then dataReceived ...) or connectionFailed(text, timed_out).
    """

    def __init__(self, reactor: IReactorTime, turn: FlushQueue) -> None:
        self.clock = reactor
        self.turn = turn
        self.deadlines = DeadlineQueues(reactor)
        self.overload = OverloadMonitor(reactor)
        self._descriptors, self._names = IReactorFDSet(reactor), IReactorCore(reactor)
        self._epoll = select.epoll()
        self._watched: dict[int, Watched] = {}
        self._soon: list[Callable[[], None]] = []
        self._descriptors.addReader(self)

    # -- what the rest of `proxy` asks for

    def listen(self, where: Address, accepted: Accepted, backlog: int = 1024) -> Listening:
        """Raises OSError when the address can't be had."""
        sock = socket.socket(where.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if where.family != socket.AF_UNIX:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            else:
                _remove_stale_socket(where.host)
            sock.bind(where.sockaddr)
            sock.listen(backlog)
        except OSError:
            sock.close()
            raise
        return Listening(self, where, sock, accepted)

    def connect(self, where: Address, protocol: ConnectingProtocol, timeout: float) -> None:
        """timeout: seconds, name look-up excluded (the resolver has its own)."""
        if where.literal:
            self._connect(where, protocol, timeout)
            return
        resolved = self._names.resolve(where.host)
        resolved.addCallbacks(
            lambda host: self._connect(where._replace(host=host), protocol, timeout),
            lambda failure: protocol.connectionFailed(f"{where.host}: {failure.getErrorMessage()}", False),
        )

    def _connect(self, where: Address, protocol: ConnectingProtocol, timeout: float) -> None:
        peer = address.show(where.sockaddr)
        try:
            sock = socket.socket(where.family, socket.SOCK_STREAM)
        except OSError as failure:  # no descriptor is left, or the system lacks the family
            text = f"{peer}: {errno.errorcode.get(failure.errno or 0, str(failure))}"
            self.soon(lambda: protocol.connectionFailed(text, False))
            return
        sock.setblocking(False)
        if where.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(where.sockaddr)
        if code in (0, errno.EINPROGRESS):
            _Connecting(self, sock, peer, protocol, timeout)
            return
        sock.close()
        # Not from inside the call: who asks is in the middle of something.
        self.soon(lambda: protocol.connectionFailed(f"{peer}: {errno.errorcode.get(code, code)}", False))

    def soon(self, call: Callable[[], None]) -> None:
        """Run `call` when what happens now is over, and before the reactor sleeps."""
        if not self._soon:
            self.clock.callLater(0, self._run_soon)
        self._soon.append(call)

    def _run_soon(self) -> None:
        calls, self._soon = self._soon, []
        for call in calls:
            try:
                call()
            except BaseException:
                log.failure("while ending a connection")

    def close(self) -> None:
        """Gives the descriptors back; for tests and the end of the process."""
        self._descriptors.removeReader(self)
        for one in list(self._watched.values()):
            if isinstance(one, Listening):
                one.close()
            elif isinstance(one, _Connecting):
                one.cancel()
            elif isinstance(one, Connection):
                one._lose(None)
        self._epoll.close()

    # -- what connections ask for

    def register(self, fd: int, one: Watched, events: int) -> None:
        self._watched[fd] = one
        self._epoll.register(fd, events)

    def attach(self, connection: Connection, protocol: WireProtocol) -> None:
        """Starts reading for a connection that was just made."""
        connection.protocol = protocol
        connection.producer = protocol
        connection._events = READ
        self.register(connection._fd, connection, READ)
        protocol.makeConnection(connection)

    def modify(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    # -- IReadDescriptor

    def fileno(self) -> int:
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        return "metaproxy"

    def doRead(self) -> None:
        poll, watched, turn = self._epoll.poll, self._watched, self.turn
        for _ in range(ROUNDS):
            events = poll(0, 512)
            if not events:
                return
            turn.begin()
            for fd, event in events:
                one = watched.get(fd)
                if one is None:
                    continue
                try:
                    if event == READ:
                        one.read()
                    else:
                        one.on_events(event)
                except BaseException:  # also SystemExit: out of here the reactor would stop reading for ever
                    # Our bug: it costs the connection that met it and no other.
                    log.failure("{peer}: closed after an internal error", peer=getattr(one, "peer", ""))
                    if isinstance(one, Connection):
                        one.abortConnection()
            turn.end()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is done with our descriptor (at its end)."""
