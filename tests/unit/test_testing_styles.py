"""check_codec lets pass what keeps the contract, however it is written and whatever of the contract it uses."""

from __future__ import annotations

import json
from collections import deque

from metaproxy.codecs.framing import Codec, Delimited, Lines, Session
from metaproxy.message import Correlation, ErrorKind, FinalFrame, FrameError, Kind, Message, Mutation, Side
from metaproxy.testing import check_codec


class EachByte(Session):
    """Looks at each byte by itself, in Python."""

    def __init__(self, side: Side, max_frame: int) -> None:
        self.side, self.most, self.rest = side, max_frame, bytearray()

    def receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        for byte in data if self.error is None else b"":
            self.rest.append(byte)
            if byte == 10:
                messages.append(self.parse(bytes(self.rest)))
                self.rest.clear()
            elif len(self.rest) >= self.most:
                self.error = FrameError("a long line")
                break
        self.buffered = len(self.rest)
        return messages

    def parse(self, frame: bytes) -> Message:
        if frame == b"PONG\n":
            return Message(Kind.HEARTBEAT, frame)  # an answer itself
        if self.side is Side.SERVER:
            return Message(Kind.ERROR if frame[:1] == b"-" else Kind.RESPONSE, frame)
        if frame == b"PING\n":
            return Message(Kind.HEARTBEAT, frame, answer=b"PONG\n")
        return Message(Kind.REQUEST, frame)


class Plain(Codec):
    """Errors end the client's connection."""

    name = "plain"
    correlation = Correlation.FIFO

    def session(self, side: Side, max_frame: int) -> Session:
        return EachByte(side, max_frame)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        return FinalFrame(b"-%b\n" % kind.value.encode())


def test_a_session_may_look_at_each_byte_and_errors_may_end_the_connection() -> None:
    check_codec(Plain(), [b"get a\n", b"PING\n"], [b"+1\n", b"-no\n", b"PONG\n"])


class Headed(Delimited):
    """`KIND ID SIZE-OF-HEAD SIZE`, a line; a head in JSON; a body. Decimal numbers grow by digits."""

    def __init__(self, max_frame: int) -> None:
        super().__init__(self.parse, max_frame, block=lambda line: number(line.split(b" ")[-1]), most=200)

    def parse(self, frame: bytes) -> Message:
        line, _, rest = frame.partition(b"\n")
        words = line.split(b" ")
        kind = {b"Q": Kind.REQUEST, b"A": Kind.RESPONSE, b"E": Kind.ERROR}.get(words[0])
        if kind is None or len(words) != 4 or number(words[2]) > len(rest):
            raise FrameError(f"no head: {line[:80]!r}")
        return Message(kind, frame, number(words[1]), more=self.more)

    def more(self, message: Message) -> None:
        pairs = head_of(message.frame)[2]
        pairs.pop("kind", None)
        message.metadata = {key.lower(): value for key, value in pairs.items()} | pairs

    def send(self, message: Message, id: int) -> bytes:
        kind, _, pairs, body = head_of(message.frame)
        return message.frame if message.id == id else headed(kind, id, pairs, body)


def number(word: bytes) -> int:
    if not word.isdigit() or len(word) > 10:
        raise FrameError(f"no number: {word[:20]!r}")
    return int(word)


def headed(kind: bytes, id: int, pairs: dict[str, str], body: bytes) -> bytes:
    head = json.dumps(pairs, separators=(",", ":")).encode() if pairs else b""
    return b"%b %d %d %d\n" % (kind, id, len(head), len(head) + len(body)) + head + body


def head_of(frame: bytes) -> tuple[bytes, int, dict[str, str], bytes]:
    line, _, rest = frame.partition(b"\n")
    kind, id, size, _ = line.split(b" ")
    try:
        pairs = json.loads(rest[: int(size)] or b"{}")
        texts = isinstance(pairs, dict) and all(isinstance(value, str) for value in pairs.values())
    except (ValueError, RecursionError) as error:
        raise FrameError(str(error)) from error
    if not texts:
        raise FrameError("the head is no mapping of texts")
    return kind, int(id), pairs, rest[int(size) :]


