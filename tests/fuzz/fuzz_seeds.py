"""
Good frames of the protocols of which tests/golden has no captures, for fuzz targets to begin with.

Lives here: what the unit tests of each codec have as bytes. Does not: what becomes of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import amqp_words as amqp
import kafka_words as kafka
import mysql_words as my
from http2_stand import GET, OK, POST, raw_frame, raw_headers
from mongodb_words import command, packed
from postgres_words import (
    BOUND,
    BYE,
    COPY_IN,
    DONE,
    EXECUTE,
    FLUSH,
    LOGGED_IN,
    PARSED,
    ROW,
    SYNC,
    bind,
    error,
    parse,
    query,
    ready,
    startup,
)  # fmt: skip
from postgres_words import said as pg
from protobuf_writing import blob, num, pair

_HOST = b" HTTP/1.1\r\nHost: a.example\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\n"
HTTP_REQUESTS = [
    b"GET /a?b=c" + _HOST + b"Accept: */*\r\n\r\n",
    b"HEAD /" + _HOST + b"Cookie: a=b; c=d\r\n\r\n",
    b"POST /a" + _HOST + b"Content-Length: 5\r\n\r\nhello",
    b"POST /a" + _HOST + _CHUNKED + b"\r\n",
    b"POST /a" + _HOST + b"Trailer: X-Sum\r\nExpect: 100-continue\r\n" + _CHUNKED + b"X-Sum: abc\r\n\r\n",
    b"OPTIONS *" + _HOST + b"Connection: keep-alive, x-a\r\nX-A: 1\r\n\r\n",
    b"CONNECT b.example:443" + _HOST + b"\r\nbytes",
    b"GET /chat" + _HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nbytes",
    b"GET http://a.example/ HTTP/1.0\r\n\r\n",
]
HTTP_ANSWERS = [
    b"HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + _CHUNKED + b"\r\n",
    b"HTTP/1.1 200 OK\r\n" + _CHUNKED + b"X-Sum: abc\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.0 200 OK\r\n\r\nto the end",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbytes",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = raw_frame(4, 0, 0)
_COMMON = [
    raw_frame(4, 0, 0, b"\0\3\0\0\0\5\0\4\0\0\0\x20\0\1\0\0\0\0"), raw_frame(4, 1, 0), raw_frame(6, 0, 0, b"12345678"),
    raw_frame(8, 0, 1, b"\0\0\1\0"), raw_frame(8, 0, 0, b"\0\0\1\0"), raw_frame(3, 0, 1, b"\0\0\0\x08"),
    raw_frame(2, 0, 1, b"\0\0\0\0\1"), raw_frame(7, 0, 0, b"\0\0\0\1\0\0\0\0bye"),
]  # fmt: skip
_PATCH = raw_headers(1, GET)[9:]
HTTP2_REQUESTS = [
    raw_headers(1, GET), raw_headers(1, POST, 4) + raw_frame(0, 0, 1, b"hello") + raw_frame(0, 1, 1),
    raw_headers(1, POST, 4) + raw_frame(0, 9, 1, b"\2hello\0\0") + raw_headers(3, GET),
    raw_headers(1, POST, 4) + raw_frame(0, 0, 1, b"hello") + raw_headers(1, (("x-sum", "abc"),)),
    raw_frame(1, 1, 1, _PATCH[:9]) + raw_frame(9, 4, 1, _PATCH[9:]),
    raw_frame(1, 5, 1, b"\x82\x86\x84\x41\x09a.example\x40\x01a\x01b") + raw_frame(1, 5, 3, b"\x82\x86\x84\xbf\xbe"),
    raw_headers(1, (*POST, ("content-length", "2")), 4) + raw_frame(0, 1, 1, b"hi") + raw_frame(3, 0, 1, b"\0\0\0\5"),
    *_COMMON,
]  # fmt: skip
HTTP2_ANSWERS = [
    raw_headers(1, OK), raw_headers(1, OK, 4) + raw_frame(0, 0, 1, b"hello") + raw_frame(0, 1, 1),
    raw_headers(1, ((":status", "100"),), 4) + raw_headers(1, OK, 4) + raw_headers(1, (("x-sum", "abc"),)),
    raw_headers(3, OK, 4) + raw_headers(1, ((":status", "503"),)) + raw_frame(0, 1, 3, b"x"),
    raw_headers(1, OK, 4) + raw_frame(3, 0, 1, b"\0\0\0\2"), raw_headers(5, (*OK, ("content-length", "9"))),
    *_COMMON,
]  # fmt: skip

_TYPE = (("content-type", "application/grpc+proto"), ("te", "trailers"))
_CALL = (*POST[:3], (":path", "/example.v1.Echo/Unary"), *_TYPE, ("grpc-timeout", "5S"), ("x-tenant", "t1"))
_HI = b"\0\0\0\0\2hi"
GRPC_CALLS = [
    raw_headers(1, _CALL, 4) + raw_frame(0, 1, 1, _HI), raw_headers(1, _CALL, 4) + raw_frame(0, 0, 1, _HI + _HI[:6]),
    raw_headers(1, _CALL, 4) + raw_frame(0, 0, 1, _HI) + raw_headers(3, _CALL, 4) + raw_frame(3, 0, 1, b"\0\0\0\x08"),
    raw_headers(1, (*_CALL[:3], (":path", "/a.B/C"), ("content-type", "application/grpc-web+proto")), 4)
    + raw_frame(0, 1, 1, _HI),
]  # fmt: skip
GRPC_ANSWERS = [
    raw_headers(1, (*OK, _TYPE[0]), 4) + raw_frame(0, 0, 1, _HI) + raw_headers(1, (("grpc-status", "0"),)),
    raw_headers(1, (*OK, _TYPE[0], ("grpc-status", "5"), ("grpc-message", "no%20way"))),
    raw_headers(3, (*OK, _TYPE[0]), 4) + raw_frame(0, 0, 3, b"\1\0\0\0\1x") + raw_headers(3, (("grpc-status", "14"),)),
    raw_headers(1, ((":status", "503"),), 4) + raw_frame(0, 1, 1, b"no"),
]


def _prpc(meta: bytes, rest: bytes = b"", magic: bytes = b"PRPC") -> bytes:
    return magic + struct.pack(">II", len(meta) + len(rest), len(meta)) + meta + rest


def _strm(to: int, source: int, type: int, rest: bytes = b"", more: bytes = b"") -> bytes:
    return _prpc(num(1, to) + num(2, source) + num(3, type) + more, rest, b"STRM")


_ECHO = blob(1, "example.EchoService") + blob(2, "Echo")
_STREAM = blob(8, num(1, 50) + num(2, 1))
BRPC_CALLS = [
    _prpc(blob(1, _ECHO) + num(4, 7), b"\x0a\2hi"),
    _prpc(blob(1, _ECHO + num(3, 5) + blob(7, "r-1") + num(8, 1500)) + num(4, 7) + num(3, 2) + num(10, 1)
          + pair(9, "Tenant", "t1"), b"hi"),
    _prpc(blob(1, _ECHO) + num(4, 7) + _STREAM) + _strm(1, 50, 3, b"abc") + _strm(1, 50, 2),
    _prpc(blob(1, _ECHO) + num(4, 7) + _STREAM) + _strm(1, 50, 3, b"a", num(4, 1)) + _strm(1, 50, 1),
    _strm(1, 50, 4, b"", blob(5, num(1, 64))),
]  # fmt: skip
BRPC_ANSWERS = [
    _prpc(blob(2, b"") + num(4, 1), b"\x0a\2hi"), _prpc(blob(2, num(1, 1001) + blob(2, "no route")) + num(4, 1)),
    _prpc(blob(2, b"") + num(4, 1) + blob(8, num(1, 900) + num(2, 1))) + _strm(1, 900, 3, b"x") + _strm(1, 900, 2),
    _prpc(blob(2, num(1, 2003) + blob(2, "stopping")) + num(4, 1)), _strm(1, 900, 1),
]  # fmt: skip


def _trpc(header: bytes, body: bytes = b"", id: int = 7, kind: int = 0, type: int = 0) -> bytes:
    return struct.pack(">HBBIHIH", 0x0930, kind, type, 16 + len(header) + len(body), len(header), id, 0) + header + body


def _piece(type: int, id: int, payload: bytes = b"") -> bytes:
    return _trpc(b"", payload, id, 1, type)


_SAY = blob(5, "trpc.app.client.Svc") + blob(6, "trpc.app.echo.Echo") + blob(7, "/trpc.app.echo.Echo/Say")
_CHAT = blob(1, blob(1, "c") + blob(2, "trpc.app.echo.Echo") + blob(3, "/trpc.app.echo.Echo/Chat"))
TRPC_CALLS = [
    _trpc(num(3, 7) + _SAY, b"\x0a\2hi"),
    _trpc(num(3, 7) + _SAY + num(2, 0) + num(4, 1500) + pair(9, "Tenant", "t1") + num(10, 2) + num(12, 3), b"bodyatt"),
    _trpc(num(3, 7) + _SAY + num(2, 1)),
    _piece(1, 100, _CHAT + num(3, 65535)) + _piece(2, 100, b"hi") + _piece(4, 100),
    _piece(1, 100, _CHAT + num(3, 65535)) + _piece(4, 100, num(1, 1) + num(2, 31) + blob(3, "x")),
    _piece(3, 100, num(1, 1024)),
]
TRPC_ANSWERS = [
    _trpc(num(3, 1), b"\x0a\2hi", 1), _trpc(num(3, 1) + num(4, 11) + blob(6, "no route"), id=1),
    _trpc(num(3, 1) + num(5, 4711) + pair(8, "back", "b"), id=1),
    _piece(1, 1, blob(2, b"") + num(3, 65535)) + _piece(2, 1, b"hi") + _piece(4, 1),
    _piece(1, 1, blob(2, num(1, 11) + blob(2, "no route"))), _piece(4, 1, num(1, 1) + num(2, 31)),
    _piece(3, 1, num(1, 1024)),
]  # fmt: skip

POSTGRES_HELLO = startup(user="ann", database="shop")
POSTGRES_WELCOME = LOGGED_IN + ready()
POSTGRES_REQUESTS = [
    query("select 1"), query("set a.b to 'c'; listen d"), query("begin"), query("commit"), query("discard all"),
    parse("select $1", "s") + SYNC, bind("s", b"x") + EXECUTE + SYNC,
    parse("copy t from stdin") + bind() + EXECUTE + SYNC,
    parse("select 1") + bind() + EXECUTE + FLUSH, SYNC, pg("d", b"1\n") + pg("c"), pg("f", b"no\0") + SYNC,
    pg("C", b"Ss\0") + pg("D", b"Ss\0") + SYNC, query("deallocate s"), pg("F", b"\0\0\0\1\0\0\0\0\0\0"), BYE,
]  # fmt: skip
MYSQL_REQUESTS = [
    my.query("select 1"), my.query("use other"), my.query("set names utf8"), my.command(2, "other"), my.command(14),
    my.command(0x16, "select ?"), my.command(0x17, b"\1\0\0\0\0\1\0\0\0"), my.command(0x19, b"\1\0\0\0"),
    my.command(0x1F), my.command(0x11, b"ann\0\0d\0"), my.command(1), my.login(),
    my.login(user="bob"), my.command(0xFA, b"\xff\xff\xff\xff\x80\0\3\0\0\1\0\0\0"),
]  # fmt: skip
MYSQL_ANSWERS = [
    my.ok(), my.error(), my.rows([["1", "a"], ["2", "b"]]), my.rows([["x" * 300]] * 5), my.prepared(1, 1, 2),
    my.rows([["1"]], status=10) + my.ok(5), my.greeting(),
    my.rows([["app", "*" + "A" * 40]]), my.rows([["app", "$A$005$" + "s" * 20 + "d" * 43]]), my.rows([["0"]], status=0),
]  # fmt: skip
_SCRAM_FIRST = b"n,,n=ann,r=abcdefghijkl"
POSTGRES_PASSWORDS = [
    pg("p", b"md5" + b"a" * 32 + b"\0"),
    pg("p", b"SCRAM-SHA-256\0" + struct.pack(">i", len(_SCRAM_FIRST)) + _SCRAM_FIRST)
    + pg("p", b"c=biws,r=abcdefghijkl,p=" + b"A" * 43 + b"="),
]
MONGODB_LOGINS = [
    command(1, {"hello": 1, "saslSupportedMechs": "admin.ann", "$db": "admin"}),
    command(1, {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": _SCRAM_FIRST, "$db": "admin"}),
    command(1, {"saslStart": 1, "mechanism": "SCRAM-SHA-1", "payload": _SCRAM_FIRST, "$db": "admin"})
    + command(2, {"saslContinue": 1, "conversationId": 1, "payload": b"c=biws,r=a,p=AAAA", "$db": "admin"}),
    command(1, {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": b"n,,n=bob,r=abc", "$db": "shop"}),
]
MONGODB_COMPRESSED = [
    command(1, {"hello": 1, "compression": ["zlib", "zstd", "snappy"], "$db": "admin"})
    + packed(command(2, {"find": "a", "filter": {"item": "x" * size}}), name)
    for name in ("zlib", "zstd", "snappy")
    for size in (3, 300)
]
POSTGRES_ANSWERS = [
    DONE + ready(), ROW + DONE + ready("T"), error() + ready("E"), PARSED + BOUND + DONE + ready(), COPY_IN,
    PARSED + BOUND + DONE, error("57P01", "end", "FATAL"), pg("N", b"SNOTICE\0\0"), pg("A", b"\0\0\0\1d\0e\0"),
    pg("3") + ready(), pg("W", b"\0\0\0") + pg("d", b"x") + pg("c") + DONE + ready(),
    pg("t", b"\0\0") + pg("n") + ready(),
]  # fmt: skip
_AMQP_HEADERS = amqp.headers({"tenant": "t1", "n": 5, "x": {"y": True}})
AMQP_REQUESTS = [
    amqp.method("channel.open", 1, b"\0"), amqp.queue_declare(), amqp.queue_declare("", channel=2), amqp.get(""),
    amqp.exchange_declare("e", arguments=amqp.table({"alternate-exchange": "ae"})), amqp.consume(bits=8),
    amqp.queue_bind("", "e", ""), amqp.published(properties=_AMQP_HEADERS), amqp.published(b""),
    amqp.published(b"x" * 300, frame_max=100), amqp.published(b"x" * 20, channel=2)[:-13] + amqp.get(channel=1),
    amqp.method("basic.ack", 1, b"\0" * 9), amqp.method("tx.commit"), amqp.method("channel.close-ok"),
    amqp.method("channel.close", 1, b"\0\xc8\0\0\0\0\0"), amqp.method("connection.close", 0, b"\0\xc8\0\0\0\0\0"),
    amqp.BEAT, amqp.start_ok(), amqp.tune_ok(heartbeat=1),
]  # fmt: skip
AMQP_ANSWERS = [
    amqp.channel_open_ok(), amqp.declare_ok(), amqp.declare_ok("amq.gen-1", channel=2), amqp.got(), amqp.GET_EMPTY,
    amqp.delivered(properties=_AMQP_HEADERS), amqp.delivered(b"x" * 300), amqp.returned(),
    amqp.channel_close(404, "NOT_FOUND", "exchange.declare"), amqp.channel_close(channel=2), amqp.connection_close(),
    amqp.method("basic.ack", 1, b"\0" * 9), amqp.method("connection.blocked", 0, b"\3low"), amqp.BEAT,
    amqp.method("connection.close-ok", 0), amqp.method("channel.close-ok"), amqp.START, amqp.tune(), amqp.OPEN_OK,
]  # fmt: skip

_BROKERS = [(1, "10.0.0.1", 9092), (2, "10.0.0.2", 9092)]
KAFKA_LOGIN = kafka.request(kafka.SASL_HANDSHAKE, 1, 1, kafka.text("PLAIN")) + kafka.request(
    36, 2, 2, kafka.compact(b"\0app\0secret") + b"\0", tags=b"\0"
)
KAFKA_ASKED = [
    kafka.api_versions(1), kafka.metadata(2, ["orders"]), kafka.produce(3, {"orders": [b"r", b"s"]}), kafka.fetch(4),
    kafka.find_coordinator(5, ["billing"]), kafka.join_group(6), kafka.fetch(7),
    kafka.request(1, 17, 8, b"", tags=b"\0"),
]  # fmt: skip
"""With the ids that the answers below have."""
KAFKA_REQUESTS = [
    kafka.produce(1, {"orders": [b"r"]}, acks=0), kafka.produce(1, {"orders": [b"r" * 200], "bills": [b"s"]}),
    kafka.produce(1, {"orders": [b"r" * 200]}, acks=0), kafka.produce_by_id(1, kafka.ORDERS), kafka.api_versions(1, 99),
    kafka.api_versions(1, 0), kafka.request(kafka.SASL_HANDSHAKE, 0, 1, kafka.text("PLAIN")),
    kafka.request(kafka.SASL_HANDSHAKE, 1, 1, kafka.text("PLAIN")),
    kafka.request(36, 2, 1, kafka.compact(b"\0app\0secret") + b"\0", tags=b"\0"),
    kafka.produce(1, {"orders": [b"r"]}, transaction=b"t1"), kafka.metadata(1), kafka.fetch(-1),
    kafka.request(32, 1, 1, kafka.array([b"\2" + kafka.text("orders") + kafka.int32(-1)]) + b"\0"),
    kafka.request(60, 1, 1, b"\0\1\0", tags=b"\0"), KAFKA_LOGIN + kafka.fetch(3),
    kafka.request(kafka.SASL_HANDSHAKE, 1, 1, kafka.text("SCRAM-SHA-256"))
    + kafka.request(36, 1, 2, kafka.int32(len(_SCRAM_FIRST)) + _SCRAM_FIRST)
    + kafka.request(36, 1, 3, kafka.int32(20) + b"c=biws,r=a,p=AAAAAAA"),
]  # fmt: skip
_LEADER = kafka.int32(2) + kafka.compact("10.0.0.2") + kafka.int32(9092) + kafka.compact(None) + b"\0"
_LEADERS = b"\1\0" + kafka.varint(len(kafka.packed([_LEADER]))) + kafka.packed([_LEADER])
_KAFKA_ANSWERS: list[Callable[[int], bytes]] = [
    lambda id: kafka.offered(id, [(0, 0, 99), (1, 4, 17), (17, 0, 1), (99, 0, 1)]),
    lambda id: kafka.cluster(id, _BROKERS, [("orders", kafka.ORDERS)]),
    lambda id: kafka.produced(id, {"orders": [0, 6]}, throttle=250),
    lambda id: kafka.fetched(id, b"records"),
    lambda id: kafka.coordinators(id, [("billing", 2, "10.0.0.2", 9092)]),
    kafka.joined,
    lambda id: kafka.fetched(id, b"r" * 300),
    lambda id: kafka.answer(id, bytes(10) + kafka.packed([]) + _LEADERS, tags=b"\0"),
]
KAFKA_ANSWERS = [made(id) for id, made in enumerate(_KAFKA_ANSWERS, 1)] + [made(1) for made in _KAFKA_ANSWERS]
"""Under the id of what they answer, and under that of the first request of a connection."""
_PUBLISH = amqp.method("basic.publish", 1, b"\0\0" + amqp.short("orders") + amqp.short("new") + b"\0")
_BODY = amqp.content(1, b"x" * 900, frame_max=100)
AMQP_REQUESTS += [
    _PUBLISH + amqp.get(channel=2) + _BODY, _PUBLISH + _BODY[:200] + amqp.published(channel=2) + _BODY[200:],
    amqp.BEAT * 3, amqp.published(b"", properties=b"\x90\0" + amqp.short("text") + b"\2"), b"AMQP\0\1\0\0",
    amqp.exchange_declare("orders", 16),
]  # fmt: skip
AMQP_ANSWERS += [
    amqp.delivered()[:60] + amqp.method("basic.ack", 2, bytes(9)) + amqp.delivered()[60:], b"AMQP\0\0\x09\x01",
    amqp.method("basic.cancel", 1, amqp.short("ctag") + b"\1"), amqp.delivered(channel=2),
]  # fmt: skip
