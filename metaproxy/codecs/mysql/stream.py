"""
What a client sends, cut into packets and commands: whole ones, and long ones in pieces.

    up to stream_over        a whole message, also where it takes several packets
    over it                  STREAM_OPEN with the command and its beginning, STREAM_DATA ..., STREAM_CLOSE
    a file, if asked for     STREAM_DATA ..., STREAM_CLOSE under the id of its command

Lives here: `CommandStream`. Does not: what commands mean, logins (`client`).
"""

from __future__ import annotations

from metaproxy.codecs.framing import Session
from metaproxy.codecs.login_time import LoginTime
from metaproxy.codecs.mysql.answers import CHUNK
from metaproxy.codecs.mysql.commands import LONG
from metaproxy.codecs.mysql.handshake import Capability, is_tls_request
from metaproxy.codecs.mysql.messages import LocalError
from metaproxy.codecs.mysql.packets import FULL, HEAD, LONGEST_LOGIN, error_packet, numbered
from metaproxy.message import Chunk, FinalFrame, FrameError, Kind, Message

LOOK = 65536
"""Bytes of a long command that are looked at: those of its first message."""
_ZLIB, _ZSTD = b"\x78", b"\x28\xb5\x2f\xfd"
_COMPRESSES = int(Capability.COMPRESS | Capability.ZSTD_COMPRESSION)
NO_TLS = (3159, "HY000", "Connections without TLS are refused here")
_NO_COMPRESSION = (1835, "HY000", "Compression is not offered here: log in without it")
_MAX_ID = (1 << 31) - 1


