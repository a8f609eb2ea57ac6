"""The table of requests and answers, with nginx and haproxy behind the proxy: all agree on where one ends."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from io import BufferedReader
from pathlib import Path
from threading import Thread
from typing import Any

import http_peers
import http_table as table
import pytest
from catalogue import Start
from http_table import Accepted, Refused
from proxied import Proxy, cluster, listener
from running import free_port

peer = pytest.mark.peer

MakeProxy = Callable[[Mapping[str, Any]], Proxy]


def name(case: Accepted | Refused) -> str:
    return f"{case.rule}: {case.name}"


def config(port: int, back: int) -> dict[str, Any]:
    return {
        "listeners": [listener("web", port, "http", [{"cluster": "back"}])],
        "clusters": [cluster("back", back, request_timeout="3s")],
    }


def method(request: bytes) -> str:
    return request.lstrip(b"\r\n").split(b" ", 1)[0].decode()


class Answer:
    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body


def read(stream: BufferedReader, to: str) -> Answer | None:
    """The answer to a request of this method; those with 1xx before it are passed over."""
    line = stream.readline()
    if not line:
        return None
    status = int(line.split()[1])
    fields = http.client.parse_headers(stream)
    if status < 200:
        return read(stream, to)
    if to == "HEAD" or status in (204, 304):
        return Answer(status, b"")
    if fields["transfer-encoding"] is None:
        return Answer(status, stream.read(int(fields["content-length"])))
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        assert stream.readline() == b"\r\n"
    while stream.readline().strip():
        pass
    return Answer(status, body)


def say(port: int, data: bytes, methods: list[str]) -> list[Answer]:
    """The answers to requests that are sent in one piece. Nothing may come behind them."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=5)) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        stream = client.makefile("rb")
        answers = []
        for each in methods:
            answer = read(stream, each)
            if answer is None:
                break
            answers.append(answer)
        assert stream.read() == b""
    return answers


@peer("nginx", "haproxy")
@pytest.mark.parametrize("server", ["nginx", "haproxy"])
def test_requests_end_for_the_server_where_they_end_for_the_proxy(
    server: str, start_here: Start, proxy: MakeProxy, tmp_path: Path
) -> None:
    port, back = free_port(), free_port()
    start_here(http_peers.nginx(tmp_path, h1=back) if server == "nginx" else http_peers.haproxy(tmp_path, back))
    proxy(config(port, back))
    for case in table.GOOD_REQUESTS:
        asked = [method(case.data), *(["GET"] if not case.last else [])]
        answers = say(port, case.data + (table.NEXT if not case.last else b""), asked)
        assert len(answers) == len(asked), f"{name(case)}: {len(answers)} answers"
        first = answers[0]
        # What a server does with TRACE or OPTIONS * is its own business; where they end is not.
        assert first.status in (200, 400, 404, 405, 501), f"{name(case)}: {first.status}"
        if server == "haproxy":
            assert first.status == 200, name(case)
            if asked[0] != "HEAD":
                assert first.body.endswith(b" body=%d\n" % len(case.body or b"")), f"{name(case)}: {first.body!r}"
        if not case.last:
            wanted = (200, b"GET /next body=0\n") if server == "haproxy" else (404, b"no such place\n")
            assert (answers[1].status, answers[1].body) == wanted, name(case)


@peer("haproxy")
def test_what_is_refused_reaches_no_server(start_here: Start, proxy: MakeProxy, tmp_path: Path) -> None:
    port, back = free_port(), free_port()
    start_here(http_peers.haproxy(tmp_path, back))
    running = proxy(config(port, back))
    for case in table.BAD_REQUESTS:
        (answer,) = say(port, case.data, ["GET"])
        assert answer.status == case.status, name(case)
    assert running.stats()['metaproxy_listener_requests_total{listener="web",protocol="http"}'] == 0


class Player:
    """A server that answers with the bytes that the path names by its number, and closes behind some."""

    def __init__(self, answers: list[tuple[bytes, bool]]) -> None:
        self._answers = answers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with closing(connection):
            stream = connection.makefile("rb")
            while line := stream.readline():
                while stream.readline().strip():
                    pass
                data, last = self._answers[int(line.split()[1].strip(b"/"))]
                connection.sendall(data)
                if last:
                    return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def player() -> Iterator[Player]:
    good = [(case.data, case.last) for case in table.GOOD_ANSWERS]
    server = Player(good + [(case.data, False) for case in table.BAD_ANSWERS])
    yield server
    server.close()


def test_answers_end_for_the_client_where_they_end_for_the_proxy(player: Player, proxy: MakeProxy) -> None:
    port = free_port()
    proxy(config(port, player.port))
    cases: list[Accepted | Refused] = [*table.GOOD_ANSWERS, *table.BAD_ANSWERS]
    for number, case in enumerate(cases):
        to = case.to if isinstance(case, Accepted) else b"GET"
        request = b"%b /%d HTTP/1.1\r\n%b\r\n" % (to, number, table.HOST)
        behind = b"GET /0 HTTP/1.1\r\n%b\r\n" % table.HOST
        first, second = say(port, request + behind, [to.decode(), "GET"])
        assert (second.status, second.body) == (200, b"hello"), name(case)
        if isinstance(case, Refused):
            assert first.status == case.status, name(case)
        else:
            assert first.body == (b"hello" if case.body is None else case.body), name(case)
