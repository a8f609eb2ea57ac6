"""
Requests to an API server: a page of a list, a watch, a change of a status.

Lives here: `Api`, `ApiError`, `Page`. Does not: when to ask again (`watch`), what an object means.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from metaproxy.clients.http import Answer, HttpCalls, HttpFailed
from metaproxy.clients.tls import endpoint
from metaproxy.kubernetes.credentials import Credentials, CredentialsError, Source
from metaproxy.kubernetes.resources import Key, Object, Resource, Scope, items, mapping, text, version_of
from metaproxy.support.bounded_json import loads

PATIENCE = 30.0
"""Seconds that an answer may take; of a watch, its status."""
PAGE = 100
"""Objects of a page. Reading one holds up the data path."""
PAGE_BYTES = 32 << 20
"""Bytes of a page: a server keeps no object of more than 1.5 MiB, and objects are far smaller."""
LINE = 4 << 20
"""Bytes of one event of a watch."""
_MOST_WAIT = 60.0
"""Seconds that a server may ask to be left alone for."""


class ApiError(Exception):
    """
    An answer that is a refusal, or none. status: 0 for no answer. wait: seconds that the server asks to be left alone.
    """

    def __init__(self, why: str, status: int = 0, wait: float = 0.0) -> None:
        super().__init__(why)
        self.status = status
        self.wait = wait


class Page(NamedTuple):
    """A part of a list. version: of the whole list; rest: asks for the next page, "" at the last; size: its bytes."""

    found: list[Object]
    version: str
    rest: str
    size: int


class Api:
    """One server with one set of credentials, which are read again after each failure."""

    def __init__(self, source: Source, reactor: IReactorTime) -> None:
        self._source = source
        self._reactor = reactor
        self._credentials: Credentials | None = None
        self._doubtful = False
        self._calls: HttpCalls | None = None

    @property
    def server(self) -> str:
        """The server's URL; "" before it is known."""
        return self._credentials.server if self._credentials is not None else ""

    def page(self, scope: Scope, rest: str = "", limit: int = PAGE) -> Deferred[Page]:
        """Fires with a page. Fails with ApiError; status 410: `rest` is too old, begin from the first page."""
        path = _url(scope.path, {"limit": str(limit), "continue": rest, **scope.selectors})
        return self._ask("GET", path, most=PAGE_BYTES).addCallback(_page, scope.resource)

    def watch(self, scope: Scope, version: str, seconds: float, received: Callable[[bytes], None]) -> Deferred[None]:
        """
        Hand pieces of the lines of a watch to `received`, from a version on. Fires when the server has ended it, which
        it does after so many seconds. Fails with ApiError; status 410: the version is too old.
        """
        parameters = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": version,
                      "timeoutSeconds": f"{seconds:.0f}", **scope.selectors}  # fmt: skip
        path = _url(scope.path, parameters)
        try:
            calls, url, headers = self._prepared(path)
        except CredentialsError as error:
            return fail(self._failed(Failure(error)))
        asked = calls.stream(url, PATIENCE, seconds + PATIENCE, received, headers)
        return asked.addCallbacks(self._checked, self._failed).addCallback(lambda _: None)

    def apply_status(
        self, resource: Resource, key: Key, status: Mapping[str, object], manager: str
    ) -> Deferred[Object]:
        """
        Say what a status is to be, by server-side apply: fields of other managers stay. Fires with the object; fails
        with ApiError, status 409 when another manager has one of these fields.
        """
        found = {"apiVersion": resource.api_version, "kind": resource.kind,
                 "metadata": {"name": key.name, "namespace": key.namespace}, "status": status}  # fmt: skip
        path = _url(resource.path(key, "status"), {"fieldManager": manager})
        headers = {"content-type": "application/apply-patch+yaml"}
        return self._ask("PATCH", path, json.dumps(found).encode(), headers).addCallback(_object)

    def apply(self, resource: Resource, key: Key, found: Object, manager: str) -> Deferred[Object]:
        """
        Say what an object is to be, by server-side apply: it is made where it is not there, and fields that others have
        become this manager's. Fires with the object; fails with ApiError.
        """
        path = _url(resource.path(key), {"fieldManager": manager, "force": "true"})
        headers = {"content-type": "application/apply-patch+yaml"}
        return self._ask("PATCH", path, json.dumps(found).encode(), headers).addCallback(_object)

    def close(self) -> Deferred[None] | None:
        """Close the connections that are not in use; cancel what is under way first."""
        calls, self._calls, self._credentials = self._calls, None, None
        return calls.close() if calls is not None else None

    def _ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, most: int = LINE
    ) -> Deferred[Answer]:
        try:
            calls, url, own = self._prepared(path)
        except CredentialsError as error:
            return fail(self._failed(Failure(error)))
        asked = calls.call(method, url, PATIENCE, [*own, *(headers or {}).items()], body, most)
        return asked.addCallbacks(self._checked, self._failed)

    def _prepared(self, path: str) -> tuple[HttpCalls, str, list[tuple[str, str]]]:
        """Return how to call, the URL and the headers. Raises CredentialsError."""
        if self._calls is None or self._credentials is None or self._doubtful:
            self._renew(self._source())
        assert self._calls is not None and self._credentials is not None
        headers = [("accept", "application/json"), ("user-agent", "metaproxy")]
        bearer = self._credentials.bearer()
        if bearer:
            headers.append(("authorization", f"Bearer {bearer}"))
        return self._calls, self._credentials.server + path, headers

    def _renew(self, credentials: Credentials) -> None:
        """Call with these from now on. What is under way goes on."""
        if self._calls is None or credentials != self._credentials:
            try:
                there = endpoint(credentials, self._reactor)
            except ValueError as error:
                raise CredentialsError(str(error)) from error
            if self._calls is not None:
                self._calls.close()
            self._calls = HttpCalls(self._reactor, lambda _: there)
        self._credentials, self._doubtful = credentials, False

    def _failed(self, why: Failure) -> Failure:
        """Fail for want of an answer."""
        self._doubtful = True
        where = "" if why.check(CredentialsError) else f"{self.server}: "
        return Failure(ApiError(f"{where}{why.getErrorMessage()}")) if why.check(HttpFailed, CredentialsError) else why

    def _checked(self, answer: Answer) -> Answer:
        """Return an answer that is no refusal. Raises ApiError."""
        if answer.status < 300:
            return answer
        self._doubtful = self._doubtful or answer.status == 401
        raise ApiError(f"{self.server}: {answer.status} {_reason(answer.body)}".rstrip(), answer.status, _wait(answer))


