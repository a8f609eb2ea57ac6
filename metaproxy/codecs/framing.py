"""
What the sessions of all codecs share: cutting a stream into frames, bounds, and a codec's defaults.

Lives here: `Codec` (defaults of ICodec), `Session` (defaults of ISession), and the sessions of whole families:
`LengthFramed` (a head of fixed size tells the frame's), `VariableHead` and `VarintFramed` (the head's own size varies),
`Delimited` and `Lines` (an end is looked for; blocks of announced length may follow); `Cutting`, for codecs that cut by
themselves. Does not: any protocol's layout; sockets.

Longer than most modules: codecs of plugins import these names from here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

from zope.interface import implementer

from metaproxy.codecs.session_fields import hidden_fields
from metaproxy.interfaces import ICodec, IDoors, ILayout, ISession
from metaproxy.message import Correlation, ErrorKind, FrameError, Kind, Message, Mutation, Part, Redirect, Side

Cutter = Callable[[bytes, int, list[Message]], int]
"""See `cutter` of ISession."""


BEGINNING = 64
"""Bytes that are kept of what is dropped."""
SMALL = 4096
"""Pieces of a message that are smaller are collected: an object for each would cost more than its bytes."""
LARGE = 4096
"""Bytes from which a frame is better written from where it lies than copied with another head."""


class Held:
    """The pieces of an incomplete message, joined once, when it is whole. size: bytes."""

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray | memoryview] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if len(piece) >= SMALL:
            self._pieces.append(piece)
        elif self._pieces and isinstance(self._pieces[-1], bytearray):
            self._pieces[-1] += piece
        else:
            self._pieces.append(bytearray(piece))

    def take(self, last: bytes | memoryview) -> bytes:
        """All of them, and `last`; of a large piece a view does, so that its bytes are copied once."""
        self._pieces.append(last)
        whole = b"".join(self._pieces)
        self.drop()
        return whole

    def cut(self, piece: bytes) -> None:
        """Adds a piece of a message that is dropped: of the whole its first BEGINNING bytes are kept, no more."""
        if self.size < BEGINNING:
            self.add(piece[:BEGINNING])
        if self.size > BEGINNING:
            beginning = self.beginning()
            self.drop()
            self.add(beginning)

    def beginning(self) -> bytes:
        """Its first BEGINNING bytes, if there are as many."""
        # What is small was joined: the second piece is a large one, if there is any.
        return b"".join(piece[:BEGINNING] for piece in self._pieces[:2])[:BEGINNING]

    def drop(self) -> None:
        self._pieces = []
        self.size = 0


@implementer(ISession)
class Session:
    """
    Defaults: nothing to say on a new connection, ready at once, frames pass as they are.

    A session that calls `super().__init__()` has those that are read for each message as its own: what is found in the
    class is several times as slow.
    """

    error: FrameError | None = None
    ready: bool = True
    buffered: int = 0
    closing: bool = False
    reusable: bool = True
    fenced: bool = False
    owes: bool = False
    flow: str = "connection"
    capacity: int = 0
    facts: Mapping[str, str] = {}
    welcome: Message | None = None
    doors: IDoors | None = None
    memory: dict[Hashable, object] | None = None
    in_transaction: bool = True
    start_tls: bool = False
    tls_rest: bytes = b""
    unread: bool = False
    cutter: Cutter | None = None

    def __init_subclass__(cls, **options: object) -> None:
        """Raises TypeError for a class that hides what is read of its sessions where the data path is compiled."""
        super().__init_subclass__(**options)
        if hidden := hidden_fields(cls):
            raise TypeError(
                f"class {cls.__qualname__}: {', '.join(hidden)} in its body: set what the proxy reads of a session "
                "derived from one of ours in __init__, behind super().__init__(...)"
            )

    def __init__(self) -> None:
        self.error, self.closing, self.owes, self.capacity = self.error, self.closing, self.owes, self.capacity

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        return b""

    def receive(self, data: bytes) -> list[Message]:
        raise NotImplementedError

    def send(self, message: Message, id: int) -> bytes:
        return message.frame

    def drain(self) -> bytes:
        return b""

    _to_say: bytes = b""

    def say(self, data: bytes) -> None:
        """Have the proxy write these bytes on this connection by itself, such as the answer to a server's heartbeat."""
        self._to_say += data
        self.owes = True

    def owed(self) -> bytes:
        said, self._to_say, self.owes = self._to_say, b"", False
        return said

    def eof(self) -> list[Message]:
        return []

    def reset(self, id: int, kind: ErrorKind | None, text: str) -> bytes | None:
        return None

    def farewell(self, kind: ErrorKind, text: str) -> bytes:
        return b""

    def keep(self, key: Hashable, live: bool) -> None:
        """Nothing: the proxy puts another one in its place where the codec has `keeps_keys`."""

    def companion(self, message: Message) -> bytes | Message:
        raise NotImplementedError

    def change(self, profile: Hashable) -> bytes | None:
        return None

    def credit(self, id: int, size: int) -> None:
        """Nothing: only called with flow 'stream'."""

    def beat(self, now: float) -> None:
        """Nothing: only called where the codec has `beats`."""

    def unsent_bytes(self, id: int) -> int:
        return 0


