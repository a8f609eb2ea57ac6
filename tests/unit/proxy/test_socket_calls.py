"""Reading and writing a socket that does not block, by the socket itself or in C: the same either way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from metaproxy.message import Spliced
from metaproxy.proxy.socket_calls import CLOSED, LARGE, PlainCalls, SocketCalls, calls_of

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    with ours, peer:
        yield ours, peer


@pytest.fixture(params=["quickest", "plain"])
def calls(pair: Pair, request: pytest.FixtureRequest) -> SocketCalls:
    return calls_of(pair[0]) if request.param == "quickest" else PlainCalls(pair[0])


@pytest.mark.parametrize("sizes", [(1, 100), (50_000, 50_000, 3, 3), (3, 50_000, 4096, 4097, 65_536)])
def test_what_comes_is_read_whatever_came_before(pair: Pair, calls: SocketCalls, sizes: tuple[int, ...]) -> None:
    for number, size in enumerate(sizes):
        data = bytes([number]) * size
        pair[1].sendall(data)
        assert calls.recv(65_536) == data


@pytest.mark.parametrize("size", [10, 10_000, 200_000])
def test_no_more_is_read_than_is_asked_for(pair: Pair, calls: SocketCalls, size: int) -> None:
    pair[1].setblocking(False)
    sent = pair[1].send(bytes(300_000))
    read = 0
    while read < sent:
        piece = calls.recv(size)
        assert 0 < len(piece) <= size
        read += len(piece)


def test_nothing_to_read_blocks_and_an_end_is_no_bytes(pair: Pair, calls: SocketCalls) -> None:
    with pytest.raises(BlockingIOError):
        calls.recv(10)
    pair[1].sendall(bytes(10_000))
    assert calls.recv(65_536) == bytes(10_000)
    with pytest.raises(BlockingIOError):
        calls.recv(10)
    pair[1].shutdown(socket.SHUT_WR)
    assert calls.recv(65_536) == b""


@pytest.mark.parametrize("data", [b"some bytes", memoryview(b"--some--")[2:6]])
def test_bytes_and_views_are_sent(pair: Pair, calls: SocketCalls, data: bytes | memoryview) -> None:
    assert calls.send(data) == len(data)
    assert pair[1].recv(100) == bytes(data)


def test_a_peer_that_reads_nothing_takes_a_part_and_then_none(pair: Pair, calls: SocketCalls) -> None:
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            sent += calls.send(bytes(1_000_000))
    assert 0 < sent < 100_000_000


def test_a_peer_that_is_gone_is_a_broken_pipe_and_no_signal(pair: Pair, calls: SocketCalls) -> None:
    pair[1].close()
    with pytest.raises(BrokenPipeError):
        calls.send(b"x")


def test_what_is_no_bytes_is_refused(calls: SocketCalls) -> None:
    with pytest.raises(TypeError):
        calls.send("text")  # type: ignore[arg-type]


@pytest.mark.parametrize("call", ["recv", "send", "send_pieces"])
def test_what_is_closed_reaches_no_descriptor(call: str) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        getattr(CLOSED, call)(10)


def test_pieces_for_which_there_is_no_room_are_not_taken(pair: Pair, calls: SocketCalls) -> None:
    with suppress(BlockingIOError):
        while True:
            calls.send(bytes(1_000_000))
    assert calls.send_pieces([b"some", bytes(10_000)]) == 0


def test_pieces_for_a_peer_that_is_gone_are_a_broken_pipe(pair: Pair, calls: SocketCalls) -> None:
    pair[1].close()
    with pytest.raises(BrokenPipeError):
        calls.send_pieces([b"some", bytes(10_000)])


@pytest.mark.parametrize("wrong", ["text", None, 5])
def test_a_piece_that_is_no_bytes_is_refused(calls: SocketCalls, wrong: Any) -> None:
    with pytest.raises(TypeError):
        calls.send_pieces([b"some", wrong])


def test_large_pieces_are_sent_from_where_they_lie() -> None:
    handed: list[Any] = []

    class Socket:
        recv = send = None

        def sendmsg(self, vector: list[Any]) -> int:
            handed.extend(vector)
            return sum(map(len, vector))

    one, other = bytes(LARGE), bytes(2 * LARGE)
    plain: Any = Socket()
    assert PlainCalls(plain).send_pieces([one, Spliced(b"head", other, 10)]) == -1
    assert handed[0] is one and handed[1] == b"head" and handed[2].obj is other and len(handed) == 3


class Frame(bytes):
    """Bytes of a codec's own kind."""


def spliced(data: bytes) -> Spliced:
    return Spliced(Frame(data[:1]), Frame(b"head" + data[1:]), 4)


@pytest.mark.parametrize("made", [bytes, Frame, memoryview, bytearray, spliced])
@pytest.mark.parametrize(("number", "size"), [(200, 1), (200, 700), (30, 5_000)])
def test_pieces_of_any_kind_and_number_are_sent(
    pair: Pair, calls: SocketCalls, made: Any, number: int, size: int
) -> None:
    pieces = [bytes([place]) * size for place in range(number)]
    assert calls.send_pieces([made(piece) for piece in pieces]) == -1
    came = b""
    while len(came) < number * size:
        came += pair[1].recv(1 << 20)
    assert came == b"".join(pieces)


def test_a_frame_has_the_byte_from_which_it_goes_on() -> None:
    assert bytes(Spliced(b"head", b"frame", 5)) == b"head"
    for at in (-1, 6):
        with pytest.raises(ValueError, match=f"from byte {at}"):
            Spliced(b"head", b"frame", at)
