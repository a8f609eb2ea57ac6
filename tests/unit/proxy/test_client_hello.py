"""What a client's first bytes say of TLS, as OpenSSL writes them and as no client should."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tls_hellos import hello_of

from metaproxy.proxy.client_hello import MOST, PLAIN, Hello, HelloReader


def read(*pieces: bytes) -> Hello | None:
    reader, found = HelloReader(), None
    for piece in pieces:
        found = reader.receive(piece)
        if found is not None:
            return found
    return found


CALL = hello_of("Echo.Example.org", ("istio", "h2"))


@pytest.mark.parametrize(("length", "expected"), [(255, "a" * 255), (256, "")])
def test_a_name_that_is_longer_than_any_hosts_is_none(length: int, expected: str) -> None:
    name = b"\0" + length.to_bytes(2, "big") + b"a" * length
    listed = len(name).to_bytes(2, "big") + name
    extensions = b"\0\0" + len(listed).to_bytes(2, "big") + listed
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + len(extensions).to_bytes(2, "big") + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    assert read(b"\x16\x03\1" + len(message).to_bytes(2, "big") + message) == Hello(True, expected)


def test_the_name_and_the_protocols_of_openssls_client_are_read() -> None:
    assert read(CALL) == Hello(True, "echo.example.org", ("istio", "h2"))
    assert read(hello_of()) == Hello(True)


@given(st.lists(st.integers(1, len(CALL) - 1), max_size=8))
def test_any_split_says_the_same(cuts: list[int]) -> None:
    places = [0, *sorted(set(cuts)), len(CALL)]
    pieces = [CALL[a:b] for a, b in pairwise(places)]
    assert read(*pieces[:-1]) is None or len(pieces) == 1
    assert read(*pieces) == Hello(True, "echo.example.org", ("istio", "h2"))


def test_a_hello_in_several_records_is_one() -> None:
    body = CALL[5:]
    records = [b"\x16\x03\x01" + len(one).to_bytes(2, "big") + one for one in (body[:3], body[3:40], body[40:])]
    assert read(b"".join(records)) == read(CALL)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xda\xbb\xc2\x00",
        b"\x16\x02\x00\x00\x05",  # no version that there ever was
        b"\x16\x03\x01\x00\x00",  # an empty record
        b"\x16\x03\x01\xff\xff",  # a record over the bound
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",  # a server's hello
        b"\x16\x03\x01\x00\x04\x01\x00\x40\x01",  # a hello over the bound
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",  # one that ends too early
        CALL[:80] + b"\xff" * (len(CALL) - 80),  # lengths beyond its end
    ],
)
def test_what_is_no_hello_counts_as_plain(data: bytes) -> None:
    assert read(data) == PLAIN


@given(st.binary(max_size=600))
def test_no_bytes_raise(data: bytes) -> None:
    read(data)
    read(CALL[:60] + data)


def test_bytes_that_trickle_in_are_bounded() -> None:
    reader = HelloReader()
    data = b"\x16\x03\x01\x00\x01\x01" + b"\x16\x03\x01\x00\x01\x00" * 2 + b"\x16\x03\x01\x00\x01\xff"
    assert reader.receive(data) is None
    found, fed = None, 0
    while found is None and fed < 2 * MOST:
        found = reader.receive(b"\x16\x03\x01\x00\x01\x00")
        fed += 1
    assert found is not None and fed < MOST


@pytest.mark.parametrize(
    ("data", "alpn"),
    [
        (b"GET / HTTP/1.1\r\n", ("http/1.1",)),
        (b"M-SEARCH * HTTP/1.0\n", ("http/1.1",)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ("h2c",)),
        (b"GET key\r\n", ()),  # Redis
        (b"PING\r\n", ()),
        (b"*1\r\n$4\r\nPING\r\n", ()),
        (b"\xda\xbb\xc2\x00", ()),
        (b"GET /" + b"a" * 9000, ()),
    ],
)
def test_http_without_tls_counts_as_offered(data: bytes, alpn: tuple[str, ...]) -> None:
    assert HelloReader(http=True).receive(data) == Hello(False, alpn=alpn)
    reader, found = HelloReader(http=True), None
    for place in range(len(data)):
        found = reader.receive(data[place : place + 1])
        if found is not None:
            break
    assert found == Hello(False, alpn=alpn)


def test_without_a_chain_that_asks_nobody_waits_for_a_line() -> None:
    assert HelloReader().receive(b"G") == PLAIN
    assert HelloReader(http=True).receive(b"G") is None
