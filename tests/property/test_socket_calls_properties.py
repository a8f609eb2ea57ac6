"""Pieces of any kinds and sizes through a socket that does not block, by the socket itself or in C: the same bytes."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from metaproxy.message import Spliced, Written, joined
from metaproxy.proxy.socket_calls import LARGE, MOST, PlainCalls, calls_of

LARGER = [MOST - 1, MOST, MOST + 1, 300_000]
SIZES = st.one_of(st.integers(0, 200), st.integers(LARGE - 30, LARGE + 30), st.sampled_from(LARGER))


@st.composite
def pieces(draw: st.DrawFn) -> list[Written | memoryview]:
    """Of all three kinds and of sizes around every bound; often more than one call of the system takes."""
    made: list[Written | memoryview] = []
    for number, size in enumerate(draw(st.lists(SIZES, min_size=1, max_size=draw(st.sampled_from([3, 200]))))):
        data = bytes([number & 255]) * size
        at = draw(st.integers(0, min(size, 20)))
        kinds: list[Written | memoryview] = [data, Spliced(b"<head>", data, at), memoryview(data)[at:]]
        made.append(kinds[draw(st.integers(0, 2))])
    return made


@given(sent=pieces(), buffer=st.sampled_from([4096, 1 << 20]), plain=st.booleans())
def test_pieces_are_sent_in_their_order_as_far_as_there_is_room(sent: Any, buffer: int, plain: bool) -> None:
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)
        peer.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        taken = (PlainCalls(ours) if plain else calls_of(ours)).send_pieces(sent)
        whole = joined(sent)
        assert -1 <= taken < max(len(whole), 1)
        came = b""
        with suppress(BlockingIOError):
            while data := peer.recv(1 << 20):
                came += data
        assert came == (whole if taken < 0 else whole[:taken])
