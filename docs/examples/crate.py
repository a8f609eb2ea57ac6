"""
Crate: values under keys, in lines, much as memcached speaks. Answers have no id and come in the order of the requests.

    get KEY ...                    VALUE KEY SIZE, a block of SIZE bytes, ..., END
    set KEY SIZE [noreply], block  STORED, or nothing
    version                        VERSION ...          any: ERROR text
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import cast

from metaproxy.codecs.framing import Codec, Lines
from metaproxy.interfaces import ICodec
from metaproxy.message import Correlation, ErrorKind, FrameError, Kind, Message, Part, Side
from metaproxy.plugins import Declaration

MOST = 2048
"""Bytes of a line."""
FENCE = b"version\r\n"


class Crate(Codec):
    name = "crate"
    correlation = Correlation.FIFO
    ordered = True
    keys = {"command": "get, set or version", "key": "the first key"}

    def session(self, side: Side, max_frame: int) -> Lines:
        return Questions(max_frame) if side is Side.CLIENT else Answers(max_frame)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        line = "".join(letter if letter.isprintable() else " " for letter in text)
        return b"" if request.kind is Kind.ONEWAY else f"ERROR {line}\r\n".encode()

    def safe(self, request: Message) -> bool:
        return request.get("command") in ("get", "version")

    def probe(self) -> Message:
        return Message(Kind.REQUEST, FENCE, 0, {"command": "version"})

    def split(self, request: Message, owner: Callable[[str], Hashable]) -> list[Part] | None:
        """A `get` of several keys: one for each owner. `place`: where its keys stood."""
        if request.get("command") != "get":
            return None
        keys = request.frame.split()[1:]
        places: dict[Hashable, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(owner(key.decode("latin-1")), []).append(place)
        if len(places) < 2:
            return None
        return [Part(question([keys[place] for place in mine]), mine) for mine in places.values()]

    def merge(self, request: Message, parts: Sequence[Part], answers: Sequence[Message]) -> bytes:
        """The values in the order of the keys; a key that has none is left out, as a single server does."""
        values: dict[int, bytes] = {}
        for part, answer in zip(parts, answers, strict=True):
            if answer.kind is Kind.ERROR:
                return answer.frame
            keys = part.message.frame.split()[1:]
            found = values_of(answer.frame)
            places = cast("list[int]", part.place)
            values.update((place, found.get(key, b"")) for place, key in zip(places, keys, strict=True))
        return b"".join(values[place] for place in sorted(values)) + b"END\r\n"


def question(keys: Sequence[bytes]) -> Message:
    frame = b"get " + b" ".join(keys) + b"\r\n"
    return Message(Kind.REQUEST, frame, 0, {"command": "get", "key": keys[0].decode("latin-1")})


def values_of(frame: bytes) -> dict[bytes, bytes]:
    """Key -> the line and the block that hold its value."""
    found, at = {}, 0
    while frame.startswith(b"VALUE ", at):
        line = frame.index(b"\n", at) + 1
        words = frame[at:line].split()
        stop = line + int(words[2]) + 2
        found[words[1]] = frame[at:stop]
        at = stop
    return found


def size_of(line: bytes) -> int:
    """Bytes of the block that a line announces, with the line end behind it."""
    words = line.split(b" ")
    if words[0] not in (b"set", b"VALUE"):
        return 0
    if len(words) < 3 or not words[2].isdigit() or len(words[2]) > 9:
        raise FrameError(f"no size in {line[:80]!r}")
    return int(words[2]) + 2


class Questions(Lines):
    """What a client sends."""

    def __init__(self, max_frame: int) -> None:
        super().__init__(self.parse, max_frame, block=size_of, most=MOST)

    def parse(self, frame: bytes) -> Message:
        words = frame[: frame.index(b"\n")].decode("latin-1").rstrip("\r").split(" ")
        command, arguments = words[0], words[1:]
        if not frame.endswith(b"\r\n"):
            raise FrameError(f"no line end behind {frame[-8:]!r}")
        if command == "quit":
            self.closing = True
            return Message(Kind.REQUEST, frame, 0, {"command": command}, answer=b"")
        most = {"get": 64, "set": 3, "version": 0}.get(command, -1)
        if not all(arguments) or not (command == "version") <= len(arguments) + (most == 0) <= max(most, 1):
            raise FrameError(f"no command: {frame[:80]!r}")
        quiet = command == "set" and arguments[2:] == ["noreply"]
        metadata = {"command": command, "key": arguments[0]} if arguments else {"command": command}
        return Message(Kind.ONEWAY if quiet else Kind.REQUEST, frame, 0, metadata)


class Answers(Lines):
    """
    What a server sends. Some servers answer a `noreply` all the same, with an error: then all answers behind it would
    go to the wrong clients. So `version` is sent behind each as a fence, and what comes up to its answer is dropped.
    """

    fenced = True

    def __init__(self, max_frame: int) -> None:
        super().__init__(self.parse, max_frame, block=size_of, last=lambda line: not line.startswith(b"VALUE "))
        self._fences: deque[bool] = deque()  # for each answer that is to come: whether it is a fence's

    def send(self, message: Message, id: int) -> bytes:
        quiet = message.kind is Kind.ONEWAY
        self._fences.append(quiet)
        return message.frame + FENCE if quiet else message.frame

    def receive(self, data: bytes) -> list[Message]:
        return [message for message in super().receive(data) if self.is_answer(message.frame)]

    def is_answer(self, frame: bytes) -> bool:
        if not self._fences:
            return True
        if not self._fences[0]:
            self._fences.popleft()
            return True
        if frame.startswith(b"VERSION "):
            self._fences.popleft()
        return False

    def parse(self, frame: bytes) -> Message:
        word = frame.split(None, 1)[0] if frame.strip() else b""
        if word not in (b"VALUE", b"END", b"STORED", b"VERSION", b"ERROR"):
            raise FrameError(f"no answer: {frame[:80]!r}")
        if not frame.endswith(b"\r\n"):
            raise FrameError(f"no line end behind {frame[-8:]!r}")
        return Message(Kind.ERROR if word == b"ERROR" else Kind.RESPONSE, frame)


crate = Declaration(ICodec, "crate", Crate)
