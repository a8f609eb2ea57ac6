from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from present import present
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from metaproxy.clients.http import HttpCalls, HttpFailed, check_url

NET: Any = reactor


class Page(Resource):
    """Answers as `answer` says; keeps the requests that it saw."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.peers: set[int] = set()
        self.answer: Callable[[Any], Any] = lambda request: b"hello"

    def render(self, request: Any) -> Any:
        headers = {
            name.decode().lower(): values[0].decode() for name, values in request.requestHeaders.getAllRawHeaders()
        }
        self.requests.append((request.method.decode(), request.uri.decode(), request.content.read(), headers))
        self.peers.add(request.getClientAddress().port)
        return self.answer(request)


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
def url(page: Page) -> Iterator[str]:
    port = NET.listenTCP(0, Site(page), interface="127.0.0.1")
    yield f"http://127.0.0.1:{port.getHost().port}/x"
    pytest_twisted.blockon(port.stopListening())


@pytest.fixture
def calls() -> Iterator[HttpCalls]:
    calls = HttpCalls(NET)
    yield calls
    closing = calls.close()
    if closing is not None:
        pytest_twisted.blockon(closing)


async def failure(waiting: Deferred[Any]) -> str:
    with pytest.raises(HttpFailed) as raised:
        await waiting
    return str(raised.value)


@pytest_twisted.ensureDeferred
async def test_a_call_brings_status_headers_and_body(calls: HttpCalls, page: Page, url: str) -> None:
    def answer(request: Any) -> bytes:
        request.setResponseCode(403)
        request.responseHeaders.setRawHeaders("X-Who", ["a", "b"])
        return b"no"

    page.answer = answer
    found = await calls.call("POST", url, 5, [("x-key", "v\u00f6"), ("x-key", "2")], b"body")
    assert (found.status, found.body) == (403, b"no")
    assert [value for name, value in found.headers if name == "x-who"] == ["a", "b"]
    method, uri, body, headers = page.requests[0]
    assert (method, uri, body, headers["x-key"]) == ("POST", "/x", b"body", "v\u00f6")


@pytest_twisted.ensureDeferred
async def test_calls_share_a_connection_until_it_is_closed(calls: HttpCalls, page: Page, url: str) -> None:
    for _ in range(3):
        await calls.call("GET", url, 5)
    assert len(page.peers) == 1
    await present(calls.close())
    await calls.call("GET", url, 5)
    assert len(page.peers) == 2


@pytest_twisted.ensureDeferred
async def test_a_value_can_not_add_a_header(calls: HttpCalls, page: Page, url: str) -> None:
    await calls.call("GET", url, 5, [("x-key", "a\r\nx-other: b")])
    assert "x-other" not in page.requests[0][3]


@pytest_twisted.ensureDeferred
async def test_a_redirect_is_an_answer_and_no_cookie_is_kept(calls: HttpCalls, page: Page, url: str) -> None:
    def answer(request: Any) -> bytes:
        request.addCookie("a", "b")
        request.redirect(b"/elsewhere")
        return b""

    page.answer = answer
    assert (await calls.call("GET", url, 5)).status == 302
    await calls.call("GET", url, 5)
    assert [request[1] for request in page.requests] == ["/x", "/x"]
    assert "cookie" not in page.requests[1][3]


@pytest_twisted.ensureDeferred
async def test_nobody_there_is_told(calls: HttpCalls) -> None:
    port = NET.listenTCP(0, ServerFactory(), interface="127.0.0.1")
    free = port.getHost().port
    await port.stopListening()
    assert "refused" in await failure(calls.call("GET", f"http://127.0.0.1:{free}/", 5))


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_silent_or_stops_in_the_middle_costs_the_timeout(
    calls: HttpCalls, page: Page, url: str
) -> None:
    page.answer = lambda request: NOT_DONE_YET
    assert await failure(calls.call("GET", url, 0.05)) == "no answer in 0.05 s"

    def begin(request: Any) -> int:
        request.write(b"half")
        return NOT_DONE_YET

    page.answer = begin
    assert await failure(calls.call("GET", url, 0.05)) == "no answer in 0.05 s"


@pytest_twisted.ensureDeferred
async def test_a_body_beyond_the_bound_is_refused(calls: HttpCalls, page: Page, url: str) -> None:
    page.answer = lambda request: b"x" * 1001
    assert await failure(calls.call("GET", url, 5, most=1000)) == "an answer of more than 1000 bytes"
    assert len((await calls.call("GET", url, 5, most=1001)).body) == 1001


@pytest_twisted.ensureDeferred
async def test_what_is_no_http_is_told_in_a_line(calls: HttpCalls) -> None:
    class Odd(Protocol):
        def dataReceived(self, data: bytes) -> None:
            present(self.transport).write(b"SSH-2.0-x\r\n")
            present(self.transport).loseConnection()

    factory = ServerFactory()
    factory.protocol = Odd
    port = NET.listenTCP(0, factory, interface="127.0.0.1")
    text = await failure(calls.call("GET", f"http://127.0.0.1:{port.getHost().port}/", 5))
    assert text and "\n" not in text
    await port.stopListening()


def test_what_is_no_url_is_refused() -> None:
    assert check_url("http://127.0.0.1:8080/a?b=c") == "http://127.0.0.1:8080/a?b=c"
    for wrong in ("", "127.0.0.1:80", "ftp://a/b", "http://", "unix:/a"):
        with pytest.raises(ValueError, match="is not a URL"):
            check_url(wrong)
    with pytest.raises(ValueError, match="leave them out") as raised:
        check_url("http://user:pw@a/")
    assert "pw@" not in str(raised.value)


def test_https_without_its_packages_is_told_when_the_configuration_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_url("https://example.org/") == "https://example.org/"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"\.\[tls\]"):
        check_url("https://example.org/")


@pytest_twisted.ensureDeferred
async def test_a_call_that_can_not_even_begin_fails_as_any_other(calls: HttpCalls) -> None:
    assert "gopher" in await failure(calls.call("GET", "gopher://127.0.0.1/", 5))
