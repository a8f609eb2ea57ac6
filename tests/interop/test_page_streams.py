"""The live page in a real browser while a stream is open: HTTP through the proxy, an answer that does not end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from chromium import Browser, Page
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("chromium")

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"


class Endless:
    """A server that begins an answer of 4 KiB and more, and ends it when it is asked to."""

    def __init__(self) -> None:
        self.end = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(HEAD + b"1000\r\n" + b"x" * 4096 + b"\r\n")
            self.end.wait(60)
            connection.sendall(b"3\r\nend\r\n0\r\n\r\n")

    def stop(self) -> None:
        self.end.set()
        self._listening.close()


class Open:
    """A proxy with a stream that is open."""

    def __init__(self, proxy: Proxy, server: Endless, client: socket.socket) -> None:
        self.proxy, self.server, self.client = proxy, server, client


@pytest.fixture
def stream(shared_proxy: Any) -> Iterator[Open]:
    server, front = Endless(), free_port()
    routes = [{"name": "all", "cluster": "web"}]
    config = {"listeners": [listener("front", front, "http", routes)], "clusters": [cluster("web", server.port)]}
    proxy = shared_proxy(config)
    with socket.create_connection(("127.0.0.1", front)) as client:
        client.sendall(b"GET /watch HTTP/1.1\r\nhost: shop\r\n\r\n")
        assert client.recv(1024)
        yield Open(proxy, server, client)
    server.stop()


@pytest.fixture
def page(stream: Open, tmp_path: Any) -> Iterator[Page]:
    browser = Browser(tmp_path)
    page = browser.open(f"{stream.proxy.url}/")
    yield page
    assert page.complaints == []
    browser.stop()


def rows(page: Page) -> list[str]:
    found: list[str] = page.run("[...document.querySelectorAll('.flows tbody tr')].map(one => one.textContent)")
    return found


def test_a_stream_is_shown_while_it_lasts_with_its_bytes_both_ways_and_in_the_tap_when_it_ends(
    stream: Open, page: Page
) -> None:
    def listed() -> bool:
        return any("GET /watch" in row and "↓ 4.1 KiB" in row for row in rows(page))

    assert eventually(listed, 15), rows(page)
    page.click("#tap button.main")
    assert eventually(lambda: "Listening" in page.text("#tap"), 15)
    stream.server.end.set()
    assert page.shows("GET /watch", "#tap .exchanges")
    page.click("#tap .exchanges summary")
    assert page.shows("2 pieces", "#tap .exchanges")
    assert eventually(lambda: not any("↓" in row for row in rows(page)), 15), rows(page)
