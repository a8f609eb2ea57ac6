"""
The admin API's tree: which endpoint answers a request, and how answers and errors look.

Lives here: `Endpoint`, `AdminRequest`, `AdminResponse`, `HttpError`, `Root`. Does not: what an endpoint does (a module
a family), who may ask (`guard`), sockets (`service`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import ClassVar, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from metaproxy.admin.live import Live
from metaproxy.config.slices import Slices, checkpoint
from metaproxy.support.bounded_json import loads
from metaproxy.support.nearest_name import did_you_mean
from metaproxy.support.words import words

log = Logger()

METHODS = ("GET", "POST", "PUT", "DELETE")
"""HEAD is answered where GET is."""

MAX_JSON = 1 << 20
"""Bytes of a body of JSON; a configuration, which is none, may have more."""

Headers = Mapping[str, str]
Json = dict[str, object]
"""An object of JSON: an answer, or a part of one."""


class AdminRequest:
    """A request. place: the parts of the path that stand for `{...}`; query: the last value of each parameter."""

    __slots__ = ("_request", "body", "method", "place", "query")

    def __init__(self, request: Request, method: str, place: Mapping[str, str]) -> None:
        self._request = request
        self.method = method
        self.place = place
        query = request.uri.partition(b"?")[2].decode("utf-8", "replace")
        self.query = dict(parse_qsl(query, keep_blank_values=True))
        self.body: bytes = request.content.read() if request.content is not None else b""

    def header(self, name: str) -> str:
        """Its first value, '' when it is not there."""
        return _header(self._request, name) or ""

    def number(self, key: str, default: float, most: float) -> float:
        """Return a parameter of the query that is above 0. Raises HttpError."""
        text = self.query.get(key)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 < value <= most:
            raise HttpError(400, f"{text[:100]!r} is no number above 0 and up to {most:g}", key)
        return value

    def text(self) -> str:
        """Return the body. Raises HttpError when it is empty."""
        if not self.body.strip():
            raise HttpError(400, "no body; send a configuration", "body")
        return self.body.decode("utf-8", "surrogateescape")

    def json(self, shape: str, most: int = MAX_JSON) -> object:
        """Return the body as JSON, None when empty. Raises HttpError when it is wrong; shape: what to write."""
        if len(self.body) > most:
            raise HttpError(413, f"a body of {len(self.body)} bytes; allowed are {most}", "body")
        if not self.body.strip():
            return None
        try:
            value: object = loads(self.body)
            return value
        except ValueError as error:
            why = str(error) if "levels" in str(error) else "not JSON"
            raise HttpError(400, f"{why}; write {shape}", "body") from None


class AdminResponse:
    """body: bytes, pieces that are made while the reactor goes on in between, or lines as they come."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        body: bytes | Iterator[bytes] | Live,
        content_type: str = "text/plain; charset=utf-8",
        status: int = 200,
        headers: Headers | None = None,
    ) -> None:
        self.body = body
        self.content_type = content_type
        self.status = status
        self.headers = headers or {}


class HttpError(Exception):
    """
    An answer of 4xx: what is wrong, and where: a parameter, a header, a place in a configuration. more: other keys of
    the JSON.
    """

    def __init__(
        self,
        status: int,
        error: str,
        where: str,
        headers: Headers | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.headers = headers or {}
        self.content = {"error": error, "where": where, **(more or {})}

    def answer(self) -> AdminResponse:
        return as_json(self.content, self.status, self.headers)


_ENCODER = json.JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False, default=words)
ENCODED_AT_ONCE = 1000
"""Pieces of JSON, such as a key or a value, that are made before other work may go on."""
PARTS_AT_ONCE = 100
"""So many of these parts are sent as one."""
ROWS_AT_ONCE = 500
"""Keys with a short value that are made before other work may go on."""


def encoded(data: object) -> bytes:
    """JSON: indented, keys sorted; pleasant to read, and equal for equal content."""
    return b"".join(_parts_of(data))


def _parts_of(data: object) -> list[bytes]:
    pieces = _ENCODER.iterencode(data)
    parts = []
    while piece := "".join(islice(pieces, ENCODED_AT_ONCE)):
        # A lone surrogate becomes an escape, which is what JSON has for it.
        parts.append(piece.encode("utf-8", "backslashreplace"))
        checkpoint()
    parts.append(b"\n")
    return parts


def as_json(data: object, status: int = 200, headers: Headers | None = None) -> AdminResponse:
    parts = _parts_of(data)
    body = iter(parts) if len(parts) > PARTS_AT_ONCE else b"".join(parts)  # to put many MiB together takes long, too
    return AdminResponse(body, "application/json", status, headers)


