"""Requests to an API server, over real connections with and without TLS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from authority import Authority
from kubernetes_api import THINGS
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from metaproxy.kubernetes import api as module
from metaproxy.kubernetes.api import Api, ApiError
from metaproxy.kubernetes.credentials import Credentials, CredentialsError
from metaproxy.kubernetes.resources import Key, Scope

NET: Any = reactor
ALL = Scope(THINGS)


class Server(Resource):
    """Answers as `answer` says; keeps what it was asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.open: list[Any] = []
        self.answer: Callable[[Any], Any] = lambda request: json.dumps(LIST).encode()

    def render(self, request: Any) -> Any:
        headers = {
            name.decode().lower(): values[0].decode() for name, values in request.requestHeaders.getAllRawHeaders()
        }
        self.asked.append((request.method.decode(), request.uri.decode(), headers, request.content.read()))
        return self.answer(request)

    def keep_open(self, request: Any) -> int:
        self.open.append(request)
        request.write(b"")
        return NOT_DONE_YET


LIST = {"kind": "ThingList", "metadata": {"resourceVersion": "7", "continue": "more"}, "items": [{"metadata": {}}]}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def port(server: Server) -> Iterator[int]:
    port = NET.listenTCP(0, Site(server), interface="127.0.0.1")
    yield port.getHost().port
    pytest_twisted.blockon(port.stopListening())


@pytest.fixture
def make() -> Iterator[Callable[[Callable[[], Credentials]], Api]]:
    made: list[Api] = []

    def api(source: Callable[[], Credentials]) -> Api:
        made.append(Api(source, NET))
        return made[-1]

    yield api
    for one in made:
        closing = one.close()
        if closing is not None:
            pytest_twisted.blockon(closing)


@pytest.fixture
def api(port: int, make: Any) -> Api:
    found: Api = make(lambda: Credentials(f"http://127.0.0.1:{port}", token="t"))
    return found


async def refusal(waiting: Deferred[Any]) -> ApiError:
    with pytest.raises(ApiError) as raised:
        await waiting
    return raised.value


@pytest_twisted.ensureDeferred
async def test_a_page_of_a_list_names_what_it_is_of(api: Api, server: Server) -> None:
    page = await api.page(Scope(THINGS, "shop", "app=x", "type=y"), "rest")
    method, uri, headers, _ = server.asked[0]
    assert (method, headers["authorization"], headers["accept"]) == ("GET", "Bearer t", "application/json")
    path, _, parameters = uri.partition("?")
    assert path == "/apis/test.dev/v1/namespaces/shop/things"
    assert parameters == "limit=100&continue=rest&labelSelector=app%3Dx&fieldSelector=type%3Dy"
    assert (page.version, page.rest) == ("7", "more")
    assert page.found == [{"apiVersion": "test.dev/v1", "kind": "Thing", "metadata": {}}]


@pytest_twisted.ensureDeferred
async def test_a_refusal_says_status_and_reason_and_how_long_to_wait(api: Api, server: Server) -> None:
    def answer(request: Any) -> bytes:
        request.setResponseCode(403)
        request.setHeader(b"retry-after", b"3")
        return json.dumps({"kind": "Status", "message": 'things is forbidden:\n"metaproxy" cannot list'}).encode()

    server.answer = answer
    error = await refusal(api.page(ALL))
    assert (error.status, error.wait) == (403, 3.0)
    assert str(error) == f'{api.server}: 403 things is forbidden: "metaproxy" cannot list'


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b"[" * 1000 + b"]" * 1000])
@pytest_twisted.ensureDeferred
async def test_what_is_no_list_is_refused(api: Api, server: Server, body: bytes) -> None:
    server.answer = lambda request: body
    assert (await refusal(api.page(ALL))).status == 0


