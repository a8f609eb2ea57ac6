"""
Requests and answers from RFC 9110 and RFC 9112, each with the verdict on where it ends, or with what it is refused.

Lives here: the table alone, so that unit tests ask our sessions and interop tests ask other servers behind them. Does
not: any check.
"""

# ruff: noqa: E501 - a case a line reads best

from __future__ import annotations

from typing import NamedTuple

HOST = b"Host: a.example\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED_OK = OK + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n"
"""What follows a request that leaves its connection open: it must be read as a request of its own."""


class Accepted(NamedTuple):
    """
    rule: the section that decides. data: the whole message, which ends where `data` ends. body: what it carries, None
    for an answer whose body goes on to the end of the connection. last: its connection ends with it. to: the method of
    the request that an answer is for. trailers: of a body in chunked form.
    """

    rule: str
    name: str
    data: bytes
    body: bytes | None = b""
    last: bool = False
    to: bytes = b"GET"
    trailers: bytes = b""


class Refused(NamedTuple):
    """status: what a request is answered with; 502 for an answer, as that is what its client gets."""

    rule: str
    name: str
    data: bytes
    status: int = 400


def _get(lines: bytes) -> bytes:
    return GET + lines + b"\r\n"


def _post(lines: bytes, body: bytes) -> bytes:
    return POST + lines + b"\r\n" + body


