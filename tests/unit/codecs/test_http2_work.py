"""Work on HTTP/2 grows with its bytes and no faster, however they come."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from http2_stand import GET, POST, connected_client, literal_block, raw_frame, raw_headers

from metaproxy.codecs.http.http2 import Http2Client, Options
from metaproxy.codecs.http.http2.compression import Decoder
from metaproxy.codecs.http.model import answer_head, opening, whole
from metaproxy.codecs.http.rules import Rules
from metaproxy.message import Chunk, Kind
from metaproxy.testing.work import CountedBytes, Work

MOST = 2.5
"""Times the work that twice the bytes may cost."""


def client() -> Http2Client:
    return connected_client(Options(rules=Rules(max_head=1 << 20, max_fields=1 << 20), streams=10_000))


def trickled(before: bytes, pieces: Callable[[int], bytes], step: int) -> Callable[[int], int]:
    """The work of bytes that come in reads of `step`."""

    def work(size: int) -> int:
        reader = client()
        reader.receive(before)
        data = pieces(size)
        with Work(allocations=True) as counted:
            for at in range(0, len(data), step):
                piece = CountedBytes(data[at : at + step])
                counted.of(lambda piece=piece: reader.receive(piece))  # type: ignore[misc]  # it is called at once
        assert reader.error is None
        return counted.total

    return work


def decoded(block: Callable[[int], bytes]) -> Callable[[int], int]:
    """The work of reading one block."""

    def work(size: int) -> int:
        data = block(size)
        with Work() as counted:
            counted.of(lambda: Decoder(1 << 30).decode(data))
        return counted.total

    return work


def waiting(size: int) -> int:
    """The work of chunks that wait for the client's window, which it opens by a byte each."""
    session = client()
    session.receive(raw_frame(4, 0, 0, bytes.fromhex("0004 00000000")) + raw_headers(1, GET))
    session.owed()
    session.send(opening(answer_head(200, []), 1), 1)
    with Work(allocations=True) as counted:
        for _ in range(size):
            counted.of(lambda: session.send(Chunk(Kind.STREAM_DATA, b"xy", 1), 1))
            counted.of(lambda: session.receive(raw_frame(8, 0, 1, b"\0\0\0\1")))
            counted.of(session.owed)
    assert session.error is None
    return counted.total


def answered(size: int) -> int:
    """The work of so many requests and their answers."""
    session = client()
    with Work(allocations=True) as counted:
        for number in range(1, 2 * size, 2):
            counted.of(lambda number=number: session.receive(raw_headers(number, GET)))  # type: ignore[misc]
            counted.of(lambda number=number: session.send(whole(answer_head(200, []), b"x", number), number))  # type: ignore[misc]
    assert session.error is None
    return counted.total


def names(mark: bytes) -> Callable[[int], bytes]:
    """A block of fields with names of their own, each spelled out."""
    return lambda size: b"".join(mark + b"\x02" + (0x4141 + at).to_bytes(2, "big") + b"\0" for at in range(size))


def large_head(size: int) -> bytes:
    block = literal_block([*GET, *[("x-one", "1")] * size])
    frames = [raw_frame(1, 1, 1, block[:1000])]
    rest = block[1000:]
    frames += [raw_frame(9, 0, 1, rest[at : at + 16000]) for at in range(0, len(rest), 16000)]
    return b"".join(frames) + raw_frame(9, 4, 1)


@pytest.mark.parametrize(
    ("job", "size"),
    [
        (trickled(b"", large_head, 16), 512),
        (trickled(raw_headers(1, POST, 4), lambda size: raw_frame(0, 0, 1, bytes(size)), 16), 4096),
        (trickled(raw_headers(1, POST, 4), lambda size: raw_frame(0, 0, 1, b"x") * size, 1 << 20), 400),
        (trickled(b"", lambda size: b"".join(raw_headers(1 + 2 * at, GET) for at in range(size)), 1 << 20), 400),
        (decoded(names(b"\x00")), 1000),
        (decoded(names(b"\x10")), 1000),
        (decoded(names(b"\x40")), 1000),
        (decoded(lambda size: b"\x82" * size), 1000),
        (waiting, 300),
        (answered, 300),
    ],
    ids=[
        "a head that trickles in", "data that trickle in", "small frames in one read", "requests in one read",
        "fields", "fields for no table", "fields for the table", "fields by number",
        "windows that open by a byte", "requests and answers",
    ],
)  # fmt: skip
def test_twice_the_bytes_cost_twice_the_work(job: Callable[[int], int], size: int) -> None:
    job(8)
    one, two = job(size), job(2 * size)
    assert two <= MOST * one + 2000, f"{one} for {size}, {two} for {2 * size}"
