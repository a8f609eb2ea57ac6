from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from authz_calls import ASKED
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

from metaproxy.clients.http import HttpFailed
from metaproxy.filters.ext_authz.authorization import Decision
from metaproxy.filters.ext_authz.http import HttpService, headers, path
from metaproxy.message import ErrorKind

NET: Any = reactor


class Page(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.answer: Callable[[Any], bytes] = lambda request: b""

    def render(self, request: Any) -> bytes:
        raw = request.requestHeaders.getAllRawHeaders()
        self.seen.append(
            (request.uri.decode(), {name.decode().lower(): values[-1].decode("latin-1") for name, values in raw})
        )
        return self.answer(request)


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
def service(page: Page) -> Iterator[HttpService]:
    port = NET.listenTCP(0, Site(page), interface="127.0.0.1")
    service = HttpService(
        f"http://127.0.0.1:{port.getHost().port}/check/", 5.0, [("authorization", "Bearer ours")], ["X-User"], reactor
    )
    yield service
    stopping = service.stop()
    if stopping is not None:
        pytest_twisted.blockon(stopping)
    pytest_twisted.blockon(port.stopListening())


def answers(page: Page, status: int, body: bytes = b"", **more: str) -> None:
    def answer(request: Any) -> bytes:
        request.setResponseCode(status)
        for name, value in more.items():
            request.setHeader(name.replace("_", "-"), value)
        return body

    page.answer = answer


@pytest_twisted.ensureDeferred
async def test_200_lets_pass_and_brings_the_headers_that_are_wanted(service: HttpService, page: Page) -> None:
    answers(page, 200, b"whatever", x_user="ann", x_other="no")
    assert await service.ask(ASKED) == Decision(True, set={"x-user": "ann"})
    uri, seen = page.seen[0]
    assert uri == "/check/org.example.Demo/say"
    assert (seen["tenant"], seen["authorization"]) == ("t1", "Bearer ours")
    assert (seen["x-metaproxy-operation"], seen["x-metaproxy-identity"]) == ("org.example.Demo/say", "spiffe://x/ann")
    assert (seen["x-forwarded-for"], seen["x-metaproxy-context-route"]) == ("10.0.0.9", "main")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(201, ErrorKind.DENIED), (302, ErrorKind.DENIED), (401, ErrorKind.DENIED), (429, ErrorKind.LIMITED)],
)
@pytest_twisted.ensureDeferred
async def test_other_answers_refuse_with_their_text(
    service: HttpService, page: Page, status: int, kind: ErrorKind
) -> None:
    answers(page, status, b"not\nyou")
    assert await service.ask(ASKED) == Decision(False, kind, "not you")


@pytest_twisted.ensureDeferred
async def test_a_service_that_is_broken_has_decided_nothing(service: HttpService, page: Page) -> None:
    answers(page, 500, b"oops")
    with pytest.raises(HttpFailed, match="status 500"):
        await service.ask(ASKED)
    assert HttpFailed in service.failures


def test_no_metadata_of_a_client_stand_in_for_what_the_proxy_tells() -> None:
    forged = {
        "x-metaproxy-identity": "root", "x-forwarded-for": "1.1.1.1", "content-length": "5", "host": "h", "a b": "c",
        "transfer-encoding": "chunked", "ok": "1", "": "x", "n\u00e4me": "x",
    }  # fmt: skip
    sent = headers(ASKED._replace(metadata=forged))
    assert [name for name, _ in sent if name in forged] == ["ok", "x-metaproxy-identity", "x-forwarded-for"]
    assert dict(sent)["x-metaproxy-identity"] == "spiffe://x/ann"
    assert dict(sent)["x-forwarded-for"] == "10.0.0.9"


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("org.example.Demo/say", "org.example.Demo/say"),
        ("GET", "GET"),
        ("a/../../admin", "a/%2E%2E/%2E%2E/admin"),
        ("./x", "%2E/x"),
        ("a?b=c#d", "a%3Fb%3Dc%23d"),
        ("a b\r\nc", "a%20b%0D%0Ac"),
        ("\u00e4\udcff", "%C3%A4%3F"),
    ],
)
def test_no_operation_leads_to_another_path(operation: str, expected: str) -> None:
    assert path(operation) == expected
