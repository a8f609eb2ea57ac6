"""
One connection that speaks Thrift: which Thrift, and its bytes as messages.

Lives here: cutting the stream of each transport, the names' metadata, sequence numbers on the way out.
Does not: the layouts (encodings, header, walk), or what is done to one frame (frames).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable, Mapping

from metaproxy.codecs.cutters import compiled_cutter, compiled_methods
from metaproxy.codecs.framing import LARGE, Session
from metaproxy.codecs.session_fields import StraightFields
from metaproxy.codecs.thrift import frames
from metaproxy.codecs.thrift.carrier import Carried, Unreadable, undo
from metaproxy.codecs.thrift.detection import detect, spoken
from metaproxy.codecs.thrift.encodings import ENCODINGS, Encoding, signed
from metaproxy.codecs.thrift.frames import CARRIERS, FRAMED_BINARY, PROFILES, UNFRAMED, Profile
from metaproxy.codecs.thrift.heads import CALL, EXCEPTION, MAX_NAME, REPLY, Data, check_type
from metaproxy.codecs.thrift.walk import OTHER_WALKS, WALKS, Walk
from metaproxy.message import FrameError, Hold, Kind, Message, Shared, Side, Spliced, Written
from metaproxy.support.bounded_map import BoundedMap

UPGRADE = b"__can__finagle__trace__v3__"
"""The name of the call by which Finagle's clients ask for TTwitter."""

UNKNOWN_METHOD = 1

_KINDS = (Kind.EVENT, Kind.REQUEST, Kind.RESPONSE, Kind.ERROR, Kind.ONEWAY)
"""By message type. There is no type 0."""

_REQUEST, _ONEWAY, _RESPONSE, _ERROR, _FREE = Kind.REQUEST, Kind.ONEWAY, Kind.RESPONSE, Kind.ERROR, Hold.NONE

_I32 = struct.Struct(">i")
_STRICT = struct.Struct(">HxBi")
"""The head of strict binary: 80 01, a byte that is ignored, type, length of the name. The name follows."""

_ANSWERS = frozenset(_STRICT.pack(0x8001, type, 0)[:4] for type in (REPLY, EXCEPTION))
"""What answers of strict binary begin with."""

_LOOK = 512
"""Bytes of a frame that is not whole which are looked at each time that more of it come."""


class Names:
    """
    What message names mean as metadata; remembered, for a service has few. One object a codec. heads: the metadata of
    framed messages of strict binary, by their bytes from the version to the name's end.
    """

    _MOST, _LONGEST = 1024, 256

    def __init__(self, multiplexed: bool, oneway: Iterable[str] = ()) -> None:
        self._multiplexed = multiplexed
        self._oneway = frozenset(oneway)
        self.tables: dict[Profile, BoundedMap[bytes, dict[str, str]]] = {
            profile: BoundedMap(self._MOST) for profile in PROFILES
        }
        self.heads: BoundedMap[bytes, dict[str, str]] = BoundedMap(self._MOST * len(_KINDS[1:]))

    def learn(self, profile: Profile, raw: bytes) -> dict[str, str]:
        """The metadata of a message of this name, which nobody changes. raw: as on the wire."""
        name = ENCODINGS[profile[1]].text(raw)
        service, _, method = name.rpartition(":") if self._multiplexed else ("", "", name)
        known = {"method": method, "operation": name, "transport": profile[0], "protocol": profile[1]}
        if service:
            known |= {"service": service, "operation": f"{service}/{method}"}
        # Never remembered are the upgrade call and oneway methods: only other names need be compared with them.
        if len(raw) <= self._LONGEST and raw != UPGRADE and not self.is_oneway(known):
            known = Shared(known)
            self.tables[profile].keep(raw, known)
        return known

    def keep_head(self, type: int, raw: bytes, known: dict[str, str]) -> None:
        """Remember what a message of framed strict binary begins with. Those that never came would only take room."""
        if known.__class__ is Shared:
            self.heads.keep(_STRICT.pack(0x8001, type, len(raw)) + raw, known)

    def of_answers(self) -> Callable[[Message], None] | None:
        """
        What reads the name of an answer in framed strict binary when it is asked for, which it hardly ever is; None
        where each name decides whether its answer is one.
        """
        return None if self._oneway else self._read_name

    def _read_name(self, message: Message) -> None:
        raw = ENCODINGS["binary"].head(message.frame, 4)[1]
        message.metadata = self.tables[FRAMED_BINARY].get(raw) or self.learn(FRAMED_BINARY, raw)
        message.more = _more

    def is_oneway(self, known: Mapping[str, str]) -> bool:
        """Whether calls of this name, or method of any service, get no answer although they may be sent as others."""
        return bool(self._oneway) and (known["method"] in self._oneway or self._full_name(known) in self._oneway)

    @staticmethod
    def _full_name(known: Mapping[str, str]) -> str:
        return f"{known['service']}:{known['method']}" if "service" in known else known["method"]