def _url(path: str, parameters: Mapping[str, str]) -> str:
    given = {name: value for name, value in parameters.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def _reason(body: bytes) -> str:
    """Return what the server's Status says, in a line."""
    try:
        said = text(mapping(loads(body)).get("message"))
    except ValueError:
        said = body[:200].decode("utf-8", "replace")
    return " ".join(said.split())[:300]


def _wait(answer: Answer) -> float:
    """Return the seconds of Retry-After; 0 when there is none that can be read."""
    asked = next((value for name, value in answer.headers if name == "retry-after"), "")
    return min(float(asked), _MOST_WAIT) if asked.isascii() and asked.isdecimal() else 0.0


def _object(answer: Answer) -> Object:
    """Return the object of an answer. Raises ApiError."""
    try:
        found = loads(answer.body)
    except ValueError as error:
        raise ApiError(f"an answer that is no JSON: {error}") from error
    return mapping(found)


def _page(answer: Answer, resource: Resource) -> Page:
    found = _object(answer)
    version = version_of(found)
    if not version:
        raise ApiError(f"an answer without a list of {resource.label}")
    common = {"apiVersion": resource.api_version, "kind": resource.kind}  # a list's items may leave them out
    objects: list[Object] = [{**common, **one} for one in items(found.get("items")) if isinstance(one, dict)]
    return Page(objects, version, text(mapping(found.get("metadata")).get("continue")), len(answer.body))
