"""
TLS between a socket and the protocol that reads it.

Lives here: `TlsTransport`, which stands in the place of a connection's protocol and gives the protocol behind it plain
bytes and a transport of its own; `ServerTls` and `ClientTls`, what is needed to begin. Does not: files and certificates
(`certificates`), sockets (`transport`).

It is the standard library's `ssl` on memory buffers: it sees no socket, so it works behind a PROXY header that was read
too far, over any transport, and in tests without any. A connection without TLS passes nothing of this.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from metaproxy.cluster.roles import UpstreamTls
from metaproxy.message import Written, joined
from metaproxy.proxy.certificates import NamedTls, reason_of
from metaproxy.proxy.distinguished_names import distinguished_name
from metaproxy.wire import READ_SIZE, Wire, WireProtocol


class ServerTls:
    """
    A listener's side. context: exchanged when certificates change; connections that are there keep theirs. names: as a
    `ClientTls` has them, of clients' certificates. start: '' where a connection begins with TLS; 'required' or
    'optional' where its protocol begins it.
    """

    __slots__ = ("context", "names", "not_after", "patience", "start")

    def __init__(
        self,
        context: ssl.SSLContext,
        patience: float = 10.0,
        not_after: float = 0.0,
        names: Collection[str] = (),
        start: str = "",
    ) -> None:
        self.start = start
        self.names = frozenset(names)
        self.context = context
        self.patience = patience
        self.not_after = not_after


class ClientTls:
    """
    A cluster's side. server_name: what its servers' certificates must name, None for the host that is dialled;
    names: alternative names of which a certificate must have one, in the place of that; () for any. when: metadata of
    the endpoints that it is for; the others are spoken to without TLS. unavailable: why no connection can be made.
    start: as a ServerTls has it.
    """

    __slots__ = ("context", "names", "patience", "server_name", "start", "unavailable", "when")

    def __init__(
        self,
        context: ssl.SSLContext,
        server_name: str | None = None,
        patience: float = 10.0,
        names: Collection[str] = (),
        when: Mapping[str, str] | None = None,
        unavailable: str = "",
        start: str = "",
    ) -> None:
        self.start = start
        self.context = context
        self.server_name = server_name
        self.patience = patience
        self.names = frozenset(names)
        self.when = dict(when or {})
        self.unavailable = unavailable

    def meant_for(self, metadata: Mapping[str, str]) -> bool:
        return all(metadata.get(key) == value for key, value in self.when.items())


class Owner(Protocol):
    """What hears of a connection that failed. Exactly one of `TlsTransport`'s protocol and this is."""

    def __call__(self, text: str, timed_out: bool) -> None: ...