def as_json_object(rows: Iterator[tuple[str, object]]) -> AdminResponse:
    """An object of these keys and values, none of which has a length to speak of, in the order in which they come."""
    parts, before = [], "{\n  "
    while row := ",\n  ".join(
        f"{_ENCODER.encode(key)}: {_ENCODER.encode(value)}" for key, value in islice(rows, ROWS_AT_ONCE)
    ):
        parts.append((before + row).encode("utf-8", "backslashreplace"))
        before = ",\n  "
        checkpoint()
    parts.append(b"\n}\n" if parts else b"{}\n")
    return AdminResponse(iter(parts) if len(parts) > PARTS_AT_ONCE else b"".join(parts), "application/json")


Item = TypeVar("Item")

AT_ONCE = 16
"""Items of a list that are answered in one piece."""


def as_json_list(name: str, items: Sequence[Item], show: Callable[[Item], object]) -> AdminResponse:
    """
    `{name: [...]}`, as `as_json` has it; a long list is made item by item while the proxy does its work in between.
    show: what JSON has for an item.
    """
    if len(items) <= AT_ONCE:
        return as_json({name: [show(item) for item in items]})
    return AdminResponse(_list_pieces(name, items, show), "application/json")


def _list_pieces(name: str, items: Sequence[Item], show: Callable[[Item], object]) -> Iterator[bytes]:
    before = b"{\n  %b: [\n    " % json.dumps(name).encode()
    for item in items:
        yield before + encoded(show(item)).strip().replace(b"\n", b"\n    ")
        before = b",\n    "
    yield b"\n  ]\n}\n"


def as_time(unix: float) -> str | None:
    """Unix time as people and machines read it; None for 0, which stands for never."""
    if not unix:
        return None
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of an error about a name that is not there."""
    others = f"there are {', '.join(map(repr, sorted(known)[:10]))}" if known else "there are none"
    return did_you_mean(name, known, others)


class Endpoint:
    """
    One path, with a method of its own name in lower case for each of METHODS that it takes; each gets an AdminRequest
    and returns an AdminResponse, or a Deferred of one, or raises HttpError.

    path: such as '/clusters' or '/clusters/{name}'; `{rest*}` at its end stands for one part or more. aliases: other
    names for it, without `{`. about: a line for the index and the docs. open: whether it is answered without a token,
    too. sliced: whether its answer may take long to make: it is made while the proxy does its work in between, so what
    it walks over may change at each `checkpoint`. shows_filters: whether it has what filters measure and collect.
    """

    path: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    about: ClassVar[str]
    open: ClassVar[bool] = False
    sliced: ClassVar[bool] = False
    shows_filters: ClassVar[bool] = False

    def methods(self) -> list[str]:
        return [method for method in METHODS if hasattr(self, method.lower())]


class Checks(Protocol):
    """The role of guard.Guard."""

    def check(self, method: str, header: Callable[[str], str | None], open: bool) -> None:
        """Raise HttpError unless the request may be answered."""


class Root(Resource):
    """Answers every path. clock: the reactor's."""

    isLeaf = True

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        guard: Checks,
        clock: IReactorTime,
        before: Callable[[bool], Deferred[None]] | None = None,
    ) -> None:
        """before: called with Endpoint.shows_filters before what reads is answered; the answer waits for it."""
        super().__init__()
        self._before = before
        self._slices = Slices(clock)
        self.endpoints = endpoints
        self._guard = guard
        self._clock = clock
        self._exact = {
            path: endpoint for endpoint in endpoints for path in (endpoint.path, *endpoint.aliases) if "{" not in path
        }

    def render(self, request: Request) -> int:
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        done: Deferred[AdminResponse] = maybeDeferred(lambda: _later(self._answer(request)))
        done.addErrback(_failed, request)
        done.addCallback(lambda answer: None if gone else self._write(request, answer))
        return NOT_DONE_YET

    def _answer(self, request: Request) -> AdminResponse | Deferred[AdminResponse]:
        asked = request.method.decode("latin-1")
        method = "GET" if asked == "HEAD" else asked
        endpoint, place = self._find(request.path.decode("latin-1"))
        self._guard.check(method, lambda name: _header(request, name), endpoint is not None and endpoint.open)
        if endpoint is None:
            path = unquote(request.path.decode("latin-1"))
            raise HttpError(404, f"no endpoint {path[:200]!r}; {nearest(path, list(self._exact))}", "path")
        call = getattr(endpoint, method.lower(), None) if method in METHODS else None
        if call is None:
            allowed = ", ".join(["HEAD", *endpoint.methods()] if hasattr(endpoint, "get") else endpoint.methods())
            raise HttpError(405, f"{endpoint.path} takes {allowed}", "method", {"Allow": allowed})
        if endpoint.sliced:
            call = partial(self._slices.run, partial(call, AdminRequest(request, method, place)))
        else:
            call = partial(call, AdminRequest(request, method, place))
        if self._before is not None and method == "GET" and not endpoint.open:
            return self._before(endpoint.shows_filters).addCallback(lambda _: call())
        answer: AdminResponse | Deferred[AdminResponse] = call()
        return answer

    def _find(self, path: str) -> tuple[Endpoint | None, dict[str, str]]:
        path = path.rstrip("/") or "/"
        found = self._exact.get(path)
        if found is not None:
            return found, {}
        parts = path.split("/")
        for endpoint in self.endpoints:
            wanted = endpoint.path.split("/")
            if wanted[-1].endswith("*}") and len(parts) >= len(wanted) and _begins(wanted[:-1], parts):
                rest = "/".join(parts[len(wanted) - 1 :])
                return endpoint, {**_places(wanted[:-1], parts), wanted[-1][1:-2]: rest}
            if len(wanted) == len(parts):
                place = _places(wanted, parts)
                if place and _begins(wanted, parts):
                    return endpoint, place
        return None, {}

    def _write(self, request: Request, answer: AdminResponse) -> None:
        request.setResponseCode(answer.status)
        headers = {"Content-Type": answer.content_type, **HEADERS, **answer.headers}
        for name, value in headers.items():
            request.setHeader(name.encode("latin-1"), value.encode("latin-1"))
        body = answer.body
        if isinstance(body, bytes):
            request.setHeader(b"Content-Length", b"%d" % len(body))
            request.write(b"" if request.method == b"HEAD" else body)
            request.finish()
        elif request.method == b"HEAD":
            request.write(b"")
            request.finish()
            if isinstance(body, Live):
                body.stopProducing()
        elif isinstance(body, Live):
            body.begin(request, self._clock)
        else:
            Stream(request, body, self._clock).start()


