"""
The frames of one connection of tRPC.

Lives here: cutting the stream, what each frame is, ids. Does not: one frame's bytes (`frame`), metadata, errors and
mutations (`codec`).
"""

from __future__ import annotations

from metaproxy.codecs.framing import Session
from metaproxy.codecs.protobuf_wire import fields, number
from metaproxy.codecs.trpc import frame as tags
from metaproxy.codecs.trpc.frame import CLOSE, HEAD, HEADER, INIT, MAGIC, STREAM, UNARY, request_id, with_id
from metaproxy.codecs.trpc.metadata import read_call, read_result
from metaproxy.message import FrameError, Kind, Message

_MAGIC = b"\x09\x30"


class TrpcSession(Session):
    """What both sides have in common."""

    _skips = False
    """Whether a frame over the bound is read to its end and dropped."""

    def __init__(self, max_frame: int) -> None:
        self._most = max_frame
        self._rest = bytearray()
        self._need = HEAD
        self._skip = 0

    def receive(self, data: bytes) -> list[Message]:
        if self.error is not None:
            return []
        if self._rest:
            self._rest += data
            self.buffered = len(self._rest)
            if self.buffered < self._need:
                self._check_start(self._rest)
                return []
            data = bytes(self._rest)
            self._rest.clear()
            self.buffered = 0
        messages: list[Message] = []
        try:
            at = self._read(data, messages)
        except FrameError as error:
            self.error = error
            return messages
        if at < len(data):
            self._rest += data[at:]
            self.buffered = len(self._rest)
            self._check_start(self._rest)
        return messages

    def send(self, message: Message, id: int) -> bytes:
        return message.frame if message.id == id else with_id(message.frame, id)

    def _read(self, data: bytes, messages: list[Message]) -> int:
        """Add the messages that are whole; where what is left of the data begins."""
        at, end = 0, len(data)
        if self._skip:
            at = min(self._skip, end)
            self._skip -= at
            if self._skip:
                return at
            self._skipped(messages)
        unpack = HEADER.unpack_from
        self._need = HEAD
        while end - at >= HEAD:
            magic, kind, type, total, size, _, _, _ = unpack(data, at)
            if magic != MAGIC or kind > STREAM or (type if kind == UNARY else not INIT <= type <= CLOSE):
                raise _bad_start(data[at : at + 4])
            least = HEAD if kind else HEAD + size
            if total < least:
                raise FrameError(f"frame of {total} bytes whose head and header have {least}")
            stop = at + total
            if total > self._most:
                if not self._skips or least > self._most:
                    raise FrameError(f"frame of {total} bytes; allowed are {HEAD} to {self._most}")
                if end - at < least:
                    self._need = least
                    break
                self._over(data[at : at + least], total)
                at, self._skip = min(stop, end), max(0, stop - end)
                if not self._skip:
                    self._skipped(messages)
                continue
            if kind == STREAM:
                raise FrameError("a stream frame; only unary calls are understood")
            if stop > end:
                self._need = total
                break
            self._unary(data[at:stop], HEAD + size, messages)
            at = stop
        return at

    def _unary(self, frame: bytes, end: int, messages: list[Message]) -> None:
        """Add what a whole unary frame is, whose header ends at `end`."""
        raise NotImplementedError

    def _over(self, head: bytes, total: int) -> None:
        """A frame of so many bytes, of which head and header are there, is over the bound and will be skipped."""

    def _skipped(self, messages: list[Message]) -> None:
        """The frame over the bound has been read."""

    def _check_start(self, data: bytes | bytearray) -> None:
        """Refuse what cannot become a frame at the first byte that is wrong."""
        read = bytes(data[:4])
        if not _begins(read):
            self.error = _bad_start(read)


def _begins(read: bytes) -> bool:
    """Whether a frame may begin so: at most its first four bytes."""
    if not _MAGIC.startswith(read[:2]):
        return False
    if len(read) < 3:
        return True
    if read[2] > STREAM:
        return False
    return len(read) < 4 or (read[3] == 0 if read[2] == UNARY else INIT <= read[3] <= CLOSE)


def _bad_start(read: bytes) -> FrameError:
    """What is wrong at the first byte that is, however many are there."""
    while not _begins(read[:-1]):
        read = read[:-1]
    if len(read) < 3:
        return FrameError(f"magic 0930 expected, {read.hex()} read")
    if len(read) == 3:
        return FrameError(f"data frame type {read[2]}; known are 0 (unary) and 1 (stream)")
    if read[2] == UNARY:
        return FrameError(f"stream frame type {read[3]} of a unary frame, which has 0")
    return FrameError(f"stream frame type {read[3]}; known are 1 (INIT) to 4 (CLOSE)")


class ClientSession(TrpcSession):
    """A client's connection."""

    def _unary(self, frame: bytes, end: int, messages: list[Message]) -> None:
        id, kind = 0, Kind.REQUEST
        for field in fields(frame, HEAD, end):
            tag = field[0]
            if tag == tags.REQUEST_ID:
                id = request_id(frame, field)
            elif tag == tags.CALL_TYPE:
                kind = Kind.ONEWAY if number(frame, field) & 0xFFFFFFFF == 1 else Kind.REQUEST
        messages.append(Message(kind, frame, id, None, read_call))


class ServerSession(TrpcSession):
    """A connection to a server."""

    _skips = True

    def __init__(self, max_frame: int) -> None:
        super().__init__(max_frame)
        self._over_id = 0
        self._over_text = b""

    def _unary(self, frame: bytes, end: int, messages: list[Message]) -> None:
        id = ret = func_ret = 0
        for field in fields(frame, HEAD, end):
            tag = field[0]
            if tag == tags.REQUEST_ID:
                id = request_id(frame, field)
            elif tag == tags.RET:
                ret = number(frame, field)
            elif tag == tags.FUNC_RET:
                func_ret = number(frame, field)
        kind = Kind.ERROR if ret or func_ret else Kind.RESPONSE
        messages.append(Message(kind, frame, id, None, read_result))

    def _over(self, head: bytes, total: int) -> None:
        self._over_id = 0
        for field in fields(head, HEAD, len(head)):
            if field[0] == tags.REQUEST_ID:
                self._over_id = request_id(head, field)
        self._over_text = b"an answer of %d bytes; allowed are %d" % (total, self._most)

    def _skipped(self, messages: list[Message]) -> None:
        messages.append(Message(Kind.SKIPPED, self._over_text, self._over_id))
