"""
What clients and servers of HTTP/1.1, HTTP/2 and gRPC say in `bench.replay`.

Lives here: `HTTP`. Does not: how it is replayed (`replay`).
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.replayed import Script, say

_BODY = b"y" * 64
Fields = Sequence[tuple[bytes, bytes]]

# -- HTTP/1.1

_HEAD = b"Host: bench.example\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nContent-Type: application/json\r\n"
_POST = b"POST /orders/7?x=1 HTTP/1.1\r\n" + _HEAD + b"Content-Length: 64\r\n\r\n" + _BODY
_CREATED = b"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: application/json\r\nContent-Length: 64\r\n\r\n" + _BODY

_STREAMED = b"y" * (4 << 16)
_LARGE = b"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Length: %d\r\n\r\n" % len(_STREAMED) + _STREAMED
"""More than one read brings, so that it goes through in chunks."""


def _http1_answers(data: bytes) -> bytes:
    return _CREATED * data.count(b"POST /")


# -- HTTP/2: the first request of a connection puts its fields into the table of both sides, the others name them

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _WINDOW_UPDATE = 0, 1, 4, 8
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_FIRST_DYNAMIC = 62
_OPEN_WIDE = (0x0004, 1 << 30)
"""INITIAL_WINDOW_SIZE."""


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


_GREETING = _frame(_SETTINGS, 0, 0, _OPEN_WIDE[0].to_bytes(2, "big") + _OPEN_WIDE[1].to_bytes(4, "big"))
_GREETING += _frame(_WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big"))


def _literals(fields: Fields, code: bytes = b"\0") -> bytes:
    """Each field spelled out; code 0x40: and put into the table."""
    return b"".join(code + bytes((len(name),)) + name + bytes((len(value),)) + value for name, value in fields)


def _second(codec: str, cluster: str, asked: Fields, answered: Fields, trailers: Fields, body: bytes) -> Script:
    learned = _literals(asked, b"\x40")
    known = bytes(0x80 | _FIRST_DYNAMIC + place for place in reversed(range(len(asked))))
    head, tail = _literals(answered), _literals(trailers)

    def request(id: int) -> bytes:
        stream = 2 * id - 1
        block = learned if id == 1 else known
        return _frame(_HEADERS, _END_HEADERS, stream, block) + _frame(_DATA, _END_STREAM, stream, body)

    def answer(stream: int) -> bytes:
        begin = _frame(_HEADERS, _END_HEADERS, stream, head)
        if not tail:
            return begin + _frame(_DATA, _END_STREAM, stream, body)
        end = _frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, tail)
        return begin + _frame(_DATA, 0, stream, body) + end

    def answers(data: bytes) -> bytes:
        out, at = [], len(_PREFACE) if data.startswith(_PREFACE) else 0
        if at:
            out.append(_GREETING)
        while at < len(data):
            kind, flags = data[at + 3], data[at + 4]
            if kind == _SETTINGS and not flags & _ACK:
                out.append(_frame(_SETTINGS, _ACK, 0))
            elif kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                out.append(answer(int.from_bytes(data[at + 5 : at + 9], "big")))
            at += 9 + int.from_bytes(data[at : at + 3], "big")
        return b"".join(out)

    login = say(_PREFACE + _GREETING, _frame(_SETTINGS, _ACK, 0))
    return Script(codec, cluster, login, request, answers, in_order=True)


def _fields(path: bytes, kind: bytes, *more: tuple[bytes, bytes]) -> Fields:
    head = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"bench.example")]
    return [*head, (b"content-type", kind), (b"user-agent", b"bench/1.0"), *more]


_JSON = (b"content-type", b"application/json")
_GRPC = (b"content-type", b"application/grpc")
HTTP: dict[str, Script] = {
    "http1": Script("http", "", (), lambda _: _POST, _http1_answers),
    "streamed": Script("http", "", (), lambda _: _POST, lambda data: _LARGE * data.count(b"POST /")),
    "http2": _second(
        "{name: http, version: 2}", "", _fields(b"/orders/7?x=1", _JSON[1]), [(b":status", b"200"), _JSON], [], _BODY
    ),
    "grpc": _second(
        "grpc",
        "",
        _fields(b"/example.Orders/Put", _GRPC[1], (b"te", b"trailers")),
        [(b":status", b"200"), _GRPC],
        [(b"grpc-status", b"0")],
        b"\0" + len(_BODY).to_bytes(4, "big") + _BODY,
    ),
}