def _begins(wanted: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether the parts of a path begin with these, of which some stand for any."""
    return all(want == part or want[:1] == "{" for want, part in zip(wanted, parts, strict=False))


def _places(wanted: Sequence[str], parts: Sequence[str]) -> dict[str, str]:
    """What stands for `{...}`."""
    return {want[1:-1]: unquote(part) for want, part in zip(wanted, parts, strict=False) if want[:1] == "{"}


def _later(answer: AdminResponse | Deferred[AdminResponse]) -> Deferred[AdminResponse]:
    return answer if isinstance(answer, Deferred) else succeed(answer)


def _failed(failure: Failure, request: Request) -> AdminResponse:
    """The answer to a request that was refused, or that met a bug of ours."""
    if isinstance(failure.value, HttpError):
        return failure.value.answer()
    log.failure("admin: {method} {path}", failure, method=request.method, path=request.path)
    return as_json({"error": "internal error; the proxy's log has more", "where": "metaproxy"}, 500)


HEADERS: Headers = {
    "Server": "metaproxy",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}
"""Of every answer."""


def _header(request: Request, name: str) -> str | None:
    value = request.getHeader(name)
    return value if value is None or isinstance(value, str) else value.decode("latin-1")


TURN_SECONDS = 0.002
TURN_BYTES = 16 * 1024
"""The pieces of a body that are made in one turn of the reactor: until so much time is over, or so much was made."""


@implementer(IPushProducer)
class Stream:
    """
    Writes a body piece by piece, as fast as the client takes it: a few a turn of the reactor, which under load has its
    ten milliseconds between two of them.
    """

    def __init__(self, request: Request, pieces: Iterator[bytes], clock: IReactorTime) -> None:
        self._request = request
        self._pieces = pieces
        self._clock = clock
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        self._request.notifyFinish().addErrback(lambda gone: self.stopProducing())
        self._request.registerProducer(self, True)
        self._soon()

    def _soon(self) -> None:
        if self._call is None:
            self._call = self._clock.callLater(0, self._next)

    def _next(self) -> None:
        self._call = None
        found: list[bytes] = []
        try:
            ended = self._make(found)
        except BaseException:
            log.failure("admin: {path}: the answer breaks off", path=self._request.path)
            self._write(found)
            self._request.loseConnection()
            return
        if not ended:
            self._soon()
        self._write(found)
        if ended:
            self._request.unregisterProducer()
            self._request.finish()

    def _write(self, found: list[bytes]) -> None:
        if found:
            self._request.write(b"".join(found))  # may call pauseProducing

    def _make(self, found: list[bytes]) -> bool:
        """Add the pieces of this turn; True when they were the last."""
        until, room = self._clock.seconds() + TURN_SECONDS, TURN_BYTES
        while room > 0 and (not found or self._clock.seconds() < until):
            piece = next(self._pieces, None)
            if piece is None:
                return True
            found.append(piece)
            room -= len(piece)
        return False

    def pauseProducing(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def resumeProducing(self) -> None:
        self._soon()

    def stopProducing(self) -> None:
        """The client is gone."""
        self.pauseProducing()