class Json(Codec):
    name = "json"
    mutable = ""
    max_id = 1 << 31

    def session(self, side: Side, max_frame: int) -> Session:
        return Headed(max_frame)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        return headed(b"E", request.id, {}, text.encode())

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        kind, id, pairs, body = head_of(message.frame)
        kept = {key: value for key, value in pairs.items() if key not in mutation.remove}
        return headed(kind, id, kept | mutation.set, body)


def test_decimal_lengths_may_grow_by_digits_in_a_mutation() -> None:
    check_codec(
        Json(),
        client=[headed(b"Q", 7, {"User": "bob"}, b"hello"), headed(b"Q", 8, {}, b"x")],
        server=[headed(b"A", 7, {"a": "b"}, b"fine"), headed(b"E", 7, {}, b"no")],
    )


class Quiet(Lines):
    """A server's answer to what came behind a quiet command shows that the quiet one gets none: SILENCE."""

    def __init__(self, side: Side, max_frame: int) -> None:
        super().__init__(self.parse, max_frame)
        self.side = side
        self.asked: deque[bytes] = deque()

    def parse(self, frame: bytes) -> Message:
        if self.side is Side.CLIENT:
            return Message(Kind.ONEWAY if frame.startswith(b"tell") else Kind.REQUEST, frame)
        return Message(Kind.ERROR if frame.startswith(b"-") else Kind.RESPONSE, frame)

    def receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        for message in super().receive(data):
            while self.asked and self.asked[0].startswith(b"quiet") and message.frame != b"HIT\n":
                self.asked.popleft()
                messages.append(Message(Kind.SILENCE, b""))
            if self.asked:
                self.asked.popleft()
            messages.append(message)
        return messages

    def send(self, message: Message, id: int) -> bytes:
        if self.side is Side.SERVER:
            self.asked.append(message.frame)
        # A fence, of which an older plugin does not say that there is one.
        return message.frame + b"version\n" if message.kind is Kind.ONEWAY else message.frame

    def owed(self) -> bytes:
        return b"-bad line\n"


class Memory(Codec):
    name = "memory"
    correlation = Correlation.FIFO

    def session(self, side: Side, max_frame: int) -> Session:
        return Quiet(side, max_frame)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        return b"" if request.kind is Kind.ONEWAY else b"-%b\n" % kind.value.encode()


def test_quiet_commands_fences_and_last_words_are_part_of_the_contract() -> None:
    def prepare(session: object, side: Side) -> None:
        if side is Side.SERVER:
            assert isinstance(session, Quiet)
            for line in (b"quiet a\n", b"get b\n"):
                session.send(Message(Kind.REQUEST, line), 0)

    client = [b"get a\n", b"quiet a\n", b"tell b\n"]
    check_codec(Memory(), client, [b"+1\n", b"-no\n"])
    check_codec(Memory(), client, [b"+1\n", b"-no\n"], prepare=prepare)


class Skipping(EachByte):
    """A server's line over the bound is read to its end and dropped."""

    def __init__(self, side: Side, max_frame: int) -> None:
        super().__init__(side, max_frame)
        self.over = False

    def receive(self, data: bytes) -> list[Message]:
        if self.side is Side.CLIENT:
            return super().receive(data)
        messages: list[Message] = []
        for byte in data:
            if len(self.rest) < self.most:
                self.rest.append(byte)
            else:
                self.over = True
            if byte == 10:
                line, over = bytes(self.rest), self.over
                messages.append(Message(Kind.SKIPPED, b"a long line") if over else self.parse(line))
                self.rest.clear()
                self.over = False
        self.buffered = len(self.rest)
        return messages


class Lenient(Plain):
    def session(self, side: Side, max_frame: int) -> Session:
        return Skipping(side, max_frame)


def test_an_answer_over_the_bound_may_be_skipped() -> None:
    check_codec(Lenient(), [b"get a\n", b"PING\n"], [b"+1\n", b"-no\n", b"PONG\n"])