class TlsTransport:
    """
    The protocol of a socket. inner: the protocol behind it, whose makeConnection is called once the handshake is done;
    failed(text, timed_out): it was not, and the socket is closed.
    """

    def __init__(
        self,
        side: ServerTls | UpstreamTls,
        inner: WireProtocol,
        clock: IReactorTime,
        failed: Owner,
        host: str | None = None,
    ) -> None:
        self.inner: WireProtocol | None = inner
        self.transport: Wire | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        if isinstance(side, ServerTls):
            self._tls = side.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        else:
            self._tls = side.context.wrap_bio(self._incoming, self._outgoing, server_hostname=side.server_name or host)
        self._names = side.names
        self._may_show_none = isinstance(side, ServerTls) and side.context.verify_mode is not ssl.CERT_REQUIRED
        self._unavailable = "" if isinstance(side, ServerTls) else side.unavailable
        self._clock = clock
        self._patience = side.patience
        self._failed: Owner | None = failed
        self._timer: IDelayedCall | None = None
        self._plain: _Plain | None = None
        self._ended = False  # the socket brings no more
        self.over = False  # nothing more is handed to `inner`

    # -- the socket's protocol

    def makeConnection(self, transport: Wire) -> None:
        self.transport = transport
        if self._unavailable:
            self._fail(self._unavailable, False)
            return
        self._timer = self._clock.callLater(self._patience, self._too_late)
        self._shake()

    def connectionFailed(self, text: str, timed_out: bool) -> None:
        """There was not even a socket."""
        self._fail(text, timed_out)

    def dataReceived(self, data: bytes) -> None:
        if self.over:  # bytes after the peer's goodbye would only pile up
            return
        self._incoming.write(data)
        if self._plain is None:
            self._shake()
        if self._plain is not None:
            self._read()

    def end_seen(self) -> None:
        """See transport.Connection: the protocol reads nothing now."""
        seen = getattr(self.inner, "end_seen", None)
        if self._plain is not None and seen is not None:
            seen()

    def readConnectionLost(self) -> None:
        """The peer sends no more. A protocol with frames notices by itself when it stopped in the middle of one."""
        self._incoming.write_eof()
        self._ended = True
        if self._plain is None:
            self._fail("the connection was closed during the TLS handshake", False)
        elif not self.over:
            self._read()

    def connectionLost(self, reason: Failure) -> None:
        self._stop_timer()
        inner, plain = self.inner, self._plain
        if plain is None or inner is None:
            self._fail(f"the connection was lost during the TLS handshake: {reason.getErrorMessage()}", False)
            self.inner = None
            return
        self.over = plain.closing = True
        self.inner = self._plain = None  # they point back here: no cycle is left
        inner.connectionLost(reason)

    def pauseProducing(self) -> None:
        """The socket is full."""
        if self._plain is not None and self.inner is not None:
            self.inner.pauseProducing()

    def resumeProducing(self) -> None:
        if self._plain is not None and self.inner is not None:
            self.inner.resumeProducing()

    def stopProducing(self) -> None:
        """The transport ends; connectionLost follows."""

    # -- the handshake

    def _shake(self) -> None:
        if self.over:
            return
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, ssl.CertificateError) as error:
            self._flush()  # an alert says why
            self._fail(f"TLS handshake: {reason_of(error)}", False)
            return
        certificate = self._tls.getpeercert() if self._names else None
        if self._names and (certificate or not self._may_show_none):
            missing = _missing_name(certificate or {}, self._names)
            if missing:
                self._fail(f"TLS handshake: {missing}", False)
                return
        self._stop_timer()
        self._failed = None  # as it points back here, by way of `inner`
        self._flush()
        assert self.inner is not None and self.transport is not None  # until connectionLost
        self._plain = _Plain(self, self.transport)
        self.inner.makeConnection(self._plain)

    def _too_late(self) -> None:
        self._timer = None
        self._fail(f"no TLS handshake within {self._patience:g} s", True)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _fail(self, text: str, timed_out: bool) -> None:
        """The end before the beginning."""
        if self.over:
            return
        self.over = True
        self._stop_timer()
        if self.transport is not None:
            self.transport.loseConnection()
        failed, self._failed = self._failed, None
        if failed is not None:
            failed(text, timed_out)

    # -- bytes

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and self.transport is not None:
            self.transport.write(data)

    def _read(self) -> None:
        """Hands over what can be decrypted, as long as the protocol wants it."""
        plain, inner = self._plain, self.inner
        assert plain is not None and inner is not None
        while not (plain.paused or plain.closing or self.over):
            try:
                data = self._tls.read(READ_SIZE)
            except ssl.SSLWantReadError:
                self._flush()  # an answer to a change of keys
                return
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                data = b""
            except ssl.SSLError as error:
                self.over = True
                self._flush()
                plain.error = reason_of(error)
                plain.abortConnection()
                return
            if not data:
                self.over = True
                inner.readConnectionLost()
                return
            inner.dataReceived(data)

    def write(self, data: bytes) -> None:
        try:
            self._tls.write(data)
        except ssl.SSLError:  # it is over, and connectionLost is on its way
            return
        self._flush()

    def read_on(self) -> None:
        """The protocol reads again: what was decrypted meanwhile comes before what the socket has."""
        if self._plain is not None and not self._plain.paused:
            self._read()

    def goodbye(self) -> None:
        """Tells the peer that nothing follows; its own goodbye is not waited for."""
        try:
            self._tls.unwrap()
        except (ssl.SSLError, OSError, ValueError):
            pass
        self._flush()

    def pending(self) -> bool:
        return bool(self._tls.pending() or self._incoming.pending)

    def owes(self) -> bool:
        """Whether it holds what no event of the socket will bring: bytes, or their end."""
        return not self.over and (self._ended or self.pending())

    @property
    def tls(self) -> ssl.SSLObject:
        return self._tls


def begin_tls(
    side: ServerTls | UpstreamTls,
    inner: WireProtocol,
    transport: Wire,
    clock: IReactorTime,
    failed: Owner,
    host: str | None = None,
    rest: bytes = b"",
) -> None:
    """
    Put TLS between a connection that is there and its protocol, whose makeConnection is called again behind the
    handshake, or else `failed`. rest: what was read of the handshake.
    """
    secured = TlsTransport(side, inner, clock, failed, host)
    transport.hand_to(secured)
    secured.makeConnection(transport)
    if rest:
        secured.dataReceived(rest)


