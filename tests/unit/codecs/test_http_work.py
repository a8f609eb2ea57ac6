"""Work on HTTP/1.1 grows with its bytes and no faster, however they come."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from metaproxy.codecs.http import Http, model
from metaproxy.interfaces import ISession
from metaproxy.message import Message, Side
from metaproxy.testing.work import CountedBytes, Work
from metaproxy.units import Bytes

HOST = b"Host: a.example\r\n"
CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
MOST = 2.5
"""Times the work that twice the bytes may cost."""


def session() -> ISession:
    return Http(max_head=Bytes(1 << 20), max_fields=4096).session(Side.CLIENT, 1 << 30)


def trickled(before: bytes, filler: bytes) -> Callable[[int], int]:
    """The work of so many pieces behind `before`."""

    def work(pieces: int) -> int:
        reader = session()
        reader.receive(before)
        piece = CountedBytes(filler)
        with Work(allocations=True) as counted:
            for _ in range(pieces):
                counted.of(lambda: reader.receive(piece))
        assert reader.error is None
        return counted.total

    return work


def at_once(repeated: bytes, before: bytes = b"") -> Callable[[int], int]:
    def work(times: int) -> int:
        reader = session()
        data = CountedBytes(before + repeated * times)
        with Work() as counted:
            counted.of(lambda: reader.receive(data))
        assert reader.error is None
        return counted.total

    return work


def known(start: bytes, repeated: bytes, end: bytes) -> Callable[[int], int]:
    """The work of reading all metadata."""

    def work(times: int) -> int:
        (message,) = session().receive(start + repeated * times + end)
        with Work() as counted:
            counted.of(lambda: (message.known(), message.values("cookie.a"), message.values("path")))
        return counted.total

    return work


GET = b"GET / HTTP/1.1\r\n" + HOST


@pytest.mark.parametrize(
    ("job", "size"),
    [
        (trickled(GET + b"X-A: ", b"a" * 64), 256),
        (trickled(GET, b"X-A: b\r\n"), 256),
        (trickled(CHUNKED + b"0\r\n", b"X-A: b\r\n"), 256),
        (trickled(CHUNKED, b"1\r\na\r\n"), 256),
        (trickled(CHUNKED + b"ffffff\r\n", b"a" * 64), 256),
        (at_once(GET + b"\r\n"), 256),
        (at_once(b"1\r\na\r\n", CHUNKED), 1024),
        (at_once(b"1;a=b\r\na\r\n", CHUNKED), 512),
        (at_once(b"\r\n", b""), 1024),
        (known(GET + b"Cookie: ", b"a=b; ", b"x=y\r\n\r\n"), 512),
        (known(GET, b"X-A: b\r\n", b"\r\n"), 256),
        (known(b"GET /", b"a/../%2e/", b" HTTP/1.1\r\n" + HOST + b"\r\n"), 400),
        (known(b"GET /?", b"a=b&a=c&", b" HTTP/1.1\r\n" + HOST + b"\r\n"), 400),
    ],
    ids=[
        "a value that trickles in", "fields that trickle in", "trailers that trickle in", "chunks that trickle in",
        "payload that trickles in", "requests in one read", "chunks in one read", "extensions in one read",
        "empty lines in one read", "cookies", "a field many times", "a path of dots", "a parameter many times",
    ],
)  # fmt: skip
def test_twice_the_bytes_cost_twice_the_work(job: Callable[[int], int], size: int) -> None:
    job(8)
    one, two = job(size), job(2 * size)
    assert two <= MOST * one + 2000, f"{one} for {size}, {two} for {2 * size}"


def test_a_read_that_is_all_payload_is_passed_on_without_a_copy() -> None:
    reader = session()
    reader.receive(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n")
    piece = bytes(65536)
    messages: list[Message] = reader.receive(piece)
    assert messages[0].frame is piece
    upstream = Http().session(Side.SERVER, 1 << 20)
    upstream.send(model.opening(model.request_head(b"POST", b"/", b"a", [], length=1000000), 1), 1)
    assert upstream.send(messages[0], 1) is piece
