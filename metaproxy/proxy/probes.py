"""
What a health check asks an endpoint, each time over a connection of its own.

Lives here: the kinds of checks (tcp, codec, http, script) and `Probes`, which makes them one after the other. Does not:
when, and what follows (`cluster.health`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.health import Done
from metaproxy.cluster.roles import Network
from metaproxy.interfaces import ISession
from metaproxy.message import FrameError, Kind, Message, Side, Written
from metaproxy.proxy.culprit import text_of
from metaproxy.proxy.sessions import new_session
from metaproxy.proxy.tls import TlsTransport, begin_tls
from metaproxy.routing.pattern import Searchable
from metaproxy.support import addresses as address
from metaproxy.wire import ConnectingProtocol, Wire

if TYPE_CHECKING:
    from metaproxy.support.addresses import Address

MOST = 64 << 10
"""Bytes that a server may answer."""


log = Logger()


class Probe(Protocol):
    """
    One connection. A kind says with `passed` or `failed` how it went; the first word counts. secured: whether it speaks
    TLS where the cluster does. most: bytes that a server may answer.
    """

    secured = True
    most = MOST
    transport: Wire | None  # type: ignore[assignment]
    clock: IReactorTime

    def __init__(self, cluster: Cluster, endpoint: Endpoint, done: Done) -> None:
        self.cluster = cluster
        self.endpoint = endpoint
        self._done: Done | None = done
        self._received = 0

    def where(self) -> Address:
        return address.parse(self.endpoint.address)

    def connect(self, network: Network, timeout: float) -> None:
        """Begin."""
        self.clock = network.clock
        connections, where = self.cluster.connections, self.where()
        tls = connections.tls_for(self.endpoint)
        behind: ConnectingProtocol = self
        if tls is not None and self.secured and not tls.start:
            behind = TlsTransport(tls, self, network.clock, self.connectionFailed, where.host)
        network.connect(where, behind, timeout, connections.source)

    # -- its end

    def passed(self) -> None:
        self._over(True, "")

    def failed(self, text: str) -> None:
        self._over(False, text)

    def _over(self, well: bool, text: str) -> None:
        done, self._done = self._done, None
        self.leave()
        if done is not None:
            done(well, text)

    def leave(self) -> None:
        """Give it up: the result is not wanted any more."""
        self._done = None
        if self.transport is not None:
            transport, self.transport = self.transport, None
            transport.abortConnection()

    # -- what comes

    def connectionMade(self) -> None:
        if self._done is None:
            self.leave()
        else:
            self.begin()

    def connectionFailed(self, text: str, timed_out: bool) -> None:
        """Called by the network in place of makeConnection."""
        self.failed(f"no connection: {text}")

    def dataReceived(self, data: bytes) -> None:
        self._received += len(data)
        if self._done is None:
            return
        if self._received > self.most:
            self.failed(f"more than {self.most} bytes in answer")
        else:
            self.received(data)

    def readConnectionLost(self) -> None:
        self.failed("the server closed the connection")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.failed("the connection was lost")

    # Connections apply back-pressure to who writes; a probe writes a few bytes once.

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...

    def write(self, data: Written) -> None:
        if data and self.transport is not None:
            self.transport.write(data)

    # -- of each kind

    def begin(self) -> None:
        raise NotImplementedError

    def received(self, data: bytes) -> None:
        """What comes is of no interest."""


class Tcp(Probe):
    """Whether a server listens."""

    secured = False

    def begin(self) -> None:
        self.passed()


class Codec(Probe):
    """Whether the server answers the protocol's own question; on a connection that is logged in as others are."""

    _session: ISession | None = None
    _question: Message | None = None

    def __init__(self, cluster: Cluster, endpoint: Endpoint, done: Done) -> None:
        super().__init__(cluster, endpoint, done)
        self.credentials: Mapping[str, str] = cluster.credentials

    def begin(self) -> None:
        codec = self.cluster.codec
        self._question = self.question()
        assert self._question is not None  # the configuration was checked
        tls = self.cluster.connections.tls_for(self.endpoint)
        facts = {"tls.start": tls.start} if tls is not None and tls.start else {}
        self._session = new_session(codec, Side.SERVER, self.most, facts)
        self._head: Message | None = None  # of an answer whose end is to come
        self._pieces: list[bytes] = []
        self._open()

    def question(self) -> Message | None:
        """What is asked."""
        message: Message | None = self.cluster.codec.probe()
        return message

    def judge(self, answer: Message) -> None:
        """What its answer means."""
        if self.cluster.codec.alive(answer):
            self.passed()
        else:
            self.failed(f"it answered {answer.frame[:100]!r}")

    def connectionMade(self) -> None:
        if self._done is not None and self._session is not None:  # the handshake that it began is done
            self._session.facts = getattr(self.transport, "facts", {})
            self._open()
        else:
            super().connectionMade()

    def _open(self) -> None:
        assert self._question is not None and self._session is not None  # it was opened, and asked nothing yet
        self.write(self._session.open(self._question.profile, self.credentials))
        self._ask()

    def _start_tls(self, session: ISession) -> None:
        tls, transport = self.cluster.connections.tls_for(self.endpoint), self.transport
        if tls is not None and tls.start and transport is not None:
            host = self.where().host
            begin_tls(tls, self, transport, self.clock, self.connectionFailed, host, session.tls_rest)

    def _ask(self) -> None:
        if self._session is not None and self._session.ready and self._question is not None:
            question, self._question = self._question, None
            self.write(self._session.send(question, 1))

    def ask(self, question: Message) -> None:
        """Ask something more, once the answer to what was asked before has come."""
        self._question = question
        self._head, self._pieces = None, []

    def received(self, data: bytes) -> None:
        session = self._session
        assert session is not None  # made before anything is read
        try:
            for message in session.receive(data):
                self._heard(message)
        except FrameError as error:
            self.failed(str(error))
        except BaseException as error:
            log.failure("cluster {name}: the codec's health check failed", name=self.cluster.name)
            self.failed(f"codec {self.cluster.codec.name}: {error!r:.200}")
        if session.error is not None:
            self.failed(text_of(session.error))
        if session.owes:
            self.write(session.owed())
            if session.start_tls:
                self._start_tls(session)
                return
        self._ask()

    def _heard(self, message: Message) -> None:
        if message.kind is Kind.DRAIN:
            self.failed("the server drains")
        elif self._question is None:
            if message.kind in (Kind.RESPONSE, Kind.ERROR):
                self.judge(message)
            elif message.kind is Kind.HEARTBEAT:
                if self.cluster.codec.alive(message):  # else it may be a question of the server's own
                    self.passed()
            elif message.kind in (Kind.STREAM_OPEN, Kind.STREAM_DATA, Kind.STREAM_CLOSE, Kind.STREAM_RESET):
                self._gather(message)

    def _gather(self, message: Message) -> None:
        """A piece of an answer: they are judged as one, which `most` bounds."""
        if message.kind == Kind.STREAM_RESET:
            self.failed("the server reset the stream")
        elif message.kind == Kind.STREAM_OPEN:
            self._head = message
        elif self._head is not None:
            self._pieces.append(message.frame)
            if message.kind == Kind.STREAM_CLOSE:
                failed = getattr(message, "failed", False) or getattr(self._head, "failed", False)
                frame = b"".join((self._head.frame, *self._pieces))
                self.judge(Message(Kind.ERROR if failed else Kind.RESPONSE, frame, message.id))


