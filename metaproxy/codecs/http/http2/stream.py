"""
One stream of HTTP/2: the state of both of its halves.

Lives here: `Stream`, plain values that the session reads and writes. Does not: any rule; those stand with the frames
that they are about (`connection`, `client`, `server`, `sending`).
"""

from __future__ import annotations

from collections import deque

from metaproxy.codecs.http.model import Head, Pair

Piece = bytes | memoryview


class Stream:
    """
    number: on the wire; id: of its exchange.

    answer: its head, whichever side it came from.

    What the peer sends. remote_open: its half is open; answered: its head came. room: bytes that it may still send;
    due: bytes that left the proxy since it was given room. missing: bytes that its content-length promises and that
    have not come, -1 without one; most: bytes that a body without one may still have, -1 for any. Of the read under
    way: head: it came and was not passed on; pieces, padding: bytes that were not either.

    What we send. local_open: our half is open; begun: something was sent. window: bytes that the peer takes. queue,
    sent: bytes that wait for it, and how many of the first of them went; queued: their sum; finishing, trailers: what
    comes behind them.

    tunnel: both halves go on when one ends; key, protocol: of its Upgrade. bodiless: the answer has no body, whatever
    its content-length says. gone: the stream was removed.
    """

    __slots__ = (
        "answer", "answered", "begun", "bodiless", "due", "finishing", "gone", "head", "id", "key", "local_open",
        "missing", "most", "number", "padding", "pieces", "protocol", "queue", "queued", "remote_open", "room", "sent",
        "trailers", "tunnel", "window",
    )  # fmt: skip

    def __init__(self, number: int, id: int, room: int, window: int) -> None:
        self.number = number
        self.id = id
        self.room = room
        self.window = window
        self.remote_open = self.local_open = True
        self.due = self.padding = self.queued = self.sent = 0
        self.missing = self.most = -1
        self.head: Head | None = None
        self.answer: Head | None = None
        self.pieces: list[Piece] = []
        self.queue: deque[bytes] | None = None
        self.finishing = self.tunnel = self.bodiless = self.answered = self.begun = self.gone = False
        self.trailers: list[Pair] | None = None
        self.key = self.protocol = b""

    def take_pieces(self) -> bytes:
        """The data that were not passed on, and are from now on."""
        pieces = self.pieces
        if not pieces:
            return b""
        self.pieces = []
        if len(pieces) > 1:
            return b"".join(pieces)
        piece = pieces[0]
        return piece if isinstance(piece, bytes) else bytes(piece)