class CommandStream(Session):
    """
    A subclass makes messages of packets (`_take`) and of the heads of long commands (`_admit`), which have ids of their
    own. `_bound`: bytes of a packet that must be whole; at first those that a login may have.
    """

    __slots__ = (
        "_bound", "_chain", "_chained", "_continues", "_file", "_held", "_in_file", "_left", "_login_time", "_long",
        "_may_compress", "_most", "_need", "_number", "_quit", "_sequence", "_stream", "_stream_over", "_unfinished",
        "_whole", "admitted",
    )  # fmt: skip

    def __init__(self, max_frame: int, stream_over: int, login_timeout: float = 0.0) -> None:
        super().__init__()
        self.admitted = False
        self._login_time = LoginTime(login_timeout)
        self._most = max_frame
        self._stream_over = min(stream_over, max_frame)
        self._bound = LONGEST_LOGIN
        self._held = bytearray()
        self._need = HEAD
        self._chain: list[bytes] = []  # packets of a command that goes on in the next one
        self._chained = 0
        self._left = 0  # bytes of a packet that is passed on in pieces
        self._continues = False  # the next packet belongs to what is passed on
        self._stream = 0  # the id of a long command that is under way
        self._in_file = False  # the client sends the file that a server asked for
        self._file = 0  # the id of the command that it belongs to
        self._number = 0
        self._sequence = 0  # of the packet that was read last
        self._quit = False
        self._long = LONG
        self._whole: frozenset[int] = frozenset()  # commands that may be as long as a frame, and come whole
        self._unfinished: LocalError | None = None  # the answer to a request that is not all there
        self._may_compress = False  # its login wants it, though it was not offered: some drivers begin with it

    def _take(self, frame: bytes, sequence: int, messages: list[Message]) -> None:
        """Adds the message of one packet, or of a command of several. sequence: of its first packet."""
        raise NotImplementedError

    def may_log_in(self, payload: bytes) -> bool:
        """Whether a client's first packet is a login, and not a word about TLS. Raises FrameError."""
        start = self.facts.get("tls.start")
        if is_tls_request(payload):
            if start is None:
                raise FrameError("a client asks for TLS, which it was not offered")
            self.start_tls = self.owes = True
            return False
        if start == "required":
            self.refuse(*NO_TLS)
            return False
        return True

    def refuse(self, number: int, state: str, text: str) -> None:
        """The last word to a client that is not let in."""
        self.say(error_packet(self._sequence + 1, number, state, text))
        self._quit = self.closing = True

    def without_compression(self, flags: int) -> int:
        """The capabilities of a login, without what this proxy can't follow."""
        self._may_compress = bool(flags & _COMPRESSES)
        return flags & ~_COMPRESSES

    def compresses(self, frame: bytes) -> bool:
        """Whether what seems to be a client's first command is compressed; it gets an answer that it can read."""
        self._may_compress = False
        body = frame[HEAD:]  # begins with how long it is in plain, 0 where it is not compressed
        if body[:3] != b"\0\0\0" and not body.startswith((_ZLIB, _ZSTD), 3):
            return False
        said = error_packet(1, *_NO_COMPRESSION)
        self.say(len(said).to_bytes(3, "little") + b"\1\0\0\0" + said)
        self._quit = self.closing = True
        return True

    def _admit(self, beginning: bytes, id: int) -> Message:
        """The STREAM_OPEN of a command that comes in pieces."""
        raise NotImplementedError

    def owed(self) -> bytes:
        """The last words to a client whose bytes are not the protocol are an error, too."""
        said = super().owed()
        if self.error is not None and not said:
            said = error_packet(self._sequence + 1, 1835, "HY000", str(self.error)[:512])
        return said

    def send_error(self, error: LocalError, id: int) -> bytes:
        """The bytes of an error of the proxy's own, or none while the request is not all there."""
        if id and id == self._stream:
            self._unfinished = error  # its number is known when the request is all there
            return b""
        return FinalFrame(numbered(error.frame, self._sequence + 1)) if error.final else error.frame

    def send_file(self, id: int) -> None:
        """From here on, up to an empty packet, the client sends a file that belongs to the command `id`."""
        self._in_file, self._file = True, id

    def beat(self, now: float) -> None:
        if not self.admitted and self.error is None and not self._quit and self._login_time.over(now):
            self.error = FrameError(f"the login is not over after {self._login_time.limit:g} s (login_timeout)")

    def receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        if self.error is not None or self._quit:
            return messages
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                self._count()
                return messages
            data, self._held = bytes(self._held), bytearray()
        try:
            self._read(data, messages)
        except FrameError as error:
            self.error = error
            self._held, self._chain, self._chained = bytearray(), [], 0
            if self._stream or self._in_file:
                messages.append(Chunk(Kind.STREAM_RESET, b"", self._open_id()))
        self._count()
        return messages

    def _count(self) -> None:
        self.buffered = len(self._held) + self._chained

    def _read(self, data: bytes, messages: list[Message]) -> None:
        at, end = 0, len(data)
        while at < end and not self._quit:
            if self.start_tls:
                self.tls_rest = data[at:]
                return
            if self._stream or self._in_file:
                stop = self._pass_on(data, at, messages)
                if stop == at:
                    break
                at = stop
                continue
            if end - at < HEAD:
                self._need = HEAD
                break
            size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            whole = HEAD + size
            if self._chained + whole > self._bound:
                stop = self._begin_stream(data, at, size, messages)
                if not stop:
                    break
                at = stop
                continue
            if end - at < whole:
                self._need = whole
                break
            stop = at + whole
            self._packet(data[at:stop], size, messages)
            at = stop
        if at < end and not self._quit:
            self._held += data[at:]

    def _packet(self, frame: bytes, size: int, messages: list[Message]) -> None:
        if not self._chain:
            self._sequence = frame[3]
        if size == FULL:
            self._chain.append(frame)
            self._chained += len(frame)
            return
        if self._chain:
            frame = b"".join((*self._chain, frame))
            self._chain, self._chained = [], 0
        self._take(frame, self._sequence, messages)

    # -- what comes in pieces

    def _begin_stream(self, data: bytes, at: int, size: int, messages: list[Message]) -> int:
        """The head of a long command; where the rest begins, 0 while too little of it is there."""
        first = self._chain[0] if self._chain else data[at:]
        if len(first) <= HEAD:
            if not size:
                raise FrameError("an empty packet where a command was expected")
            self._need = HEAD + 1
            return 0
        if first[3] or first[HEAD] not in self._long:
            if first[HEAD] in self._whole and not self._chain and HEAD + size <= self._most and size < FULL:
                return self._take_whole(data, at, HEAD + size, messages)
            raise FrameError(f"a packet of {size} bytes; allowed are {self._bound - HEAD}")
        look = min(HEAD + size, LOOK)
        if len(data) - at < look:
            self._need = look
            return 0
        beginning = b"".join((*self._chain, data[at : at + look]))
        self._chain, self._chained = [], 0
        self._sequence = data[at + 3]
        self._left, self._continues = HEAD + size - look, size == FULL
        self._stream = self.new_id()
        messages.append(self._admit(beginning, self._stream))
        if not self._left and not self._continues:  # its first packets were long, its last one is short
            self._close(b"", messages)
        return at + look

    def new_id(self) -> int:
        self._number = self._number % _MAX_ID + 1
        return self._number

    def _take_whole(self, data: bytes, at: int, whole: int, messages: list[Message]) -> int:
        """A long command of one packet that is no use in pieces."""
        if len(data) - at < whole:
            self._need = whole
            return 0
        self._packet(data[at : at + whole], whole - HEAD, messages)
        return at + whole

    def _pass_on(self, data: bytes, at: int, messages: list[Message]) -> int:
        """The next piece of a long command or of a file; where it ends, `at` while too little is there."""
        start, end = at, min(len(data), at + CHUNK)
        while at < end:
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
            else:
                if end - at < HEAD:
                    self._need = HEAD
                    break
                size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
                self._sequence = data[at + 3]
                at += HEAD
                if not size and (self._stream or not self._continues):
                    self._close(data[start:at], messages)
                    return at
                self._continues = size == FULL
                self._left = size
                continue
            if self._stream and not self._left and not self._continues:
                self._close(data[start:at], messages)
                return at
        if at > start:
            messages.append(Chunk(Kind.STREAM_DATA, data[start:at], self._open_id()))
        return at

    def _open_id(self) -> int:
        return self._file if self._in_file else self._stream

    def _close(self, last: bytes, messages: list[Message]) -> None:
        messages.append(Chunk(Kind.STREAM_CLOSE, last, self._open_id()))
        if self._in_file:
            self._in_file = False
        else:
            self._stream = 0
            error, self._unfinished = self._unfinished, None
            if error is not None:
                self.say(numbered(error.frame, self._sequence + 1))