@pytest_twisted.ensureDeferred
async def test_a_page_may_have_so_many_bytes(api: Api, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_BYTES", 10)
    assert "more than 10 bytes" in str(await refusal(api.page(ALL)))


@pytest_twisted.ensureDeferred
async def test_a_watch_hands_on_what_comes_until_the_server_ends_it(api: Api, server: Server) -> None:
    server.answer = server.keep_open
    heard: Deferred[bytes] = Deferred()
    watching = api.watch(Scope(THINGS, "shop"), "7", 60, heard.callback)
    while not server.open:
        await _turn()
    server.open[0].write(b"{}\n")
    assert await heard == b"{}\n"
    server.open[0].finish()
    await watching
    assert server.asked[0][1] == (
        "/apis/test.dev/v1/namespaces/shop/things?watch=1&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=60"
    )


@pytest_twisted.ensureDeferred
async def test_a_watch_of_a_version_that_is_too_old_fails_with_its_status(api: Api, server: Server) -> None:
    def answer(request: Any) -> bytes:
        request.setResponseCode(410)
        return b'{"message": "too old resource version"}'

    server.answer = answer
    assert (await refusal(api.watch(ALL, "7", 60, print))).status == 410


@pytest_twisted.ensureDeferred
async def test_a_watch_that_is_cut_off_fails(api: Api, server: Server) -> None:
    server.answer = server.keep_open
    watching = api.watch(ALL, "7", 60, print)
    while not server.open:
        await _turn()
    server.open[0].transport.abortConnection()
    assert (await refusal(watching)).status == 0


@pytest_twisted.ensureDeferred
async def test_a_watch_without_an_answer_fails_in_time(
    api: Api, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    server.answer = lambda request: NOT_DONE_YET
    assert "no answer in 0.1 s" in str(await refusal(api.watch(ALL, "7", 60, print)))


@pytest_twisted.ensureDeferred
async def test_a_watch_that_is_given_up_closes_its_connection(api: Api, server: Server) -> None:
    server.answer = server.keep_open
    watching = api.watch(ALL, "7", 60, print)
    while not server.open:
        await _turn()
    gone = server.open[0].notifyFinish()
    watching.cancel()
    await refusal(watching)
    with pytest.raises(Exception, match="Connection"):
        await gone


@pytest_twisted.ensureDeferred
async def test_a_status_is_applied_by_its_manager_and_leaves_the_rest(api: Api, server: Server) -> None:
    server.answer = lambda request: b'{"metadata": {"name": "a"}}'
    await api.apply_status(THINGS, Key("shop", "a"), {"observedGeneration": 2}, "metaproxy")
    method, uri, headers, body = server.asked[0]
    assert (method, uri) == ("PATCH", "/apis/test.dev/v1/namespaces/shop/things/a/status?fieldManager=metaproxy")
    assert headers["content-type"] == "application/apply-patch+yaml"
    assert json.loads(body) == {
        "apiVersion": "test.dev/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": "shop"},
        "status": {"observedGeneration": 2},
    }  # fmt: skip


# -- credentials


@pytest_twisted.ensureDeferred
async def test_credentials_are_read_again_after_a_failure(server: Server, port: int, make: Any) -> None:
    tokens = iter(["one", "two"])
    api: Api = make(lambda: Credentials(f"http://127.0.0.1:{port}", token=next(tokens)))

    def answer(request: Any) -> bytes:
        if server.asked[-1][2]["authorization"] == "Bearer one":
            request.setResponseCode(401)
        return json.dumps(LIST).encode()

    server.answer = answer
    assert (await refusal(api.page(ALL))).status == 401
    await api.page(ALL)
    await api.page(ALL)
    assert [asked[2]["authorization"] for asked in server.asked] == ["Bearer one", "Bearer two", "Bearer two"]


@pytest_twisted.ensureDeferred
async def test_a_kubeconfig_that_can_not_be_read_fails_as_a_server_that_is_away(make: Any) -> None:
    def source() -> Credentials:
        raise CredentialsError("kubeconfig: No such file or directory")

    error = await refusal(make(source).page(ALL))
    assert (str(error), error.status) == ("kubeconfig: No such file or directory", 0)
    assert (await refusal(make(source).watch(ALL, "7", 60, print))).status == 0


class Tls:
    """A server that asks for certificates of its authority's."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.authority = Authority(folder)
        own = self.authority.issue("api", "127.0.0.1", "api.test")
        ca = ssl.Certificate.loadPEM(self.authority.ca.read_bytes())
        pair = ssl.PrivateCertificate.loadPEM(own.key.read_bytes() + own.certificate.read_bytes())
        self.listening = NET.listenSSL(0, Site(server), pair.options(ca), interface="127.0.0.1")
        self.url = f"https://127.0.0.1:{self.listening.getHost().port}"
        client = self.authority.issue("metaproxy")
        self._certificate, self._key = client.certificate.read_bytes(), client.key.read_bytes()
        self.ca = self.authority.ca.read_bytes()

    def client(self, ca: bytes = b"", **more: Any) -> Credentials:
        return Credentials(self.url, ca=ca, certificate=self._certificate, key=self._key, **more)


@pytest.fixture
def tls(tmp_path: Path, server: Server) -> Iterator[Tls]:
    tls = Tls(tmp_path, server)
    yield tls
    pytest_twisted.blockon(tls.listening.stopListening())


@pytest_twisted.ensureDeferred
async def test_both_sides_prove_who_they_are(tls: Tls, make: Any) -> None:
    assert (await make(lambda: tls.client(tls.ca)).page(ALL)).version == "7"


@pytest_twisted.ensureDeferred
async def test_a_client_needs_no_certificate_of_its_own(tmp_path: Path, server: Server, make: Any) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("api", "127.0.0.1")
    pair = ssl.PrivateCertificate.loadPEM(own.key.read_bytes() + own.certificate.read_bytes())
    listening = NET.listenSSL(0, Site(server), pair.options(), interface="127.0.0.1")
    url = f"https://127.0.0.1:{listening.getHost().port}"
    for found in (Credentials(url, ca=authority.ca.read_bytes()), Credentials(url, insecure=True)):
        assert (await make(lambda found=found: found).page(ALL)).version == "7"
    error = await refusal(make(lambda: Credentials(url)).page(ALL))
    assert error.status == 0 and "can't be used" not in str(error)
    await listening.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_server_may_be_checked_for_another_name(tls: Tls, make: Any) -> None:
    named = tls.client(tls.ca, server_name="api.test")
    assert (await make(lambda: named).page(ALL)).version == "7"
    other = tls.client(tls.ca, server_name="other.test")
    assert (await refusal(make(lambda: other).page(ALL))).status == 0


@pytest_twisted.ensureDeferred
async def test_a_server_of_another_authority_is_not_asked(tls: Tls, server: Server, make: Any, tmp_path: Path) -> None:
    other = Authority(tmp_path, "another").ca.read_bytes()
    assert (await refusal(make(lambda: tls.client(other)).page(ALL))).status == 0
    assert (await refusal(make(lambda: tls.client()).page(ALL))).status == 0
    assert server.asked == []


@pytest_twisted.ensureDeferred
async def test_any_server_will_do_where_that_is_asked_for(tls: Tls, make: Any) -> None:
    assert (await make(lambda: tls.client(insecure=True)).page(ALL)).version == "7"


@pytest_twisted.ensureDeferred
async def test_a_certificate_that_is_none_is_named(tls: Tls, make: Any) -> None:
    broken = Credentials(tls.url, ca=b"nonsense")
    assert "can't be used: no certificate in PEM" in str(await refusal(make(lambda: broken).page(ALL)))


def _turn() -> Deferred[None]:
    turned: Deferred[None] = Deferred()
    NET.callLater(0, turned.callback, None)
    return turned
