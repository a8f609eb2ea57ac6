"""
What the sessions of all codecs share: cutting a stream into frames, bounds, and a codec's defaults.

Lives here: `Codec` (defaults of ICodec), `Session` (defaults of ISession), `LengthFramed` (a session for every
protocol whose frame says its length in a head of fixed size). Does not: any protocol's layout; sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

from zope.interface import implementer

from metaproxy.interfaces import ICodec, ISession
from metaproxy.message import Affinity, Correlation, ErrorKind, FrameError, Kind, Message, Mutation, Part, Side


@implementer(ISession)
class Session:
    """Defaults: nothing to say on a new connection, ready at once, frames pass as they are."""

    error: FrameError | None = None
    ready: bool = True
    buffered: int = 0
    closing: bool = False
    reusable: bool = True
    fenced: bool = False

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        return b""

    def receive(self, data: bytes) -> list[Message]:
        raise NotImplementedError

    def send(self, message: Message, id: int) -> bytes:
        return message.frame

    def drain(self) -> bytes:
        return b""

    def owed(self) -> bytes:
        return b""


@implementer(ICodec)
class Codec:
    """Defaults for a protocol whose messages carry an id and need no state; a subclass gives the rest."""

    name = ""
    correlation = Correlation.ID
    affinity = Affinity.MESSAGE
    ordered = False
    sequential = False
    max_id = (1 << 63) - 1
    connections = "multiplex"
    server_first = False
    stateful = False
    mutable = "the protocol has no place for metadata"
    keys: dict[str, str] = {}
    hash_aliases: dict[str, str] = {}

    def session(self, side: Side, max_frame: int) -> Session:
        raise NotImplementedError

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        raise NotImplementedError

    def knows(self, name: str) -> bool:
        return False

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        raise FrameError(self.mutable)

    def safe(self, request: Message) -> bool:
        return False

    def confidential(self, request: Message) -> bool:
        return False

    def split(self, request: Message, owner: Callable[[str], Hashable]) -> list[Part] | None:
        return None

    def probe(self) -> Message | None:
        return None

    def alive(self, answer: Message) -> bool:
        return answer.kind is not Kind.ERROR

    def merge(self, request: Message, parts: Sequence[Part], answers: Sequence[Message]) -> bytes:
        raise NotImplementedError


class LengthFramed(Session):
    """
    Frames whose head, `head` bytes long, tells their whole size.

    size(data, offset) -> bytes of the frame that starts there, head included; parse(frame) -> its Message;
    renumber(frame, id) -> the frame under another id. All may raise FrameError. Without renumber frames pass as
    they are.
    """

    def __init__(
        self,
        head: int,
        size: Callable[[bytes, int], int],
        parse: Callable[[bytes], Message],
        max_frame: int,
        renumber: Callable[[bytes, int], bytes] | None = None,
    ) -> None:
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
