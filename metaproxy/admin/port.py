"""
The listening socket of an HTTP server, which another process may have open, too: through an upgrade, or from systemd.

Lives here: `Port`. Does not: HTTP (`http_server`).

Twisted's own ports shut a socket down when they are closed, and with it that of the process which goes on with it; and
they remove the file of a Unix socket. So the server accepts by itself, and hands connections to the reactor.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import cast

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory, IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from metaproxy.admin.roles import Adopting, IReactor
from metaproxy.support.addresses import Address, show
from metaproxy.support.inherited import ADMIN, InheritedSockets
from metaproxy.support.unix_files import remove_stale_socket

log = Logger()

BACKLOG = 50
ACCEPTS = 16
"""Connections accepted at a time."""


@implementer(IReadDescriptor)
class Port:
    """
    A listening socket and the factory of its connections' protocols. keeps_file: closing it leaves the file of a Unix
    socket there. Raises CannotListenError.
    """

    def __init__(
        self, where: Address, factory: IProtocolFactory, reactor: IReactor, inherited: InheritedSockets
    ) -> None:
        self._factory = factory
        self._reactor = reactor
        self._descriptors = IReactorFDSet(reactor)
        given = inherited.take(where, ADMIN)
        self.where = where
        self.keeps_file = given.keeps_file if given is not None else False
        self._socket = given.sock if given is not None else _bound(where)
        self._socket.setblocking(False)
        self.bound = show(self._socket.getsockname())
        factory.doStart()
        inherited.when_begun(self._read)

    def _read(self) -> None:
        if self._socket.fileno() >= 0:
            self._descriptors.addReader(self)

    def close(self) -> None:
        """Accept no more. Connections that are there stay."""
        if self._socket.fileno() < 0:
            return
        self._descriptors.removeReader(self)
        self._socket.close()
        self._factory.doStop()
        if self.where.family == socket.AF_UNIX and not self.keeps_file:
            os.unlink(self.where.host)

    # -- IReadDescriptor

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "admin"

    def doRead(self) -> None:
        for _ in range(ACCEPTS):
            try:
                sock, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    log.error("{where}: no connection accepted for a second: {error}", where=self.bound, error=error)
                    self._descriptors.removeReader(self)
                    self._reactor.callLater(1.0, self._read)
                return  # anything else: the client left before it was accepted
            with sock:
                self._take(sock)

    def _take(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        try:
            if sock.family != socket.AF_UNIX:
                sock.getpeername()  # the client may have left, which the reactor does not expect
            # It takes a copy of the descriptor.
            cast(Adopting, self._reactor).adoptStreamConnection(sock.fileno(), sock.family, self._factory)
        except OSError as error:
            log.debug("{where}: a client left at once: {error}", where=self.bound, error=error)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is done with the descriptor (at its end)."""


def _bound(where: Address) -> socket.socket:
    sock = socket.socket(where.family, socket.SOCK_STREAM)
    try:
        if where.family == socket.AF_UNIX:
            remove_stale_socket(where.host)
            # Only the same user may connect. No other thread makes files while the process starts.
            mask = os.umask(0o177)
            try:
                sock.bind(where.sockaddr)
            finally:
                os.umask(mask)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(where.sockaddr)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise CannotListenError(where.host, where.port, error) from error
    return sock