GOOD_REQUESTS = [
    Accepted("9112 2.1", "the smallest request", _get(b"")),
    Accepted("9112 2.2", "one empty line before the request line", b"\r\n" + _get(b"")),
    Accepted("9112 3", "a method of WebDAV", b"PROPFIND / HTTP/1.1\r\n" + HOST + b"\r\n"),
    Accepted("9112 3.2.1", "a query", b"GET /a?b=c&d=%20 HTTP/1.1\r\n" + HOST + b"\r\n"),
    Accepted("9112 3.2.1", "a path with dots and escapes", b"GET /a/../b/%2e%2e/c;x=1 HTTP/1.1\r\n" + HOST + b"\r\n"),
    Accepted("9112 3.2.1", "a query with a question mark", b"GET /?a?b HTTP/1.1\r\n" + HOST + b"\r\n"),
    Accepted("9112 3.2.2", "absolute form", b"GET http://a.example/b HTTP/1.1\r\n" + HOST + b"\r\n"),
    Accepted("9112 3.2.2", "absolute form without a path", b"GET http://a.example HTTP/1.1\r\n" + HOST + b"\r\n"),
    Accepted("9112 3.2.2", "absolute form with a query alone", b"GET http://a.example?q HTTP/1.1\r\n" + HOST + b"\r\n"),
    Accepted("9110 4.2.3", "absolute form with the default port", b"GET http://a.example:80/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    Accepted("9110 4.2.3", "absolute form in other letters", b"GET HTTP://A.Example/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    Accepted("9112 3.2.4", "asterisk form", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"),
    Accepted("9110 9.3.7", "OPTIONS of a path", b"OPTIONS /a HTTP/1.1\r\n" + HOST + b"\r\n"),
    Accepted("9110 7.2", "a host with a port", b"GET / HTTP/1.1\r\nHost: a.example:8080\r\n\r\n"),
    Accepted("9110 7.2", "a host of IPv6", b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n"),
    Accepted("9110 7.2", "a host in any letters", b"GET / HTTP/1.1\r\nHOST: A.Example\r\n\r\n"),
    Accepted("9112 5", "a value without a blank before it", _get(b"X-A:b\r\n")),
    Accepted("9112 5", "a value with blanks around it", _get(b"X-A: \t b \t\r\n")),
    Accepted("9112 5", "an empty value", _get(b"X-A:\r\n")),
    Accepted("9110 5.1", "a name of all characters of a token", _get(b"!#$%&'*+-.^_`|~09aZ: b\r\n")),
    Accepted("9110 5.5", "a value with a tab and blanks inside", _get(b"X-A: b \t c\r\n")),
    Accepted("9110 5.5", "a value of bytes beyond ASCII", _get(b"X-A: \xc3\xa4\xff\r\n")),
    Accepted("9110 5.2", "a field twice", _get(b"X-A: b\r\nX-A: c\r\n")),
    Accepted("9112 6.2", "a sized body", _post(b"Content-Length: 5\r\n", b"hello"), b"hello"),
    Accepted("9112 6.2", "a sized body that looks like a request", _post(b"Content-Length: 18\r\n", b"GET / HTTP/1.1\r\n\r\n"), b"GET / HTTP/1.1\r\n\r\n"),
    Accepted("9112 6.2", "a length before the host", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n" + HOST + b"\r\nhello", b"hello"),
    Accepted("9112 6.2", "a length before another field that a proxy looks at", b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTE: trailers\r\nConnection: te\r\n" + HOST + b"\r\nhello", b"hello"),
    Accepted("9112 6.2", "a length and keep-alive", _post(b"Connection: keep-alive\r\nContent-Length: 5\r\n", b"hello"), b"hello"),
    Accepted("9112 6.2", "a length and two fields about the connection", _post(b"Connection: keep-alive\r\nConnection: keep-alive\r\nContent-Length: 5\r\n", b"hello"), b"hello"),
    Accepted("9112 6.2", "a length with leading zeros", _post(b"Content-Length: 005\r\n", b"hello"), b"hello"),
    Accepted("9112 6.2", "a length of zero", _post(b"Content-Length: 0\r\n", b"")),
    Accepted("9112 6.3", "POST without a body", _post(b"", b"")),
    Accepted("9110 9.3.1", "GET with a body", _get(b"Content-Length: 2\r\n") + b"hi", b"hi"),
    Accepted("9110 9.3.5", "DELETE with a body", b"DELETE /a HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nhi", b"hi"),
    Accepted("9110 9.3.2", "HEAD", b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n"),
    Accepted("9110 9.3.8", "TRACE", b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n"),
    Accepted("9112 7.1", "a body in chunked form", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    Accepted("9112 7.1", "two chunks", CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
    Accepted("9112 7.1", "an empty body in chunked form", CHUNKED + b"0\r\n\r\n"),
    Accepted("9112 7.1", "sizes with letters of either case", CHUNKED + b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    Accepted("9112 7.1", "a size with leading zeros", CHUNKED + b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
    Accepted("9112 7.1", "a last chunk of many zeros", CHUNKED + b"5\r\nhello\r\n0000000000000000\r\n\r\n", b"hello"),
    Accepted("9112 7.1", "payload that looks like chunks", CHUNKED + b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    Accepted("9112 7.1.1", "a chunk extension", CHUNKED + b"5;a=b\r\nhello\r\n0;c\r\n\r\n", b"hello"),
    Accepted("9112 7.1.1", "a chunk extension in quotes", CHUNKED + b'5;a="b;c"\r\nhello\r\n0\r\n\r\n', b"hello"),
    Accepted("9112 7.1.2", "trailers", CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n", b"hello", trailers=b"x-sum: abc\r\n"),
    Accepted("9112 7.1.2", "trailers of an empty body", CHUNKED + b"0\r\nX-Sum: abc\r\n\r\n", trailers=b"x-sum: abc\r\n"),
    Accepted("9110 6.5.1", "a trailer that may not be one is dropped", CHUNKED + b"5\r\nhello\r\n0\r\nHost: b\r\n\r\n", b"hello"),
    Accepted("9112 7", "chunked in other letters", POST + b"Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    Accepted("9112 9.6", "close", _get(b"Connection: close\r\n"), last=True),
    Accepted("9112 9.6", "close among other options", _get(b"Connection: x-a, Close\r\nX-A: b\r\n"), last=True),
    Accepted("9112 9.3", "keep-alive", _get(b"Connection: keep-alive\r\n")),
    Accepted("9110 7.6.1", "a field that Connection names", _get(b"Connection: X-A\r\nX-A: b\r\n")),
    Accepted("9112 9.3", "HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n", last=True),
    Accepted("9112 9.3", "HTTP/1.0 with a host", b"GET / HTTP/1.0\r\n" + HOST + b"\r\n", last=True),
    Accepted("9112 9.3", "HTTP/1.0 with keep-alive", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", last=True),
    Accepted("9112 6.3", "HTTP/1.0 with a body", b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", b"hello", last=True),
    Accepted("9110 10.1.1", "an expectation with its body at once", _post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello"), b"hello"),
    Accepted("9110 10.1.1", "an expectation without a body", _get(b"Expect: 100-continue\r\n")),
    Accepted("9110 10.1.1", "an expectation of HTTP/1.0 is passed over", b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", b"hello", last=True),
    Accepted("9110 7.8", "an Upgrade to what is not known is passed over", _get(b"Connection: upgrade\r\nUpgrade: x/1\r\n")),
    Accepted("9110 7.8", "an Upgrade that Connection does not name is passed over", _get(b"Upgrade: websocket\r\n")),
    Accepted("9110 7.8", "an Upgrade with a body is passed over", _post(b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n", b"hello"), b"hello"),
    Accepted("9110 7.8", "an Upgrade in HTTP/1.0 is passed over", b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", last=True),
    Accepted("9110 10.1.4", "TE with trailers", _get(b"Connection: TE\r\nTE: trailers, deflate;q=0.5\r\n")),
]  # fmt: skip

BAD_REQUESTS = [
    # Request line
    Refused("9112 2.2", "lines that end with LF alone", b"GET / HTTP/1.1\nHost: a.example\n\n"),
    Refused("9112 2.2", "a field line that ends with LF alone", _get(b"X-A: b\nX-C: d\r\n")),
    Refused("9112 2.2", "a request line that ends with LF alone", b"GET / HTTP/1.1\n" + HOST + b"\r\n"),
    Refused("9112 2.2", "an empty line that is LF alone", GET + b"\n" + NEXT),
    Refused("9112 2.2", "a request line that ends with CR alone", b"GET / HTTP/1.1\r" + HOST + b"\r\n"),
    Refused("9112 2.2", "CR within a value", _get(b"X-A: b\rc\r\n")),
    Refused("9112 2.2", "CR behind a value", _get(b"X-A: b\r\r\n")),
    Refused("9112 2.2", "a blank between request line and fields", b"GET / HTTP/1.1\r\n " + HOST + b"\r\n"),
    Refused("9112 3", "a blank before the method", b" GET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3", "two blanks behind the method", b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3", "a tab behind the method", b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3", "two blanks behind the target", b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3", "a blank behind the version", b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n"),
    Refused("9112 3", "no version", b"GET /\r\n" + HOST + b"\r\n"),
    Refused("9112 3", "no target", b"GET HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3", "a version in small letters", b"GET / http/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3", "a version with two digits", b"GET / HTTP/1.10\r\n" + HOST + b"\r\n"),
    Refused("9112 3", "another protocol", b"GET / RTSP/1.0\r\n" + HOST + b"\r\n"),
    Refused("9112 3", "a method with a control character", b"G\x01T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3", "a method with a colon", b"GET: / HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9110 9.1", "a method in small letters is another one", b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    Refused("9110 9.1", "a method that is not known", b"FROBNICATE / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    Refused("9110 9.3.6", "CONNECT that is not allowed", b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", 501),
    Refused("9112 2.3", "HTTP/2.0", b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    Refused("9112 2.3", "HTTP/0.9 as a version", b"GET / HTTP/0.9\r\n" + HOST + b"\r\n", 505),
    Refused("9112 2.3", "HTTP/1.2", b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", 505),
    # Target
    Refused("9112 3.2", "a blank in a path", b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3.2", "a control character in a path", b"GET /a\x01b HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3.2", "a tab in a path", b"GET /a\tb HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3.2", "NUL in a path", b"GET /a\0b HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3.2", "DEL in a path", b"GET /a\x7fb HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3.2", "bytes beyond ASCII in a path", b"GET /\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3.2", "a fragment", b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3.2", "a path without a slash", b"GET a HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3.2.2", "absolute form of another host", b"GET http://b.example/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3.2.2", "absolute form of another port", b"GET http://a.example:81/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9110 4.2.4", "absolute form with a user", b"GET http://u@a.example/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3.2.2", "absolute form of another scheme", b"GET ftp://a.example/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9110 4.2.1", "absolute form without a host", b"GET http:///a HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3.2.4", "asterisk form of GET", b"GET * HTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("9112 3", "a target that is too long", b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    # Host
    Refused("9112 3.2", "no host", b"GET / HTTP/1.1\r\n\r\n"),
    Refused("9112 3.2", "no host beside a length", b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTE: trailers\r\n\r\nhello"),
    Refused("9112 3.2", "two hosts", _get(HOST)),
    Refused("9112 3.2", "two different hosts", _get(b"Host: b.example\r\n")),
    Refused("9112 3.2", "two hosts in one", b"GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n"),
    Refused("9110 4.2.1", "an empty host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    Refused("9110 7.2", "a host with a path", b"GET / HTTP/1.1\r\nHost: a.example/b\r\n\r\n"),
    Refused("9110 7.2", "a host with a user", b"GET / HTTP/1.1\r\nHost: u@a.example\r\n\r\n"),
    Refused("9110 7.2", "a host with a blank", b"GET / HTTP/1.1\r\nHost: a. example\r\n\r\n"),
    Refused("9110 7.2", "a host with a port that is no number", b"GET / HTTP/1.1\r\nHost: a.example:x\r\n\r\n"),
    Refused("9110 7.2", "a host with a port that is none", b"GET / HTTP/1.1\r\nHost: a.example:70000\r\n\r\n"),
    Refused("9110 7.2", "two hosts in HTTP/1.0", b"GET / HTTP/1.0\r\n" + HOST + HOST + b"\r\n"),
    # Fields
    Refused("9112 5.1", "a blank before the colon", b"GET / HTTP/1.1\r\nHost : a.example\r\n\r\n"),
    Refused("9112 5.1", "a tab before the colon", _get(b"X-A\t: b\r\n")),
    Refused("9112 5.1", "a blank before the colon of a length", _post(b"Content-Length : 5\r\n", b"hello")),
    Refused("9112 5.2", "a folded line", _get(b"X-A: b\r\n c\r\n")),
    Refused("9112 5.2", "a line folded with a tab", _get(b"X-A: b\r\n\tc\r\n")),
    Refused("9112 5.2", "a folded Transfer-Encoding", _post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n")),
    Refused("9110 5.1", "a blank in a name", _get(b"X A: b\r\n")),
    Refused("9110 5.1", "an empty name", _get(b": b\r\n")),
    Refused("9110 5.1", "a name with a control character", _get(b"X\x01A: b\r\n")),
    Refused("9110 5.1", "a name with a byte beyond ASCII", _get(b"X\xff: b\r\n")),
    Refused("9110 5.1", "a name in parentheses", _get(b"X(A): b\r\n")),
    Refused("9112 5", "a line without a colon", _get(b"X-A\r\n")),
    Refused("9110 5.5", "NUL in a value", _get(b"X-A: b\0c\r\n")),
    Refused("9110 5.5", "a control character in a value", _get(b"X-A: b\x01c\r\n")),
    Refused("9110 5.5", "DEL in a value", _get(b"X-A: b\x7fc\r\n")),
    Refused("9110 5.4", "too many fields", _get(b"X-A: b\r\n" * 200), 431),
    Refused("9110 5.4", "a head that is too long", _get(b"X-A: %b\r\n" % (b"a" * 65536)), 431),
    # Where a body ends
    Refused("9112 6.3", "a length beside chunked", _post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n")),
    Refused("9112 6.3", "chunked beside a length", _post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n")),
    Refused("9112 6.3", "two lengths", _post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!")),
    Refused("9112 6.3", "a length twice", _post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello")),
    Refused("9112 6.3", "a length twice in one", _post(b"Content-Length: 5, 5\r\n", b"hello")),
    Refused("9112 6.2", "a length with a sign", _post(b"Content-Length: +5\r\n", b"hello")),
    Refused("9112 6.2", "a negative length", _post(b"Content-Length: -5\r\n", b"hello")),
    Refused("9112 6.2", "a length in hexadecimal", _post(b"Content-Length: 0x5\r\n", b"hello")),
    Refused("9112 6.2", "a length that is no number", _post(b"Content-Length: five\r\n", b"hello")),
    Refused("9112 6.2", "a length with a blank inside", _post(b"Content-Length: 1 0\r\n", b"hello")),
    Refused("9112 6.2", "an empty length", _post(b"Content-Length:\r\n", b"hello")),
    Refused("9112 6.2", "a length beyond all numbers", _post(b"Content-Length: 99999999999999999999999\r\n", b"")),
    Refused("9112 6.2", "a length with an underscore", _post(b"Content-Length: 1_0\r\n", b"hello")),
    Refused("9112 6.1", "chunked in HTTP/1.0", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    Refused("9112 6.1", "another coding alone", _post(b"Transfer-Encoding: gzip\r\n", b"")),
    Refused("9112 6.1", "another coding before chunked", _post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501),
    Refused("9112 6.1", "another coding behind chunked", _post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n")),
    Refused("9112 6.1", "chunked twice in one", _post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n")),
    Refused("9112 6.1", "chunked in two fields", _post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n")),
    Refused("9112 6.1", "identity", _post(b"Transfer-Encoding: identity\r\n", b"")),
    Refused("9112 6.1", "identity before chunked", _post(b"Transfer-Encoding: identity, chunked\r\n", b"0\r\n\r\n"), 501),
    Refused("9112 6.1", "almost chunked", _post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n")),
    Refused("9112 6.1", "chunked in quotes", _post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n")),
    Refused("9112 6.1", "chunked behind a vertical tab", _post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n")),
    Refused("9112 6.1", "an empty coding", _post(b"Transfer-Encoding:\r\n", b"")),
    Refused("9112 6.1", "chunked with a parameter", _post(b"Transfer-Encoding: chunked;a=b\r\n", b"0\r\n\r\n")),
    Refused("9110 9.3.8", "TRACE with a body", b"TRACE / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nhi"),
    # Chunks
    Refused("9112 7.1", "a size with a prefix", CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1", "a negative size", CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1", "a size with a sign", CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1", "an empty size", CHUNKED + b"\r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1", "a size that is no number", CHUNKED + b"g\r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1", "a size behind a blank", CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1", "a size before a blank", CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1", "a size with an underscore", CHUNKED + b"0_5\r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1", "a size of too many digits", CHUNKED + b"00000000000000005\r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1", "a size beyond 63 bits", CHUNKED + b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1", "a size that ends with LF alone", CHUNKED + b"5\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1", "a size that ends with CR alone", CHUNKED + b"5\rhello\r\n0\r\n\r\n"),
    Refused("9112 7.1", "payload that ends with LF alone", CHUNKED + b"5\r\nhello\n0\r\n\r\n"),
    Refused("9112 7.1", "payload longer than its size", CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n"),
    Refused("9112 7.1", "other bytes behind the payload", CHUNKED + b"5\r\nhelloXX0\r\n\r\n"),
    Refused("9112 7.1.1", "an extension behind a blank", CHUNKED + b"5 ;a=b\r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1.1", "an extension with LF", CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1.1", "an extension with CR", CHUNKED + b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1.1", "an extension with NUL", CHUNKED + b"5;a\0b\r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1.1", "an extension that is too long", CHUNKED + b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n"),
    Refused("9112 7.1.1", "extensions of too many bytes", CHUNKED + b"1;aaaaaaaaaaaaaaa\r\nx\r\n" * 300 + b"0\r\n\r\n"),
    Refused("9112 7.1.2", "a trailer that ends with LF alone", CHUNKED + b"0\r\nX-A: b\n\r\n"),
    Refused("9112 7.1.2", "a trailer with a blank before its colon", CHUNKED + b"0\r\nX-A : b\r\n\r\n"),
    Refused("9112 7.1.2", "a folded trailer", CHUNKED + b"0\r\nX-A: b\r\n c\r\n\r\n"),
    Refused("9112 7.1.2", "a trailer without a colon", CHUNKED + b"0\r\nhello\r\n\r\n"),
    # Connection, Expect
    Refused("9110 7.6.1", "Connection names Host", _get(b"Connection: Host\r\n")),
    Refused("9110 7.6.1", "Connection names Content-Length", _post(b"Connection: content-length\r\nContent-Length: 5\r\n", b"hello")),
    Refused("9110 7.6.1", "Connection names Transfer-Encoding", _post(b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n")),
    Refused("9110 10.1.1", "another expectation", _get(b"Expect: a=b\r\n"), 417),
    # What is no HTTP
    Refused("9112 3", "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    Refused("9112 3", "Redis", b"*1\r\n$4\r\nPING\r\n"),
    Refused("9112 3", "a word that never ends", b"A" * 100),
]  # fmt: skip

GOOD_ANSWERS = [
    Accepted("9112 6.3", "a sized body", OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    Accepted("9112 6.3", "an empty body", OK + b"Content-Length: 0\r\n\r\n"),
    Accepted("9112 6.3", "a body in chunked form", CHUNKED_OK + b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    Accepted("9112 7.1.1", "chunk extensions", CHUNKED_OK + b"5;a=b\r\nhello\r\n0\r\n\r\n", b"hello"),
    Accepted("9112 7.1.2", "trailers", CHUNKED_OK + b"5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n", b"hello", trailers=b"x-sum: abc\r\n"),
    Accepted("9112 6.3", "a body to the end of the connection", OK + b"\r\nhello", None, last=True),
    Accepted("9112 6.3", "a body to the end of HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\nhello", None, last=True),
    Accepted("9112 9.3", "HTTP/1.0 with a length", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", last=True),
    Accepted("9112 9.3", "HTTP/1.0 that stays open", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    Accepted("9112 9.6", "close", OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", b"hello", last=True),
    Accepted("9112 9.6", "close with chunks", OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello", last=True),
    Accepted("9112 9.3", "keep-alive", OK + b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    Accepted("9112 4", "no reason, with its blank", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    Accepted("9112 4", "no reason at all", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    Accepted("9112 4", "a reason beyond ASCII", b"HTTP/1.1 200 G\xc3\xbct\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    Accepted("9110 15", "a status that is not known", b"HTTP/1.1 599 Other\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    Accepted("9110 15.3.5", "204", b"HTTP/1.1 204 No Content\r\n\r\n"),
    Accepted("9110 15.3.5", "204 with a length", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
    Accepted("9112 6.1", "204 with chunked", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
    Accepted("9110 15.4.5", "304 with the length of what it stands for", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    Accepted("9110 15.4.5", "304 without a length", b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"),
    Accepted("9110 9.3.2", "to HEAD, with the length of what it stands for", OK + b"Content-Length: 5\r\n\r\n", to=b"HEAD"),
    Accepted("9110 9.3.2", "to HEAD, with chunked", OK + b"Transfer-Encoding: chunked\r\n\r\n", to=b"HEAD"),
    Accepted("9110 9.3.2", "to HEAD, without a length", OK + b"\r\n", to=b"HEAD"),
    Accepted("9110 15.3.6", "205 with an empty body", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
    Accepted("9110 15.5", "a failure of the client's", b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", b"no"),
    Accepted("9110 15.6", "a failure of the server's", b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno", b"no"),
    Accepted("9110 5.2", "a field twice", OK + b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"),
    Accepted("9110 15.2", "behind 100", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
    Accepted("9110 15.2", "behind 103", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
    Accepted("9110 15.2", "behind 100 and 102", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
]  # fmt: skip

BAD_ANSWERS = [
    Refused("9112 4", "another protocol", b"ICY 200 OK\r\n\r\n", 502),
    Refused("9112 4", "HTTP/2.0", b"HTTP/2.0 200 OK\r\n\r\n", 502),
    Refused("9112 4", "two blanks behind the version", b"HTTP/1.1  200 OK\r\n\r\n", 502),
    Refused("9112 4", "a status of two digits", b"HTTP/1.1 20 OK\r\n\r\n", 502),
    Refused("9112 4", "a status of four digits", b"HTTP/1.1 2000 OK\r\n\r\n", 502),
    Refused("9112 4", "a status that is no number", b"HTTP/1.1 2x0 OK\r\n\r\n", 502),
    Refused("9112 4", "a status below 100", b"HTTP/1.1 099 OK\r\n\r\n", 502),
    Refused("9112 4", "a control character in the reason", b"HTTP/1.1 200 O\x01K\r\n\r\n", 502),
    Refused("9112 2.2", "lines that end with LF alone", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", 502),
    Refused("9112 2.2", "CR within a value", OK + b"X-A: b\rc\r\nContent-Length: 0\r\n\r\n", 502),
    Refused("9112 5.1", "a blank before the colon", OK + b"Content-Length : 5\r\n\r\nhello", 502),
    Refused("9112 5.2", "a folded line", OK + b"X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n", 502),
    Refused("9110 5.5", "NUL in a value", OK + b"X-A: b\0c\r\nContent-Length: 0\r\n\r\n", 502),
    Refused("9112 5", "a line without a colon", OK + b"hello\r\n\r\n", 502),
    Refused("9112 6.3", "a length beside chunked", OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
    Refused("9112 6.3", "two lengths", OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 502),
    Refused("9112 6.3", "a length twice", OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 502),
    Refused("9112 6.2", "a negative length", OK + b"Content-Length: -5\r\n\r\nhello", 502),
    Refused("9112 6.2", "a length twice in one", OK + b"Content-Length: 5, 5\r\n\r\nhello", 502),
    Refused("9112 6.1", "another coding", OK + b"Transfer-Encoding: gzip\r\n\r\nhello", 502),
    Refused("9112 6.1", "another coding before chunked", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 502),
    Refused("9112 6.1", "chunked twice", OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 502),
    Refused("9112 6.1", "chunked in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
    Refused("9112 7.1", "a size that is no number", CHUNKED_OK + b"g\r\nhello\r\n0\r\n\r\n", 502),
    Refused("9112 7.1", "payload longer than its size", CHUNKED_OK + b"5\r\nhello!\r\n0\r\n\r\n", 502),
    Refused("9110 15.2.2", "101 that was not asked for", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 502),
    Refused("9110 7.6.1", "Connection names Content-Length", OK + b"Connection: content-length\r\nContent-Length: 5\r\n\r\nhello", 502),
    Refused("9110 5.4", "too many fields", OK + b"X-A: b\r\n" * 200 + b"Content-Length: 0\r\n\r\n", 502),
    Refused("9112 4", "what is no HTTP", b"SSH-2.0-OpenSSH_9.2p1\r\n", 502),
]  # fmt: skip
