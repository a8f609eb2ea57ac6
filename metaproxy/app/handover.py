"""
How a process hands what it has to the one that takes its place: descriptors by inheritance, the rest as JSON.

    the old one                                           the new one, started with METAPROXY_UPGRADE
      document: its sockets, live values   --- memfd --->   checks its configuration, takes the sockets
                                           <-- ready  ---   endpoints are found, nothing is accepted yet
      what else it has at this moment      ---   go   -->   takes that, accepts
      accepts no more, drains              <-- serving --
      what it counted since                -- counts  -->   adds it

Lives here: `Document`, `Handed` (what the new one finds), `Link` (the lines in between), `Spawned` (the new one, as the
old one sees it). Does not: who says what when (`upgrade`, `successor`), what is carried (`carried`).

The descriptors are inherited under their numbers: SCM_RIGHTS would need a new process that reads while the old one
writes, and the old one must not wait for a program that hangs.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from metaproxy.admin.roles import Adopting
from metaproxy.support import addresses
from metaproxy.support.inherited import InheritedSocket

log = Logger()

VARIABLE = "METAPROXY_UPGRADE"
"""Of the environment: the descriptors of the link, the document, what errors are written to, and the true stderr."""
VERSION = 1
"""Of the state. Sockets are described alike in all versions."""
MAX_LINE = 256 << 20
"""Bytes of a line; the peer is a process of the same user with the same command line."""
MAX_ERRORS = 4000
"""Bytes of what a new process writes to stderr that are shown."""

Json = dict[str, object]


class SocketEntry(TypedDict):
    """A socket of a document. fd: the same number in both processes."""

    fd: int
    kind: str
    listen: str
    keeps_file: bool


class Document(TypedDict):
    """
    What a new process needs before it has a reactor. warm: whether the old one had found all endpoints, so that the new
    one is to find them before it accepts. epoch: how many upgrades there were, this one included.
    """

    version: int
    pid: int
    epoch: int
    warm: bool
    sockets: list[SocketEntry]
    state: Json


@dataclass(frozen=True, slots=True)
class Handed:
    """What the process before handed to this one. errors: the descriptor that stands for stderr until it serves."""

    document: Document
    sockets: list[InheritedSocket]
    link: socket.socket
    errors: int
    stderr: int

    def give_up(self, text: str) -> None:
        """Say why this process does not start. It has no reactor that runs yet, and ends."""
        self.link.setblocking(True)
        self.link.settimeout(1.0)
        try:
            self.link.sendall(line_of({"failed": text}))
        except OSError as error:  # the other one sees that this one ends
            sys.stderr.write(f"the process before was not reached: {error}\n")

    def restore_stderr(self) -> None:
        """Write to where the process before wrote its errors, those included that there were so far."""
        sys.stderr.flush()
        written = read_errors(self.errors)
        os.dup2(self.stderr, 2)
        os.close(self.stderr)
        os.close(self.errors)
        if written:
            os.write(2, written.encode())


def handed_over(environ: MutableMapping[str, str]) -> Handed | None:
    """Return what a process before handed to this one, None when it was started by hand. Raises OSError, ValueError."""
    written = environ.pop(VARIABLE, "")
    if not written:
        return None
    link, document, errors, stderr = (int(one) for one in written.split(","))
    for fd in (link, document, errors, stderr):
        os.set_inheritable(fd, False)
    with os.fdopen(document, "rb") as file:
        file.seek(0)
        found: Document = json.load(file)
    return Handed(found, [_inherited(one) for one in found["sockets"]], socket.socket(fileno=link), errors, stderr)


def _inherited(entry: SocketEntry) -> InheritedSocket:
    os.set_inheritable(entry["fd"], False)
    sock = socket.socket(fileno=entry["fd"])
    return InheritedSocket(sock, addresses.parse(entry["listen"]), entry["kind"], keeps_file=entry["keeps_file"])


def entry(fd: int, kind: str, where: addresses.Address, keeps_file: bool) -> SocketEntry:
    """Return the entry of a socket in a document."""
    return {"fd": fd, "kind": kind, "listen": addresses.show(where.sockaddr), "keeps_file": keeps_file}


# -- the lines in between


def line_of(content: Mapping[str, object]) -> bytes:
    return json.dumps(content).encode() + b"\n"


class Link(LineOnlyReceiver):
    """heard: called with each object of JSON; ended: called when the other end is gone."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE

    def __init__(self, heard: Callable[[Json], None], ended: Callable[[], None]) -> None:
        self._heard = heard
        self._ended = ended

    def send(self, content: Mapping[str, object]) -> None:
        if self.transport is not None and self.connected:
            self.transport.write(line_of(content))

    def close(self) -> None:
        """What was sent still arrives."""
        if self.transport is not None:
            self.transport.loseConnection()

    def lineReceived(self, line: bytes) -> None:
        try:
            content = json.loads(line)
        except ValueError:
            log.error("upgrade: the other process sent no JSON: {line}", line=line[:100])
            return
        if isinstance(content, dict):
            self._heard(content)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended()


def connected(reactor: Adopting, sock: socket.socket, link: Link) -> Link:
    """Have a link speak over a socket, which is closed here: the reactor has a copy."""
    sock.setblocking(False)
    factory = Factory.forProtocol(lambda: link)
    factory.noisy = False
    with sock:
        reactor.adoptStreamConnection(sock.fileno(), socket.AF_UNIX, factory)
    return link


# -- the new process, as the old one sees it


class NewProcess(Protocol):
    """link: speaks to it."""

    link: socket.socket
    pid: int

    def exit_code(self) -> int | None:
        """None while it runs."""

    def errors(self) -> str:
        """What it wrote to stderr so far, the end of it."""

    def kill(self) -> None: ...
    def forget(self) -> None: ...


class Spawned:
    """A process with this one's command line. Raises OSError when it can't be started."""

    def __init__(self, command: Sequence[str], folder: str, document: Document) -> None:
        self.link, theirs = socket.socketpair()
        self._errors = os.memfd_create("metaproxy-errors")
        stderr = os.dup(2)
        text = os.memfd_create("metaproxy-upgrade")
        try:
            with os.fdopen(os.dup(text), "wb") as file:
                file.write(json.dumps(document).encode())
            passed = [theirs.fileno(), text, self._errors, stderr]
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=[*passed, *(one["fd"] for one in document["sockets"])],
                env={**os.environ, VARIABLE: ",".join(map(str, passed))},
            )
        except BaseException:
            self.link.close()
            os.close(self._errors)
            raise
        finally:
            theirs.close()
            os.close(stderr)
            os.close(text)
        self.pid = self._process.pid

    def exit_code(self) -> int | None:
        return self._process.poll()

    def errors(self) -> str:
        return read_errors(self._errors)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)

    def forget(self) -> None:
        """Nothing more is asked of it."""
        self._process.poll()
        os.close(self._errors)


def read_errors(fd: int) -> str:
    """Return the end of what was written to a descriptor. Both processes share its place, which stays."""
    size = os.fstat(fd).st_size
    return os.pread(fd, MAX_ERRORS, max(0, size - MAX_ERRORS)).decode(errors="replace")