def _more(message: Message) -> None:
    """The rest of a message's metadata."""
    if message.metadata is not None:
        message.metadata = {**message.metadata, "seqid": str(signed(message.id))}


def _more_header(message: Message) -> None:
    """As `_more`, with the headers. One called like a key of ours does not count: a client must not choose those."""
    _more(message)
    profile = message.profile
    assert isinstance(profile, tuple)
    pairs, several = CARRIERS[profile[0]].metadata(message.frame)
    pairs.pop("kind", None)
    own = message.metadata or {}
    message.metadata = {**pairs, **own}
    if several:
        message.unclear = {key: values for key, values in several.items() if key not in own and key != "kind"}.get


@compiled_methods("thrift_methods", FRAMED_BINARY)
class ThriftSession(StraightFields, Session):
    """
    transport, protocol: AUTO, or what the connection must speak. check: whether the structs of framed messages are
    walked too, so that a frame holds one message and nothing else.
    """

    def __init__(
        self, names: Names, side: Side, max_frame: int, transport: str, protocol: str, check: bool = False
    ) -> None:
        super().__init__()
        self._names = names
        self._side = side
        self._max = max_frame
        self._wanted = transport, protocol
        self._checked = check
        self._profile: Profile | None = None
        self._straight = False  # see _look_ahead
        self._encoding: Encoding = ENCODINGS["binary"]
        self._walk: Walk | None = None
        self._other: Walk | None = None
        self._chunks: list[bytes] = []
        self._need = 4
        self._seen = 0
        self._tail = bytearray()
        self._of_answers = names.of_answers() if side is Side.SERVER else None
        self.cutter = compiled_cutter(
            "ThriftFramed", max_frame - 4, MAX_NAME, names.heads, _more, self._of_answers, FRAMED_BINARY
        )
        if (transport, protocol) in PROFILES:
            self._speak(PROFILES[transport, protocol])

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        """A server speaks what its client speaks."""
        if isinstance(profile, tuple) and profile in PROFILES:
            self._speak(PROFILES[profile])
        return b""

    def _speak(self, profile: Profile) -> None:
        self._profile = profile
        self._encoding = ENCODINGS[profile[1]]
        self._walk = WALKS[profile[1]](self._max) if profile[0] == UNFRAMED or self._checked else None
        other = OTHER_WALKS.get(profile[1])
        self._other = other(self._max) if other is not None and self._checked and profile[0] != UNFRAMED else None
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Set `_straight`: what is read next may go to the cutter: a frame begins, and need not be walked."""
        begun = self._chunks or self.error is not None
        self._straight = self._profile is FRAMED_BINARY and self._walk is None and not begun

    def receive(self, data: bytes, at: int = 0, found: list[Message] | None = None) -> list[Message]:
        """at, found: where to go on behind messages that are cut already, see `_cut.pyx`; 0 while anything is held."""
        messages = [] if found is None else found
        if self.error is not None:
            return messages
        if at:
            data = data[at:]
        try:
            if self._profile is None:
                data = self._detected(data)
                if self._profile is None:
                    return messages
            if self._profile[0] == UNFRAMED:
                self._unframed(data, messages)
            else:
                self._framed(data, messages)
        except FrameError as error:
            self.error = error
            self._chunks.clear()
            self._tail.clear()
            self.buffered = 0
        if self.cutter is not None:
            self._look_ahead()
        return messages

    def send(self, message: Message, id: int) -> Written:  # type: ignore[override]  # ISession's, of all sessions
        frame, profile = message.frame, message.profile
        if profile is FRAMED_BINARY:
            if message.id == id:
                return frame
            if frame[4] == 0x80:
                at = 12 + _I32.unpack_from(frame, 8)[0]
                head = frame[:at] + _I32.pack(id)
                return head + frame[at + 4 :] if len(frame) < LARGE else Spliced(head, frame, at + 4)
        return self.send_other(message, id)

    def send_other(self, message: Message, id: int) -> bytes:
        """`send`, of what is not framed strict binary."""
        frame, profile = message.frame, message.profile
        # An answer under the right seqid may still have another number in its THeader: that is always written.
        if message.id == id and (not isinstance(profile, tuple) or profile[0] not in CARRIERS):
            return frame
        return frames.renumber(frame, spoken(message), id)

    def _detected(self, data: bytes) -> bytes:
        """All bytes so far, once they show what the connection speaks."""
        if self._chunks:
            data = b"".join((*self._chunks, data))
        profile = detect(data, *self._wanted, self._max)
        self._chunks = [] if profile else [data]
        self.buffered = 0 if profile else len(data)
        if profile:
            self._speak(profile)
        return data

    def _framed(self, data: bytes, messages: list[Message]) -> None:
        chunks = self._chunks
        at = 0
        if chunks:
            # Pieces are joined once, when the frame is whole: joining at each read is quadratic.
            missing = self._need - self.buffered
            if len(data) < missing:
                chunks.append(data)
                self.buffered += len(data)
                if self._seen < _LOOK:
                    self._look()
                return
            at = len(data) if self._need == 4 else missing  # the frame, or its head and what may be all of it
            whole = b"".join((*chunks, memoryview(data)[:at]))
            chunks.clear()
            self.buffered = 0
            self._take_frames(whole, 0, messages)
        if at < len(data):
            self._take_frames(data, at, messages)

    def _take_frames(self, data: bytes, at: int, messages: list[Message]) -> None:
        """What there is from `at` on: the frames that are whole, and the rest is kept."""
        fast = self._profile is FRAMED_BINARY and self._walk is None
        offset = self._cut_strict(data, at, messages) if fast else self._cut(data, at, messages)
        if offset < len(data):
            self._chunks.append(data[offset:] if offset else data)
            self.buffered = len(data) - offset
            self._look()

    def _look(self) -> None:
        """Raises FrameError if the frame that is not whole begins with what none begins with."""
        chunks = self._chunks
        head = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._seen = len(head)
        self._check_head(head, 0)

    def _check_head(self, data: Data, at: int) -> None:
        frames.check(data, at, self._profile or FRAMED_BINARY, self._max)

    def _cut(self, data: bytes, offset: int, messages: list[Message]) -> int:
        """The frames that are whole in `data`, into `messages`; the offset of the first that is not."""
        parse: Callable[[bytes], Message | None] = self._framed_message
        if self._profile and self._profile[0] in CARRIERS:
            parse = self._carried_message
        end, most = len(data), self._max - 4
        self._need = 4
        while end - offset >= 4:
            (size,) = _I32.unpack_from(data, offset)
            if not 1 <= size <= most:
                raise self._bad_size(data, offset)
            stop = offset + 4 + size
            if stop > end:
                self._need = 4 + size
                break
            message = self._parsed(parse, data[offset:stop])
            if message is not None:
                messages.append(message)
            offset = stop
        return offset

    def _cut_strict(self, data: bytes, offset: int, messages: list[Message]) -> int:
        """As `_cut`, and the same but for speed: strict binary is read at once, if its name is known or can wait."""
        i32, heads, of_answers = _I32.unpack_from, self._names.heads.get, self._of_answers
        end, most = len(data), self._max - 4
        self._need = 4
        if self.cutter is not None:
            offset = self.cutter(data, offset, messages)
        while end - offset >= 4:
            (size,) = i32(data, offset)
            if not 1 <= size <= most:
                raise self._bad_size(data, offset)
            stop = offset + 4 + size
            if stop > end:
                self._need = 4 + size
                break
            frame = data[offset:stop]
            offset = stop
            if size > 12:
                at = 12 + i32(frame, 8)[0]
                more: Callable[[Message], None] | None
                if of_answers is not None and frame[4:8] in _ANSWERS and 12 <= at <= 12 + MAX_NAME:
                    known, more = None, of_answers
                else:
                    known = heads(frame[4:at])
                    more = None if known is None else _more
                if more is not None and at < size:
                    kind = _KINDS[frame[7]]
                    if (
                        kind is _RESPONSE
                        and frame[at + 4]
                        and at + 3 <= size
                        and b"\0\0" < frame[at + 5 : at + 7] < b"\x80"
                    ):
                        kind = _ERROR
                    (seqid,) = i32(frame, at)
                    messages.append(Message(kind, frame, seqid, known, more, None, _FREE, FRAMED_BINARY))
                    continue
            message = self._parsed(self._framed_message, frame)
            if message is not None:
                messages.append(message)
        return offset

    def _bad_size(self, data: bytes, offset: int) -> FrameError:
        self._check_head(data[offset : offset + 4], 0)
        return FrameError(f"frame of {_I32.unpack_from(data, offset)[0] + 4} bytes; allowed are 5 to {self._max}")

    def _parsed(self, parse: Callable[[bytes], Message | None], frame: bytes) -> Message | None:
        """What `parse` makes of a whole frame. A wrong head is reported as if the frame had come byte by byte."""
        try:
            return parse(frame)
        except FrameError:
            self._check_head(frame, 0)
            raise

    def _unframed(self, data: bytes, messages: list[Message]) -> None:
        walk, tail = self._walk, self._tail
        assert walk is not None  # unframed connections always have one
        source: bytes | bytearray = data
        if tail:
            tail += data
            source = tail
        begin = offset = 0
        try:
            while offset < len(source):
                begin = offset
                stop = walk.walk(source, begin)
                if stop < 0:
                    self._check_head(source, offset)
                    break
                frame = bytes(source[begin:stop])
                offset = stop
                message = self._message(frame, frame, 0)
                if message is not None:
                    messages.append(message)
        except FrameError:
            self._check_head(source, begin)
            raise
        finally:
            if source is tail:
                del tail[:offset]
            else:
                tail += data[offset:]
            self.buffered = len(tail)

    def _framed_message(self, frame: bytes) -> Message | None:
        self._check(frame, 4)
        return self._message(frame, frame, 4)

    def _check(self, source: bytes, at: int) -> None:
        """Raises FrameError unless just one message stands in `source` from `at` on. Not asked for: anything may."""
        if self._walk is None or self._walks_to_end(self._walk, source, at):
            return
        # The same type has two sizes in two families of libraries: the one that fitted is tried first from now on.
        if self._other is None or not self._walks_to_end(self._other, source, at):
            raise FrameError(f"frame of {len(source)} bytes that does not hold just one message")
        self._walk, self._other = self._other, self._walk

    @staticmethod
    def _walks_to_end(walk: Walk, source: bytes, at: int) -> bool:
        walk.begin()
        try:
            return walk.walk(source, at) == len(source)
        except FrameError:
            return False

    def _carried_message(self, frame: bytes) -> Message | None:
        """None: the frame is empty. C++ servers send such a one after each oneway call; its clients read over it."""
        carrier = CARRIERS[(self._profile or FRAMED_BINARY)[0]]
        sequence, number, transforms, _, at = carrier.read(frame)
        carrier.check_protocol(14, number, self._encoding.header_id)
        if at == len(frame):
            return None
        source = frame
        if transforms:
            try:
                source, at = undo(frame[at:], transforms, self._max), 0
            except Unreadable as error:
                return self._unreadable(frame, sequence, error)
            frame = Carried.of(frame, source)
        at = carrier.start(source, at)
        self._check(source, at)
        return self._message(frame, source, at, sequence)

    def _message(self, frame: bytes, source: bytes, at: int, sequence: int | None = None) -> Message | None:
        """
        The message at `at` of `source`, which is the frame or its payload; None for an answer without a request.
        sequence: THeader's or TTHeader's, if there is one.
        """
        type, raw, seqid, _, _, body = self._encoding.head(source, at)
        check_type(at, type)
        kind = _KINDS[type]
        if type == REPLY and self._encoding.failed(source, body):
            kind = _ERROR
        profile = self._profile or FRAMED_BINARY
        known = self._names.tables[profile].get(raw) or self._names.learn(profile, raw)
        if raw not in self._names.tables[profile] and self._names.is_oneway(known):
            if type in (REPLY, EXCEPTION):
                return None
            kind = _ONEWAY
        if self._walk is None and profile is FRAMED_BINARY and source[at : at + 3] == b"\x80\x01\0":
            self._names.keep_head(type, raw, known)
        id, more = seqid, _more
        if sequence is not None:
            more = _more_header
            # A server's answer is found by the seqid, which all of them echo; Node's echo of the other may be stale.
            id = frames.join_ids(sequence, seqid) if self._side is Side.CLIENT else seqid or sequence
        message = Message(kind, frame, id, known, more, None, _FREE, profile)
        if raw == UPGRADE and type == CALL and self._side is Side.CLIENT:
            message.answer = frames.exception(frame, profile, id, UNKNOWN_METHOD, "TTwitter is not supported")
        return message

    def _unreadable(self, frame: bytes, sequence: int, error: Unreadable) -> Message:
        """What can't be inflated is answered if a client sent it, and replaced by an exception if a server did."""
        profile = self._profile or FRAMED_BINARY
        known = {"transport": profile[0], "protocol": profile[1]}
        said = frames.exception(frame, profile, sequence, error.number, str(error))
        if self._side is Side.CLIENT:
            return Message(_REQUEST, frame, sequence, known, _more_header, said, _FREE, profile)
        return Message(_ERROR, said, sequence, known, _more_header, None, _FREE, profile)
