"""
Connections to a server that is watched: TCP that notices when the other end is gone, TLS by certificates in memory.

Lives here: `endpoint`, and what it needs to know (`Identity`). Does not: requests (`http`), files of certificates.
Needs the extra `tls` where the server's URL is https.
"""

from __future__ import annotations

import re
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)  # fmt: skip
from twisted.internet.protocol import Factory
from zope.interface import implementer

if TYPE_CHECKING:
    from OpenSSL.crypto import X509, PKey
    from OpenSSL.SSL import Connection, Context
    from twisted.protocols.tls import TLSMemoryBIOProtocol

CONNECT = 5.0
"""Seconds that a connection may take."""
_IDLE, _EVERY, _PROBES = 15, 5, 3
"""Seconds without a byte before the other end is probed, between probes, and how many must fail: 30 s in all."""


class Identity(Protocol):
    """
    server: a URL. ca: certificates in PEM that the server's must come from, b"" for the system's; insecure: whether any
    will do. server_name: what the server's certificate must name, "" for the host of the URL. certificate, key: the
    client's, in PEM.
    """

    @property
    def server(self) -> str: ...
    @property
    def ca(self) -> bytes: ...
    @property
    def insecure(self) -> bool: ...
    @property
    def server_name(self) -> str: ...
    @property
    def certificate(self) -> bytes: ...
    @property
    def key(self) -> bytes: ...


def endpoint(credentials: Identity, reactor: IReactorTime) -> IStreamClientEndpoint:
    """Return how the server is reached. Raises ValueError for certificates or keys that are none."""
    url = urlsplit(credentials.server)
    host, secure = url.hostname or "", url.scheme == "https"
    plain = _KeptAlive(HostnameEndpoint(reactor, host, url.port or (443 if secure else 80), CONNECT))
    return _Quiet(wrapClientTLS(_creator(credentials, host), plain) if secure else plain)


@implementer(IStreamClientEndpoint)
class _Quiet:
    """The factory of each connection would say in the log that it begins and ends."""

    def __init__(self, inner: IStreamClientEndpoint) -> None:
        self._inner = inner

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        if isinstance(factory, Factory):
            factory.noisy = False
        made: Deferred[IProtocol] = self._inner.connect(factory)
        return made


@implementer(IStreamClientEndpoint)
class _KeptAlive:
    """A watch has nothing to send: only the kernel's probes find out that its server has vanished."""

    def __init__(self, inner: IStreamClientEndpoint) -> None:
        self._inner = inner

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        made: Deferred[IProtocol] = self._inner.connect(factory)
        return made.addCallback(_probed)


def _probed(protocol: IProtocol) -> IProtocol:
    opened: socket.socket = protocol.transport.getHandle()  # type: ignore[attr-defined]  # every protocol has it
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", _IDLE), ("TCP_KEEPINTVL", _EVERY), ("TCP_KEEPCNT", _PROBES)):
        if hasattr(socket, name):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return protocol


def _creator(credentials: Identity, host: str) -> IOpenSSLClientConnectionCreator:
    from OpenSSL import SSL, crypto
    from twisted.internet import ssl

    try:
        own = _client_certificate(credentials)
        if credentials.insecure:
            options = ssl.CertificateOptions(own.key, own.certificate, extraCertChain=own.chain)
            return _Unverified(options.getContext(), host)
        roots = _certificates(credentials.ca)
        trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(one) for one in roots]) if roots else None
        extra = {"privateKey": own.key, "certificate": own.certificate, "extraCertChain": own.chain}
        return ssl.optionsForClientTLS(credentials.server_name or host, trust, extraCertificateOptions=extra)
    except (SSL.Error, crypto.Error, ValueError) as error:
        raise ValueError(f"{credentials.server}: a certificate or key can't be used: {error}") from error


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    """As `insecure-skip-tls-verify` asks: any certificate will do."""

    def __init__(self, context: Context, host: str) -> None:
        self._context = context
        self._name = b"" if _is_ip(host) else host.encode("idna")

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> Connection:
        from OpenSSL.SSL import Connection

        connection = Connection(self._context, None)
        if self._name:
            connection.set_tlsext_host_name(self._name)
        return connection


_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def _certificates(pem: bytes) -> list[bytes]:
    """Return each certificate of a PEM text, () of none. Raises ValueError for a text without one."""
    found = _CERTIFICATE.findall(pem)
    if pem and not found:
        raise ValueError("no certificate in PEM")
    return found


class _Own(NamedTuple):
    """The client's certificate; all None for a client without one."""

    certificate: X509 | None
    key: PKey | None
    chain: list[X509] | None


def _client_certificate(credentials: Identity) -> _Own:
    from OpenSSL import crypto

    if not credentials.certificate:
        return _Own(None, None, None)
    first, *chain = [
        crypto.load_certificate(crypto.FILETYPE_PEM, one + b"\n") for one in _certificates(credentials.certificate)
    ]
    return _Own(first, crypto.load_privatekey(crypto.FILETYPE_PEM, credentials.key, passphrase=b""), chain)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
