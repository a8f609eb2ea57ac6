"""
Sockets of the data path: one epoll of our own inside the reactor's.

Lives here: `Network`, which listens, connects and reads what is readable. Does not: which sockets are (`polling`,
`rounds`); one of them that is connected (`connection`); protocols, pools, anything that knows what the bytes mean.

Why not the reactor's own transports: they cost a log context, several calls and a 64 KiB allocation each event, as
much as all the rest of an exchange. Here all ready sockets are read in one loop, and what they caused to be written
leaves at the end of it (`FlushQueue`), which gives turns a clear end. Twisted's epoll reactor lets this epoll wait in
its place (`reactor_wait`). For every other reactor that can watch a descriptor it is a single reader, as an epoll can
itself be read when one of its sockets can: it calls `doRead` once for all of them.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorCore, IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from metaproxy.proxy.connection import READ, WRITE, Connection
from metaproxy.proxy.deadlines import DeadlineQueues
from metaproxy.proxy.descriptor_reserve import DescriptorReserve
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.overload import OverloadMonitor
from metaproxy.proxy.polling import Watched, new_poll
from metaproxy.proxy.queue_probe import QueueProbe
from metaproxy.proxy.reactor_wait import take_wait
from metaproxy.proxy.rounds import Rounds
from metaproxy.support import addresses as address
from metaproxy.support.addresses import Address
from metaproxy.support.inherited import InheritedSockets
from metaproxy.support.log_throttle import LogThrottle
from metaproxy.support.unix_files import remove_stale_socket
from metaproxy.wire import Accepted, ConnectingProtocol, WireProtocol

log = Logger()

NO_DESCRIPTOR = "no file descriptor is left; see RLIMIT_NOFILE"
ACCEPTS = 64
"""Connections accepted a turn, so that a flood of them does not starve those that are there."""


class Listening:
    """
    A bound, listening socket. `accepted(connection) -> protocol | None`: None refuses the connection. keeps_file: the
    file of a Unix socket stays when it is closed, as another process listens there.
    """

    def __init__(
        self, network: Network, where: Address, sock: socket.socket, accepted: Accepted, keeps_file: bool = False
    ) -> None:
        self._network = network
        self._socket = sock
        self._accepted = accepted
        self._log_throttle = LogThrottle(network.clock.seconds)
        self.address = where
        self.bound = address.show(sock.getsockname())
        self.keeps_file = keeps_file
        network.register(sock.fileno(), self, 0)
        network.inherited.when_begun(self._again)

    def on_events(self, events: int) -> None:
        descriptors = self._network.descriptors
        descriptors.look()
        for _ in range(ACCEPTS):
            try:
                sock, peer = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as failure:
                if failure.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    # Who connects stays in the queue of the kernel, which would wake the process up without a pause.
                    if failure.errno == errno.EMFILE:
                        self._network.descriptors.no_descriptor(self.bound)
                    elif self._log_throttle.allows(failure.errno):
                        text = "{where}: no connection accepted for a second: {error}"
                        log.error(text, where=self.bound, error=failure)
                    self._network.modify(self._socket.fileno(), 0)
                    self._network.clock.callLater(1.0, self._again)
                return  # anything else: the client left before it was accepted
            if descriptors.refuses_client(sock.fileno(), self.bound):
                sock.close()
                continue
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

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        """Accepts no more; connections that are there stay."""
        if self._socket.fileno() >= 0:
            self._network.forget(self._socket.fileno())
            self._socket.close()
            if self.address.family == socket.AF_UNIX and not self.keeps_file:
                os.unlink(self.address.host)


_IP_BIND_ADDRESS_NO_PORT = 24
"""Of Linux's netinet/in.h; the socket module does not have it."""


