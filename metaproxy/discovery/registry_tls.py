"""
TLS to registries, by files of certificates.

Lives here: `Tls`, the options; `RegistryCalls`, HTTP calls that follow them. Does not: the connections themselves
(`clients.tls`), requests (`http_registry`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple, TypeVar, Unpack
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from metaproxy.clients.http import Answer, HttpCalls, HttpFailed, Sent, SentStream
from metaproxy.clients.tls import endpoint
from metaproxy.options import made
from metaproxy.units import Option, OptionsOf

T = TypeVar("T")

MOST = 1 << 20
"""Bytes of a file of certificates, or of a key."""
FILES = ("tls.ca", "tls.certificate", "tls.key")
"""The options that name files."""


class Identity(NamedTuple):
    """What `clients.tls` asks for."""

    server: str
    ca: bytes
    server_name: str
    certificate: bytes
    key: bytes
    insecure: bool = False


class Tls:
    """How servers are verified whose URL is https, and what the proxy shows them. Files are read with connections."""

    def __init__(
        self,
        ca: Annotated[
            str, Option("The path of the certificates in PEM that a server's must come from.", default="the system's")
        ] = "",
        certificate: Annotated[str, Option("The path of the proxy's own certificate in PEM, and its chain.")] = "",
        key: Annotated[str, Option("The path of its key, in PEM.", default="none")] = "",
        server_name: Annotated[str, Option("What a server's certificate must name.", default="the URL's host")] = "",
    ) -> None:
        if bool(certificate) != bool(key):
            raise ValueError("certificate and key go together; write both")
        self.paths = ca, certificate, key
        self.server_name = server_name
        self.identity("https://127.0.0.1")

    def identity(self, server: str) -> Identity:
        """The content of the files. Raises ValueError for one that can't be read."""
        ca, certificate, key = (_read(path) for path in self.paths)
        return Identity(server, ca, self.server_name, certificate, key)


TlsOption = Annotated[
    dict[str, object] | None,
    OptionsOf(Tls),
    Option("For servers whose URL is https.", default="the system's certificates"),
]


def tls_of(spec: Mapping[str, object] | None) -> Tls | None:
    """What is written under `tls`. Raises OptionError."""
    return made(Tls, spec, "tls") if spec is not None else None


def _read(path: str) -> bytes:
    if not path:
        return b""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if len(data) > MOST:
        raise ValueError(f"{path}: more than {MOST} bytes")
    return data


class RegistryCalls:
    """
    HTTP calls. Each https server has connections of its own; after a failure its certificates are read again, as they
    may have been renewed.
    """

    def __init__(self, reactor: IReactorTime, tls: Tls | None) -> None:
        self._reactor = reactor
        self._tls = tls
        self._plain = HttpCalls(reactor)
        self._secured: dict[str, HttpCalls] = {}

    def call(self, method: str, url: str, timeout: float, **sent: Unpack[Sent]) -> Deferred[Answer]:
        """As that of HttpCalls."""
        return self._asked(url, lambda calls: calls.call(method, url, timeout, **sent))

    def stream(
        self,
        url: str,
        patience: float,
        timeout: float,
        received: Callable[[bytes], None],
        **sent: Unpack[SentStream],
    ) -> Deferred[Answer]:
        """As that of HttpCalls."""
        return self._asked(url, lambda calls: calls.stream(url, patience, timeout, received, **sent))

    def close(self) -> None:
        secured, self._secured = self._secured, {}
        for calls in (self._plain, *secured.values()):
            calls.close()

    def _asked(self, url: str, ask: Callable[[HttpCalls], Deferred[Answer]]) -> Deferred[Answer]:
        parts = urlsplit(url)
        if parts.scheme != "https" or self._tls is None:
            return ask(self._plain)
        server = f"https://{parts.netloc}"
        calls = self._secured.get(server)
        if calls is None:
            try:
                there = endpoint(self._tls.identity(server), self._reactor)
            except ValueError as error:
                return fail(HttpFailed(str(error)))
            calls = self._secured[server] = HttpCalls(self._reactor, lambda _: there)
        return ask(calls).addErrback(self._forget, server, calls)

    def _forget(self, why: Failure, server: str, calls: HttpCalls) -> Failure:
        if self._secured.get(server) is calls:
            del self._secured[server]
            calls.close()
        return why
