"""The codec of HTTP keeps the contract."""

from __future__ import annotations

from collections.abc import Sequence

from metaproxy.codecs.http import Http, model
from metaproxy.interfaces import ISession
from metaproxy.message import Chunk, Message, Side
from metaproxy.testing import check_codec

HOST = b"Host: a.example\r\n"
REQUESTS = [
    b"GET /a?b=c HTTP/1.1\r\n" + HOST + b"Accept: */*\r\n\r\n",
    b"HEAD / HTTP/1.1\r\n" + HOST + b"Cookie: a=b; c=d\r\n\r\n",
    b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
    b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\n" + HOST + b"Connection: keep-alive, x-a\r\nX-A: 1\r\n\r\n",
]
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n",
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno",
]
REQUEST = model.whole(model.request_head(b"GET", b"/", b"a.example", []), b"", 1)
MOST = 4 * (1024 // len(ANSWERS[0]))
"""Answers in one read, at most: the contract reads the first of them so often."""


def prepare(session: ISession, side: Side) -> None:
    """A server answers requests, as many as there are answers."""
    if side is Side.SERVER:
        for id in range(1, MOST + 1):
            session.send(REQUEST, id)


def join(head: Message, chunks: Sequence[Chunk]) -> Message:
    last = chunks[-1]
    body = b"".join(chunk.frame for chunk in chunks)
    trailers = model.trailer_pairs(last.trailers)
    return model.whole(model.head_of(head), body, head.id, head.more, trailers, last.failed)


def test_it_keeps_the_contract() -> None:
    own = ("target", "content-length", "x-forwarded-for", "x-forwarded-proto", "client.address")
    check_codec(Http(via=""), REQUESTS, ANSWERS, prepare=prepare, join=join, ids=False, own=own)