def begins(data: bytes, *marks: bytes) -> bool | None:
    """Whether data begins with one of the marks; None while it may still."""
    if any(data.startswith(mark) for mark in marks):
        return True
    return None if any(mark.startswith(data) for mark in marks) else False


@implementer(ILayout)
class Layout:
    """Servers that all have the same data, as far as their primary has it: see ILayout."""

    shards = 0
    outside = False

    def __init__(
        self,
        endpoints: Mapping[str, Mapping[str, str]],
        epoch: int = 0,
        doubtful: bool = False,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.endpoints = endpoints
        self.epoch = epoch
        self.doubtful = doubtful
        self.aliases: Mapping[str, str] = aliases or {}

    def shard(self, value: str) -> str:
        return ""

    def shard_of(self, message: Message, key: str) -> str:
        value = message.get(key)
        return "" if value is None else self.shard(value)

    def group(self, value: str) -> Hashable:
        return ""


@implementer(ICodec)
class Codec:
    """Defaults for a protocol whose messages carry an id and need no state; a subclass gives the rest."""

    name = ""
    correlation = Correlation.ID
    ordered = False
    sequential = False
    lanes = False
    max_id = (1 << 63) - 1
    connections = "multiplex"
    server_first = False
    stateful = False
    mutable = "the protocol has no place for metadata"
    settable: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    keys: dict[str, str] = {}
    open_keys: bool | None = None
    upper_keys: tuple[str, ...] = ()
    hash_aliases: dict[str, str] = {}
    flow = "connection"
    beats = False
    greets = False
    opens = False
    starts_tls = False
    cancels = False
    cancelled = ""
    keeps_keys = False
    login_as = False
    names_nodes = False
    remembers = False
    topologies: tuple[str, ...] = ()
    layouts: Mapping[str, str] = {}
    alpn: tuple[str, ...] = ()
    alpn_upstream: tuple[str, ...] = ()
    attempts_key = ""
    mirror: ICodec | None = None
    copied: Callable[[Message], Sequence[Message]] | None = None

    def session(self, side: Side, max_frame: int) -> Session:
        raise NotImplementedError

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes | Message:
        raise NotImplementedError

    def without(
        self, request: Message, names: Mapping[str, Collection[str]], kind: ErrorKind, text: str, name: str = ""
    ) -> Message | bytes | None:
        return None

    def knows(self, name: str) -> bool:
        return False

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        raise FrameError(self.mutable)

    def safe(self, request: Message) -> bool:
        return False

    def confidential(self, request: Message) -> bool:
        return False

    def split(self, request: Message, owner: Callable[[str], Hashable]) -> list[Part] | bytes | None:
        return None

    def detect(self, data: bytes) -> bool | None:
        return False

    def probe(self) -> Message | None:
        return None

    def alive(self, answer: Message) -> bool:
        return answer.kind is not Kind.ERROR

    def inquiry(self, topology: str) -> Message | None:
        return None

    def traits(self, answer: Message) -> Mapping[str, str]:
        return {}

    def repeatable(self, request: Message) -> bool:
        return self.safe(request)

    def layout_questions(self, topology: str, name: str) -> Sequence[Message]:
        return ()

    def layout(self, topology: str, answers: Sequence[Message], address: str) -> ILayout:
        raise FrameError(f"{self.name} has no topology {topology}")

    def redirect(self, request: Message, answer: Message) -> Redirect | None:
        return None

    def changes(self, request: Message) -> bool:
        return not self.safe(request)

    def cache_key(self, request: Message) -> Hashable | None:
        return None

    def comparable(self, answer: Message) -> bytes | None:
        return None

    rewords = "statement"

    def reword(self, request: Message, change: Callable[[str], str | None]) -> Message | None:
        return None

    def merge(self, request: Message, parts: Sequence[Part], answers: Sequence[Message]) -> bytes:
        raise NotImplementedError


class LengthFramed(Session):
    """
    Frames whose head, `head` bytes long, tells their whole size.

    size(data, offset) -> bytes of the frame that starts there, head included; parse(frame) -> its Message;
    renumber(frame, id) -> the frame under another id. All may raise FrameError. Without renumber frames pass as
    they are. cutter: see ISession.
    """

    def __init__(
        self,
        head: int,
        size: Callable[[bytes, int], int],
        parse: Callable[[bytes], Message],
        max_frame: int,
        renumber: Callable[[bytes, int], bytes] | None = None,
        cutter: Cutter | None = None,
    ) -> None:
        self.cutter = cutter
        self._head = head
        self._size = size
        self._parse = parse
        self._max = max_frame
        self._renumber = renumber
        self._held = bytearray()
        self._need = head

    def receive(self, data: bytes) -> list[Message]:
        if self.error is not None:
            return []
        if self.buffered:
            # A frame that trickles in costs its bytes and no more: joining at each read would be quadratic.
            self._held += data
            self.buffered += len(data)
            if self.buffered < self._need:
                return []
            data = bytes(self._held)
            self._held = bytearray()
            self.buffered = 0
        messages: list[Message] = []
        offset, end, head = 0, len(data), self._head
        need = head
        if self.cutter is not None:
            offset = self.cutter(data, 0, messages)
        try:
            while end - offset >= head:
                size = self._size(data, offset)
                if not head <= size <= self._max:
                    raise FrameError(f"frame of {size} bytes; allowed are {head} to {self._max}")
                stop = offset + size
                if stop > end:
                    need = size
                    break
                messages.append(self._parse(data[offset:stop]))
                offset = stop
        except FrameError as error:
            self.error = error
            return messages
        if offset < end:
            self._held += data[offset:] if offset else data
            self.buffered = end - offset
            self._need = need
        return messages

    def send(self, message: Message, id: int) -> bytes:
        if self._renumber is None or message.id == id:
            return message.frame
        return self._renumber(message.frame, id)


class Cutting(Session):
    """
    A session that keeps what is not whole yet. A subclass cuts: `_cut` adds the messages that are there, returns where
    the rest of the data begins, and sets `_need`: how many bytes of the rest the next step takes. It may raise
    FrameError.
    """

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()
        self._need = 0

    def _cut(self, data: bytes, messages: list[Message]) -> int:
        raise NotImplementedError

    def _cut_short(self, messages: list[Message]) -> None:
        """The data were wrong: `error` is there, and nothing more is read."""

    def receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        if self.error is not None:
            return messages
        if self.buffered:
            # What trickles in costs its bytes and no more: joining at each read would be quadratic.
            self._held += data
            self.buffered += len(data)
            if self.buffered < self._need:
                return messages
            data = bytes(self._held)
            self._held = bytearray()
            self.buffered = 0
        try:
            at = self._cut(data, messages)
        except FrameError as error:
            self.error = error
            self._cut_short(messages)
            return messages
        if at < len(data):
            self._held += data[at:] if at else data
            self.buffered = len(data) - at
        return messages


class VariableHead(Cutting):
    """
    Frames whose head tells their size and has no fixed size itself, such as a varint.

    size(data, offset) -> bytes of the frame that starts there, head included; 0 while its head is not whole. most:
    bytes that a head may have. parse and renumber are those of `LengthFramed`. All may raise FrameError. cutter: see
    ISession.
    """

    def __init__(
        self,
        size: Callable[[bytes, int], int],
        parse: Callable[[bytes], Message],
        max_frame: int,
        renumber: Callable[[bytes, int], bytes] | None = None,
        most: int = 16,
        cutter: Cutter | None = None,
    ) -> None:
        super().__init__()
        self.cutter = cutter
        self._size = size
        self._parse = parse
        self._max = max_frame
        self._renumber = renumber
        self._most = most

    def _cut(self, data: bytes, messages: list[Message]) -> int:
        offset, end = 0, len(data)
        if self.cutter is not None:
            offset = self.cutter(data, 0, messages)
        while offset < end:
            size = self._size(data, offset)
            # Without a size the head is short, so that looking at it again with each read costs little.
            self._need = size or 1
            if not size and end - offset >= self._most:
                raise FrameError(f"no length within {self._most} bytes: {data[offset : offset + self._most].hex()}")
            if size < 0 or size > self._max or (not size and end - offset > self._max):
                raise FrameError(f"frame of {size or end - offset} bytes; allowed are 1 to {self._max}")
            stop = offset + size
            if not size or stop > end:
                break
            messages.append(self._parse(data[offset:stop]))
            offset = stop
        return offset

    def send(self, message: Message, id: int) -> bytes:
        if self._renumber is None or message.id == id:
            return message.frame
        return self._renumber(message.frame, id)


class VarintFramed(VariableHead):
    """Frames behind their length as a varint (base 128, the lowest seven bits first), which does not count itself."""

    def __init__(
        self,
        parse: Callable[[bytes], Message],
        max_frame: int,
        renumber: Callable[[bytes, int], bytes] | None = None,
        cutter: Cutter | None = None,
    ) -> None:
        super().__init__(varint_size, parse, max_frame, renumber, most=10, cutter=cutter)


def varint_size(data: bytes, offset: int) -> int:
    """Bytes of a varint and of what it says follows; 0 while the varint is not whole."""
    length, at = read_varint(data, offset)
    return at - offset + length if at else 0


def read_varint(data: bytes, offset: int) -> tuple[int, int]:
    """A varint of at most ten bytes, and where it ends; (0, 0) while it is not whole."""
    value = 0
    for shift, byte in enumerate(data[offset : offset + 10]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, offset + shift + 1
    return 0, 0


def write_varint(value: int) -> bytes:
    """The varint of a number that is not negative."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


class Delimited(Session):
    """
    Frames that end with a delimiter, and may go on behind it: with a block of announced length, with more lines.

    parse(frame) -> its Message; delimiter: what ends a line; block(line) -> bytes that follow a line and belong to its
    frame, their own end included, 0 for none; last(line) -> whether the frame is complete with that line (and its
    block); most: bytes that a line may have without its end, None for as many as a frame. `line` comes without its
    delimiter. All may raise FrameError. Frames pass as they are; work is linear however they come. cutter:
    see ISession.
    """

    def __init__(
        self,
        parse: Callable[[bytes], Message],
        max_frame: int,
        delimiter: bytes = b"\n",
        block: Callable[[bytes], int] | None = None,
        last: Callable[[bytes], bool] | None = None,
        most: int | None = None,
        cutter: Cutter | None = None,
    ) -> None:
        self.cutter = cutter
        self._parse = parse
        self._max = max_frame
        self._delimiter = delimiter
        self._block = block
        self._last = last
        self._most = max_frame if most is None else most
        self._held = bytearray()
        # Of the frame that is under way, counted from its start:
        self._line = 0  # where its current line begins
        self._seek = 0  # up to where there is no delimiter
        self._need = 0  # where the current line's block ends, 0 while the line is not whole
        self._ends = False  # whether the frame ends there

    def receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        if self.error is not None:
            return messages
        held = self._held
        try:
            if held:
                # One frame of what is held and came; then what is behind it, as if nothing had been held.
                held += data
                stop = self._end_of_frame(held, 0)
                data = b"" if stop < 0 else bytes(held[stop:])
                if stop >= 0:
                    del held[stop:]
                    self._held = bytearray()
                    messages.append(self._parse(bytes(held)))
                    held = self._held
            offset = self._cut(data, messages)
        except FrameError as error:
            self.error = error
            self._held = bytearray()
            self.buffered = 0
            return messages
        if offset < len(data):
            held += data[offset:]
        self.buffered = len(held)
        return messages

    def _cut(self, data: bytes, messages: list[Message]) -> int:
        """The frames that are whole in `data`, at whose start one begins; where the first that is not begins."""
        offset = 0
        if self.cutter is not None:
            offset = self.cutter(data, 0, messages)
        while offset < len(data):
            stop = self._end_of_frame(data, offset)
            if stop < 0:
                break
            messages.append(self._parse(data[offset:stop]))
            offset = stop
        return offset

    def _end_of_frame(self, buffer: bytes | bytearray, offset: int) -> int:
        """Where the frame that begins at `offset` ends; -1 while that is not there. Goes on where it stopped."""
        size = len(buffer) - offset
        while True:
            if self._need:
                if size < self._need:
                    return -1
                stop, self._line, self._need = self._need, self._need, 0
                self._seek = stop
                if self._ends:
                    self._line = self._seek = 0
                    return offset + stop
            if not self._take_line(buffer, offset, size):
                return -1

    def _take_line(self, buffer: bytes | bytearray, offset: int, size: int) -> bool:
        """Look for the end of the current line, and at what follows it; False while it is not there."""
        width = len(self._delimiter)
        most = min(self._most, self._max - self._line - width)
        at = buffer.find(self._delimiter, offset + self._seek, offset + self._line + most + width)
        if at < 0:
            if size - self._line >= most + width:
                raise FrameError(f"no end of a line within {most} bytes")
            self._seek = max(self._line, size - width + 1)
            return False
        line = self._strip(bytes(buffer[offset + self._line : at]))
        block = self._block(line) if self._block is not None else 0
        self._need = at - offset + width + block
        self._ends = self._last is None or self._last(line)
        if block < 0 or self._need > self._max:
            raise FrameError(f"a line announces {block} bytes; a frame has at most {self._max}")
        return True

    def _strip(self, line: bytes) -> bytes:
        return line


class Lines(Delimited):
    r"""Lines of text that end with \n or \r\n: see `Delimited`; `line` comes without either."""

    def _strip(self, line: bytes) -> bytes:
        return line[:-1] if line.endswith(b"\r") else line
