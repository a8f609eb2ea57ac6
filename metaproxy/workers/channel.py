"""
The line between the supervisor and one of its workers: a Unix socket pair that carries messages and descriptors.

Lives here: `Channel`. Does not: what messages mean (`messages`), who answers them (`supervisor`, `worker`).

A message is a value that is pickled: both ends are the same program, started by the same user, so nothing that comes
over it is foreign. All of one channel arrives in the order in which it was sent, descriptors included.
"""

from __future__ import annotations

import errno
import os
import pickle
import socket
import struct
from array import array
from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

log = Logger()

_HEAD = struct.Struct("!QQBB")
"""Bytes of the pickle, the number of the question (0: none), the kind, whether a descriptor came along."""
_TELL, _ASK, _ANSWER, _FAILED = range(4)
_READ = 1 << 16
_RIGHTS = socket.CMSG_SPACE(64 * array("i").itemsize)

Received = Callable[[object, int], object]
"""
Called with a message and the descriptor that came along, -1 for none, or for one that this process may not open any
more. Returns the answer, or a Deferred of it.
"""


class Gone(Exception):
    """The other end is not there any more."""


class AskFailed(Exception):
    """The other end could not answer; the text is that of its error."""


@implementer(IReadDescriptor, IWriteDescriptor)
class Channel:
    """
    received: see Received; lost: called once when the other end is gone. waiting: messages that the other end did not
    take yet.
    """

    def __init__(self, sock: socket.socket, reactor: object, received: Received, lost: Callable[[], None]) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._reactor = IReactorFDSet(reactor)
        self._received = received
        self._lost = lost
        self._out: deque[tuple[memoryview, int]] = deque()
        self._in = bytearray()
        self._descriptors: deque[int] = deque()
        self._asked: dict[int, Deferred[object]] = {}
        self._number = 0
        self._open = True
        self._broken = False
        self._reactor.addReader(self)

    # -- what both ends use

    @property
    def is_open(self) -> bool:
        """False from when it is known that the other end is gone."""
        return self._open and not self._broken

    @property
    def waiting(self) -> int:
        return len(self._out)

    def tell(self, message: object, descriptor: int = -1) -> bool:
        """
        Send what needs no answer. Return whether it is on its way: not when the other end is gone. descriptor: the
        caller's, which may close it when this returns.
        """
        self._send(message, 0, _TELL, descriptor)
        return self.is_open

    def ask(self, message: object, descriptor: int = -1) -> Deferred[object]:
        """Send a message. Fires with its answer; fails with AskFailed, or Gone."""
        answer: Deferred[object] = Deferred()
        if not self._open:
            answer.errback(Gone())
            return answer
        self._number += 1
        self._asked[self._number] = answer
        self._send(message, self._number, _ASK, descriptor)
        return answer

    def close(self) -> None:
        """Nothing is sent or received any more; questions that were not answered fail with Gone."""
        if not self._open:
            return
        self._open = False
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._socket.close()
        for descriptor in (*self._descriptors, *(one for _, one in self._out)):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptors.clear()
        self._out.clear()
        asked, self._asked = self._asked, {}
        for answer in asked.values():
            answer.errback(Gone())

    # -- sending

    def _send(self, message: object, number: int, kind: int, descriptor: int = -1) -> None:
        if not self._open:
            return
        content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        data = memoryview(_HEAD.pack(len(content), number, kind, descriptor >= 0) + content)
        sent = self._write(data, descriptor) if not self._out else 0
        if sent < len(data) and self.is_open:
            # What waits has a descriptor of its own: the caller closes the one that it gave.
            kept = os.dup(descriptor) if descriptor >= 0 and not sent else -1
            self._out.append((data[sent:], kept))
            self._reactor.addWriter(self)

    def _write(self, data: memoryview, descriptor: int) -> int:
        """Return how many bytes the system took; 0 when it takes none now, or the other end is gone."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))] if descriptor >= 0 else []
        try:
            return self._socket.sendmsg([data], rights)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._broken = error.errno in (errno.EPIPE, errno.ECONNRESET)  # reading says that as well, and ends it
            return 0

    def doWrite(self) -> None:
        while self._out:
            data, descriptor = self._out[0]
            sent = self._write(data, descriptor)
            if not sent:
                return
            if descriptor >= 0:
                os.close(descriptor)
            if sent < len(data):
                self._out[0] = data[sent:], -1
                return
            self._out.popleft()
        self._reactor.removeWriter(self)

    # -- receiving

    def doRead(self) -> None:
        self._read()

    def read_rest(self) -> None:
        """Take in what the other end said before it ended."""
        while self._open and self._read():
            pass

    def _read(self) -> bool:
        """Return whether there was anything, the end included."""
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(_READ, _RIGHTS, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return False
        except OSError:
            data, ancillary, flags = b"", [], 0
        if flags & socket.MSG_CTRUNC and not ancillary:  # this process may open no more; its message comes without
            self._descriptors.append(-1)
        for level, kind, rights in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                whole = len(rights) - len(rights) % array("i").itemsize
                self._descriptors.extend(array("i", rights[:whole]))
        if data:
            self._in += data
            self._take()
        else:
            self._end()
        return True

    def _take(self) -> None:
        start, data = 0, self._in
        while self._open and len(data) - start >= _HEAD.size:
            length, number, kind, has_descriptor = _HEAD.unpack_from(data, start)
            end = start + _HEAD.size + length
            if len(data) < end:
                break
            message = pickle.loads(memoryview(data)[start + _HEAD.size : end])
            start = end
            self._handle(message, number, kind, self._descriptors.popleft() if has_descriptor else -1)
        self._in = data[start:] if start else data

    def _handle(self, message: object, number: int, kind: int, descriptor: int) -> None:
        if kind in (_ANSWER, _FAILED):
            answer = self._asked.pop(number, None)
            if answer is not None:
                answer.callback(message) if kind == _ANSWER else answer.errback(AskFailed(str(message)))
            return
        given = maybeDeferred(self._received, message, descriptor)
        if kind == _ASK:
            given.addCallback(lambda value: self._send(value, number, _ANSWER))
        given.addErrback(self._failed, message, number, kind)

    def _failed(self, failure: Failure, message: object, number: int, kind: int) -> None:
        log.failure("{message}: failed", failure, message=type(message).__name__)
        if kind == _ASK:
            self._send(f"{type(failure.value).__name__}: {failure.getErrorMessage()}", number, _FAILED)

    # -- IFileDescriptor

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "workers"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is done with the descriptor, as reading or writing failed."""
        self._end()

    def _end(self) -> None:
        if self._open:
            self.close()
            self._lost()