class _Plain:
    """The transport of the protocol behind TLS: what `transport.Connection` is to others."""

    disconnecting = False

    def __init__(self, secured: TlsTransport, socket: Wire) -> None:
        self._secured = secured
        self._socket = socket
        self.closing = self.finished = False
        self.paused = False
        self.error = ""
        self.facts: Mapping[str, str] = {**getattr(self._socket, "facts", {}), **facts(secured.tls)}

    def write(self, data: Written) -> None:
        if not self.closing and not self.finished:
            self._secured.write(bytes(data))

    def writeSequence(self, pieces: list[Written]) -> None:
        self.write(pieces[0] if len(pieces) == 1 else joined(pieces))

    def pauseProducing(self) -> None:
        self.paused = True
        self._socket.pauseProducing()

    def resumeProducing(self) -> None:
        self.paused = False
        self._socket.resumeProducing()
        if self._secured.owes():
            self._secured._clock.callLater(0, self._secured.read_on)

    def stopProducing(self) -> None:
        self.loseConnection()

    def registerProducer(self, producer: WireProtocol, streaming: bool) -> None:
        """Pass a full socket on to the protocol behind it."""

    def unregisterProducer(self) -> None:
        """See registerProducer."""

    def loseConnection(self) -> None:
        if not self.closing:
            self.closing = True
            self._secured.goodbye()
            self._socket.loseConnection()

    def hand_to(self, protocol: WireProtocol) -> None:
        self._secured.inner = protocol

    def loseWriteConnection(self) -> None:
        """Say goodbye behind what was written, and read on."""
        if not self.closing and not self.finished:
            self.finished = True
            self._secured.goodbye()
            self._socket.loseWriteConnection()

    def abortConnection(self) -> None:
        self.closing = True
        self._socket.abortConnection()

    def resetConnection(self) -> None:
        self.closing = True
        getattr(self._socket, "resetConnection", self._socket.abortConnection)()

    def weigh(self, size: int, messages: int) -> None:
        """A record is small: it is read as before."""

    def keep_alive(self, idle: float, interval: float, count: int) -> None:
        self._socket.keep_alive(idle, interval, count)

    @property
    def buffered(self) -> int:
        return int(self._socket.buffered)

    @property
    def unread(self) -> bool:
        secured = self._secured
        return not secured.over and (secured.pending() or bool(getattr(self._socket, "unread", False)))

    def getPeer(self) -> str:
        return str(self._socket.getPeer())

    def getHost(self) -> str:
        return str(self._socket.getHost())


def _pairs(found: object) -> Iterator[tuple[str, str]]:
    """Names with their values in what the library gives of a certificate: tuples of tuples, as deep as it likes."""
    if isinstance(found, tuple):
        if len(found) == 2 and isinstance(found[0], str):
            if isinstance(found[1], str):
                yield found[0], found[1]
            return
        for part in found:
            yield from _pairs(part)


def _missing_name(certificate: Mapping[str, object], wanted: frozenset[str]) -> str:
    """
    What is wrong with a certificate, '' for nothing: one of its URIs or DNS names must be wanted, or begin with one
    that ends in `*`.
    """
    found = [name.lower() if kind == "DNS" else name for kind, name in _pairs(certificate.get("subjectAltName"))
             if kind in ("DNS", "URI")]  # fmt: skip
    prefixes = tuple(one[:-1] for one in wanted if one.endswith("*"))
    if not wanted.isdisjoint(found) or any(name.startswith(prefixes) for name in found):
        return ""
    has = ", ".join(found[:5]) or "none"
    return f"certificate refused: it has none of the subject_alt_names {', '.join(sorted(wanted))}; it has {has[:500]}"


def facts(tls: ssl.SSLObject) -> dict[str, str]:
    """
    What is known of a connection by TLS, for routes, filters and logs; only what the handshake proved.

    source.identity: of the client's certificate the first URI (SPIFFE), else DNS name, else common name, unless that
    looks like a URI: what an authority lets others choose must not pass for what it vouches for. tls.sni: the name that
    a client asked for; tls.alpn: the protocol that both agreed on.
    """
    found = {"tls.version": tls.version() or ""}
    agreed = tls.selected_alpn_protocol()
    if agreed:
        found["tls.alpn"] = agreed
    if isinstance(tls, NamedTls) and tls.asked_name:
        found["tls.sni"] = tls.asked_name
    certificate: Mapping[str, object] = tls.getpeercert() or {}
    subject = dict(_pairs(certificate.get("subject")))
    names: dict[str, list[str]] = {}
    for kind, value in _pairs(certificate.get("subjectAltName")):
        names.setdefault(kind, []).append(value)
    uris, others = names.get("URI", []), [*names.get("DNS", []), subject.get("commonName", "")]
    identity = uris[0] if uris else next((name for name in others if name), "")
    if identity and (uris or ":" not in identity):
        found["source.identity"] = identity
    if subject:
        found["source.subject"] = ",".join(f"{key}={value}" for key, value in subject.items())
        found["source.distinguished_name"] = distinguished_name(certificate.get("subject"))
    for kind, key in (("URI", "source.uri_san"), ("DNS", "source.dns_san")):
        if kind in names:
            found[key] = ",".join(names[kind])
    return found
