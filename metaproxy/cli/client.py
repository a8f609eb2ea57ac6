"""
The admin API, as commands ask it.

Lives here: `Admin`, over TCP or a socket in a folder, and `AdminError`. Does not: what is asked.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from copy import copy
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

T = TypeVar("T")

DEFAULT = "http://127.0.0.1:9901"
Query = Mapping[str, str | float | None]

TIMEOUT = 30.0
"""Seconds for an answer; a stream has a sign of life more often."""


class AdminError(Exception):
    """The API can't be reached, or refused. status: 0 when it can't be reached."""

    def __init__(self, text: str, status: int = 0, content: Mapping[str, object] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.content = content or {}


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Admin:
    """
    where: `http://host:port`, `https://host:port`, `host:port` or `unix:/path`. ca: who signed its certificate, by
    default whom the system trusts; certificate: with its key, where it asks for one. Raises ValueError.
    """

    def __init__(
        self, where: str = DEFAULT, token: str = "", timeout: float = TIMEOUT, ca: str = "", certificate: str = ""
    ) -> None:
        self.where = where
        self._token = token
        self._timeout = timeout
        self._unix = where.removeprefix("unix:") if where.startswith("unix:") else ""
        url = urlsplit(where if "//" in where else f"http://{where}")
        self._tls = _context(ca, certificate) if url.scheme == "https" else None
        try:
            self._port = url.port or (80 if self._tls is None else 443)
        except ValueError:
            self._port = 0
        self._host, self._prefix = url.hostname or "", "" if self._unix else url.path.rstrip("/")
        if not self._unix and (url.scheme not in ("http", "https") or not self._host or not self._port):
            raise ValueError(f"{where!r} is no admin API; write http://127.0.0.1:9901 or unix:/run/metaproxy.sock")

    def patient(self, timeout: float) -> Admin:
        """Return the same API, whose answers may take this many seconds."""
        other = copy(self)
        other._timeout = timeout
        return other

    def _open(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        connection: http.client.HTTPConnection
        if self._unix:
            connection = _UnixConnection(self._unix, self._timeout)
        elif self._tls is not None:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            connection.request(method, f"{self._prefix}{path}", body, headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            if isinstance(error, ConnectionRefusedError | FileNotFoundError):
                text += "; nothing listens there: start the proxy, or write --admin URL with its admin.listen"
            raise AdminError(f"{self.where}: {text}") from error
        return answer

    def ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: bytes | None = None,
        query: Query | None = None,
        also: int = 200,
    ) -> T:
        """
        Return the decoded answer. kind: what it is, one of `answers`. Raises AdminError, unless its status is 200 or
        `also`.
        """
        answer = self._open(method, path + _query(query), body)
        try:
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise AdminError(f"{self.where}: {error}") from error
        if answer.status not in (200, also):
            raise self._error(answer.status, text)
        return decoded(text, kind)

    def get(self, path: str, kind: type[T], /, **query: str | float | None) -> T:
        """Return the decoded answer of a GET. An argument of the query that is None is left out."""
        return self.ask("GET", path, kind, query=query)

    def lines(self, path: str, kind: type[T], /, **query: str | float | None) -> Iterator[T]:
        """Yield the decoded lines of a stream as they come. kind: what each is."""
        answer = self._open("GET", path + _query(query), None)
        if answer.status != 200:
            raise self._error(answer.status, answer.read())
        try:
            for line in answer:
                if line.strip():
                    yield decoded(line, kind)
        except (OSError, http.client.HTTPException) as error:
            raise AdminError(f"{self.where}: {error}") from error

    def _error(self, status: int, text: bytes) -> AdminError:
        try:
            content = json.loads(text)
            return AdminError(f"{self.where}: {content['error']}", status, content)
        except (ValueError, KeyError, TypeError):
            return AdminError(f"{self.where}: status {status}; is it an admin API of metaproxy?", status)


def _context(ca: str, certificate: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca or None)
        if certificate:
            context.load_cert_chain(certificate)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"{ca} {certificate}".strip() + f": {error.strerror or error}") from None
    return context


def _query(query: Query | None) -> str:
    given = {key: value for key, value in (query or {}).items() if value not in (None, "")}
    return f"?{urlencode(given)}" if given else ""


def decoded(text: bytes, kind: type[T]) -> T:
    """Return an answer as a value of its kind. That it is an object is checked, its keys are not: see `answers`."""
    try:
        found: T = json.loads(text)
    except ValueError:
        raise AdminError(f"the answer is no JSON: {text[:100]!r}") from None
    if not isinstance(found, dict):
        raise AdminError(f"the answer is no object of JSON: {text[:100]!r}")
    return found