def _bind(sock: socket.socket, source: str) -> int:
    """Have a socket connect from an address of this host. Return the number of the error, 0 for none."""
    try:
        # The port is chosen as the connection is made: bound to one, all that there are would soon be used up.
        sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))
    except OSError as error:  # no address of this host, or of another family
        return error.errno or errno.EADDRNOTAVAIL
    return 0


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
    The sockets of one process's data path. reactor: with IReactorFDSet, and IReactorCore for names; inherited: sockets
    that listen already.

    connect() gives its protocol either makeConnection (then dataReceived ...) or connectionFailed(text, timed_out).
    """

    def __init__(self, reactor: IReactorTime, turn: FlushQueue, inherited: InheritedSockets | None = None) -> None:
        self.inherited = inherited or InheritedSockets()
        self.clock = reactor
        self.turn = turn
        self.deadlines = DeadlineQueues(reactor)
        self._probe = QueueProbe(reactor.seconds)
        self.overload = OverloadMonitor(reactor, waited=self._probe.look)
        self.descriptors = DescriptorReserve(reactor)
        self._descriptors, self._names = IReactorFDSet(reactor), IReactorCore(reactor)
        self._poll = new_poll(_failed)
        self._soon: list[Callable[[], None]] = []
        self.register(self._probe.fd, self._probe, READ)
        self._rounds = Rounds(self._poll, turn, reactor.seconds)
        self._rounds.wait = self._wait = take_wait(reactor, self._rounds.iterate)
        if self._wait is not None:
            self.register(self._wait.fd, _ReactorsOwn(self._rounds.note_reactor), READ)
        else:
            self._descriptors.addReader(self)

    # -- what the rest of `proxy` asks for

    def listen(self, where: Address, accepted: Accepted, backlog: int = 1024) -> Listening:
        """Raises OSError when the address can't be had."""
        given = self.inherited.take(where)
        if given is not None:
            given.sock.setblocking(False)
            return Listening(self, where, given.sock, accepted, given.keeps_file)
        sock = socket.socket(where.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if where.family != socket.AF_UNIX:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            else:
                remove_stale_socket(where.host)
            sock.bind(where.sockaddr)
            sock.listen(backlog)
        except OSError:
            sock.close()
            raise
        return Listening(self, where, sock, accepted)

    def connect(self, where: Address, protocol: ConnectingProtocol, timeout: float, source: str = "") -> None:
        """timeout: seconds, name look-up excluded (the resolver has its own); source: the own address, '' for any."""
        if where.literal:
            self._connect(where, protocol, timeout, source)
            return
        resolved = self._names.resolve(where.host)
        resolved.addCallbacks(
            lambda host: self._connect(where._replace(host=host), protocol, timeout, source),
            lambda failure: protocol.connectionFailed(f"{where.host}: {failure.getErrorMessage()}", False),
        )

    def _connect(self, where: Address, protocol: ConnectingProtocol, timeout: float, source: str) -> None:
        peer = address.show(where.sockaddr)
        try:
            sock = socket.socket(where.family, socket.SOCK_STREAM)
        except OSError as failure:  # no descriptor is left, or the system lacks the family
            text = f"{peer}: {errno.errorcode.get(failure.errno or 0, str(failure))}"
            if failure.errno == errno.EMFILE:
                self.descriptors.failed_connects += 1
                text = f"{peer}: {NO_DESCRIPTOR}"
            self.soon(lambda: protocol.connectionFailed(text, False))
            return
        if self.descriptors.refuses_connect(sock.fileno()):
            sock.close()
            self.soon(lambda: protocol.connectionFailed(f"{peer}: {NO_DESCRIPTOR}", False))
            return
        sock.setblocking(False)
        if where.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        own = source if where.family != socket.AF_UNIX else ""
        code = (_bind(sock, own) if own else 0) or sock.connect_ex(where.sockaddr)
        if code in (0, errno.EINPROGRESS):
            _Connecting(self, sock, peer, protocol, timeout)
            return
        sock.close()
        # Not from inside the call: who asks is in the middle of something.
        self.soon(lambda: protocol.connectionFailed(f"{peer}: {errno.errorcode.get(code, code)}", False))

    def listening(self) -> list[Listening]:
        """Return all that listen."""
        return [one for one in self._poll.watched() if isinstance(one, Listening)]

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
        if self._wait is not None:
            self._wait.give_back()
            self._rounds.wait = None
            self.forget(self._wait.fd)
        else:
            self._descriptors.removeReader(self)
        for one in self._poll.watched():
            if isinstance(one, Listening):
                one.close()
            elif isinstance(one, _Connecting):
                one.cancel()
            elif isinstance(one, Connection):
                one.lose()
        self.overload.stop()
        self.forget(self._probe.fd)
        self._probe.close()
        self._poll.close()

    # -- what connections ask for

    def register(self, fd: int, one: Watched, events: int) -> None:
        self._poll.register(fd, one, events)

    def attach(self, connection: Connection, protocol: WireProtocol) -> None:
        """Starts reading for a connection that was just made."""
        self.register(connection.start(protocol), connection, READ)
        protocol.makeConnection(connection)

    def modify(self, fd: int, events: int) -> None:
        self._poll.modify(fd, events)

    def forget(self, fd: int) -> None:
        self._poll.forget(fd)

    # -- IReadDescriptor

    def fileno(self) -> int:
        return self._poll.fileno()

    def logPrefix(self) -> str:
        return "metaproxy"

    def doRead(self) -> None:
        self._rounds.see_to_ready(0, 1)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is done with our descriptor (at its end)."""


class _ReactorsOwn:
    """The reactor's epoll, as a descriptor of the network's."""

    def __init__(self, ready: Callable[[], None]) -> None:
        self.read = ready

    def on_events(self, events: int) -> None:
        self.read()


def _failed(one: Watched) -> None:
    """Our bug: it costs the connection that met it and no other."""
    log.failure("{peer}: closed after an internal error", peer=getattr(one, "peer", ""))
    if isinstance(one, Connection):
        one.abortConnection()