class Http(Probe):
    """
    GET of a path. port: 0 for the endpoint's own; host: '' for the endpoint's address; statuses: () for 200 to 299.
    """

    def __init__(
        self, path: str, host: str, port: int, statuses: Sequence[int], cluster: Cluster, endpoint: Endpoint, done: Done
    ) -> None:
        super().__init__(cluster, endpoint, done)
        self._path, self._host, self._port, self._statuses = path, host, port, statuses
        self._head = b""
        self.secured = not port  # another port is another server

    def where(self) -> Address:
        where = super().where()
        return where._replace(port=self._port) if self._port else where

    def begin(self) -> None:
        host = self._host or address.show(self.where().sockaddr)
        self.write(
            f"GET {self._path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: metaproxy-health-check\r\nAccept: */*\r\n"
            "Connection: close\r\n\r\n".encode("latin-1")
        )

    def received(self, data: bytes) -> None:
        self._head += data
        line, end, _ = self._head.partition(b"\r\n")
        if not end:
            return
        found = re.match(rb"HTTP/1\.[01] (\d{3})(?: |$)", line)
        if found is None:
            self.failed(f"not HTTP: {line[:100]!r}")
            return
        status = int(found[1])
        if status in self._statuses if self._statuses else 200 <= status < 300:
            self.passed()
        else:
            self.failed(f"status {status}")


class Script(Probe):
    """send: the bytes to say; expect: what all that comes, one character a byte, must hold somewhere."""

    def __init__(self, send: bytes, expect: Searchable, cluster: Cluster, endpoint: Endpoint, done: Done) -> None:
        super().__init__(cluster, endpoint, done)
        self._send, self._expect = send, expect
        self._heard = b""

    def begin(self) -> None:
        self.write(self._send)

    def received(self, data: bytes) -> None:
        self._heard += data
        if self._expect.search(self._heard):
            self.passed()


Make = Callable[[Cluster, Endpoint, Done], Probe]


class Probes:
    """kinds: what each check makes, one after the other; all must pass, within one time-out."""

    def __init__(self, kinds: Sequence[Make]) -> None:
        self.kinds = tuple(kinds)

    def __call__(
        self, cluster: Cluster, endpoint: Endpoint, network: Network, timeout: float, done: Done
    ) -> Callable[[], None]:
        return _Check(self.kinds, cluster, endpoint, network, timeout, done).cancel


class _Check:
    """One check of one endpoint."""

    def __init__(
        self, kinds: Sequence[Make], cluster: Cluster, endpoint: Endpoint, network: Network, timeout: float, done: Done
    ) -> None:
        self._left = list(kinds)
        self._cluster, self._endpoint, self._network, self._done = cluster, endpoint, network, done
        self._timeout = timeout
        self._probe: Probe | None = None
        self._timer: IDelayedCall | None = network.clock.callLater(timeout, self._late)
        self._next()

    def _next(self) -> None:
        probe = self._probe = self._left.pop(0)(self._cluster, self._endpoint, self._told)
        probe.connect(self._network, self._timeout)

    def _told(self, well: bool, text: str) -> None:
        if well and self._left:
            self._next()
            return
        self._stop_timer()
        self._done(well, text)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._probe is not None:
            self._probe.leave()
        self._done(False, f"no answer within {self._timeout:g} s")

    def cancel(self) -> None:
        self._stop_timer()
        if self._probe is not None:
            self._probe.leave()
