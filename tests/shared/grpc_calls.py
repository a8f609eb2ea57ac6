"""Calls of gRPC as h2 sends and answers them, and as messages of the codec."""

from __future__ import annotations

from h2.connection import H2Connection

from metaproxy.codecs.grpc import Grpc
from metaproxy.codecs.http import model
from metaproxy.codecs.http.heads import Pair
from metaproxy.codecs.http.model import HttpMessage

CALL = (
    (":method", "POST"), (":scheme", "http"), (":authority", "a.example"), (":path", "/example.v1.Echo/Unary"),
    ("content-type", "application/grpc+proto"), ("te", "trailers"), ("grpc-timeout", "5S"), ("x-tenant", "t1"),
)  # fmt: skip
OK = ((":status", "200"), ("content-type", "application/grpc+proto"))
TYPE: Pair = (b"content-type", b"application/grpc+proto")


def framed(*payloads: bytes) -> bytes:
    """Messages behind their flags and lengths."""
    return b"".join(b"\0" + len(payload).to_bytes(4, "big") + payload for payload in payloads)


def call(
    path: bytes = b"/example.v1.Echo/Unary", body: bytes = b"", id: int = 1, fields: tuple[Pair, ...] = ()
) -> HttpMessage:
    """A whole call."""
    head = model.request_head(b"POST", path, b"a.example", [TYPE, (b"te", b"trailers"), *fields])
    return model.whole(head, body, id, Grpc.made_of.read)


def opened(id: int = 1, fields: tuple[Pair, ...] = ()) -> HttpMessage:
    """The head of a call."""
    head = model.request_head(b"POST", b"/example.v1.Echo/Chat", b"a.example", [TYPE, (b"te", b"trailers"), *fields])
    return model.opening(head, id, Grpc.made_of.read)


def answer(body: bytes = b"", *trailers: Pair, id: int = 1, status: int = 200) -> HttpMessage:
    """A whole answer with trailers."""
    return model.whole(model.answer_head(status, [TYPE]), body, id, Grpc.made_of.read, list(trailers))


def respond(peer: H2Connection, stream: int, body: bytes, *trailers: tuple[str, str]) -> None:
    """Have h2 answer a call in one write."""
    peer.send_headers(stream, OK)
    if body:
        peer.send_data(stream, body)
    peer.send_headers(stream, trailers, end_stream=True)
