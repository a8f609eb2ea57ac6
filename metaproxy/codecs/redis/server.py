"""
A server's connection: its replies, told apart from what subscriptions bring.

Lives here: `ServerSession`, which sees what is sent too, and so knows what state the connection is in. Does not:
framing (`resp`), what a client may do (`client`).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import cast

from metaproxy.codecs.framing import Session
from metaproxy.codecs.redis import commands, resp
from metaproxy.codecs.redis.metadata import without_multi
from metaproxy.codecs.redis.resp import COMMAND, Cutter
from metaproxy.message import FrameError, Hold, Kind, Message

_RESPONSE, _ERROR = Kind.RESPONSE, Kind.ERROR

_EVENT = re.compile(rb"[*>][34]\r\n\$\d+\r\n([ps]?message|[ps]?(?:un)?subscribe)\r\n")
"""The beginning of what a subscription brings, in RESP2 and RESP3."""


class ServerSession(Session):
    """Reads what a server sends, and sees what was sent to it: so it knows what is an answer and what a push."""

    def __init__(self, max_frame: int) -> None:
        self._cutter = Cutter(max_frame)
        self._greetings = 0
        self._subscribed = False
        self._monitor = 0
        """1: MONITOR was sent; 2: and taken, so every line is an event."""
        self._in_transaction = self._watching = self._strayed = self._opening = False
        self._eventful = False
        """Whether not every message is the answer to a request, so that each needs a look."""

    @property
    def reusable(self) -> bool:  # type: ignore[override]
        return not (self._in_transaction or self._watching or self._strayed or self._subscribed or self._monitor)

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        version, database = cast("tuple[int, int]", profile or (2, 0))
        password = credentials.get("password", "").encode()
        user = credentials.get("user", "").encode()
        sent = []
        if version == 3:
            login = [b"AUTH", user or b"default", password] if password else []
            sent.append(resp.encode([b"HELLO", b"3", *login]))
        elif password:
            sent.append(resp.encode([b"AUTH", *([user] if user else []), password]))
        if database:
            sent.append(resp.encode([b"SELECT", b"%d" % database]))
        self._greetings = len(sent)
        self.ready = not sent
        self._eventful = version == 3
        return b"".join(sent)

    def receive(self, data: bytes) -> list[Message]:
        if self.error is not None:
            return []
        cutter = self._cutter
        messages: list[Message] = []
        whole: bytes | bytearray | None = data
        if cutter.size:
            whole = cutter.add(data)
            if whole is None:
                self.buffered = cutter.size
                return messages
        try:
            at, rest = self._cut(cast("bytes | bytearray", whole), messages)
        except FrameError as error:
            self.error = error
            return messages
        cutter.keep(rest, at)
        self.buffered = cutter.size
        return messages

    def _cut(self, data: bytes | bytearray, messages: list[Message]) -> tuple[int, bytes | bytearray]:
        at = 0
        if isinstance(data, bytes) and not self._eventful and not self._greetings and not self._cutter.stepping:
            at = self._cut_plain(data, messages)
        end = len(data)
        while at < end:
            stop = self._cutter.reply(data, at)
            if stop < 0:
                break
            if isinstance(data, bytearray):
                data = bytes(data)
            frame = data[at:stop] if at or stop < end else data
            if self._greetings:
                self._greeted(frame)
            elif self._eventful:
                message = self._event_or_answer(frame)
                if message is not None:
                    messages.append(message)
            else:
                messages.append(Message(_ERROR if frame[0] in b"-!" else _RESPONSE, frame))
            at = stop
        return at, data

    def _cut_plain(self, data: bytes, messages: list[Message]) -> int:
        """Lines and values that stand whole at the beginning; the rest is left to `_cut`."""
        at, end = 0, len(data)
        find, add, most = data.find, messages.append, self._cutter.most
        while at < end:
            code = data[at]
            line = find(b"\r\n", at, at + resp.MAX_INLINE)
            if line < 0:
                break
            stop = line + 2
            if code == 0x24:
                digits = data[at + 1 : line]
                if digits.isdigit():
                    stop += int(digits) + 2
                    if stop > end or stop - at > most or data[stop - 2 : stop] != b"\r\n":
                        break
                elif digits != b"-1":
                    break
            elif code not in resp.LINES or stop - at > most:
                break
            add(Message(_RESPONSE if code != 0x2D else _ERROR, data[at:stop] if at or stop < end else data))
            at = stop
        return at

    def _greeted(self, frame: bytes) -> None:
        """An answer to what `open` sent."""
        if frame[:1] in (b"-", b"!"):
            raise FrameError(f"login refused: {frame[1:].strip().decode(errors='replace')[:200]}")
        self._greetings -= 1
        self.ready = not self._greetings

    def _event_or_answer(self, frame: bytes) -> Message | None:
        code = frame[:1]
        if self._opening:  # the answer to the MULTI that went with a command
            self._opening = False
            return None
        if self._monitor == 2 and code == b"+":
            return Message(Kind.EVENT, frame)
        if self._monitor == 1 and code == b"+":
            self._monitor = 2
        if code == b">" or (code == b"*" and self._subscribed):
            found = _EVENT.match(frame)
            if found is not None or code == b">":
                return self._event(frame, found[1] if found is not None else b"")
        return Message(_ERROR if code in (b"-", b"!") else _RESPONSE, frame)

    def _event(self, frame: bytes, word: bytes) -> Message:
        if word.endswith(b"unsubscribe") and frame.endswith(b":0\r\n"):
            self._subscribed = False
            return Message(Kind.EVENT, frame, hold=Hold.NONE if self._in_transaction or self._watching else Hold.CLOSE)
        return Message(Kind.EVENT, frame)

    def send(self, message: Message, id: int) -> bytes:
        """Notes what binds the connection; only such messages have a hold, or no answer."""
        if message.hold or message.kind is Kind.ONEWAY or not self.reusable:
            command = without_multi(message.frame)
            if command is not message.frame:
                self._in_transaction = self._opening = self._eventful = True
            head = COMMAND.match(command)
            if head is not None:
                self._note(head[3].upper().decode("latin-1"))
        return message.frame

    def _note(self, name: str) -> None:
        if name in commands.SUBSCRIBE:
            self._subscribed = self._eventful = True
        elif name == "MULTI":
            self._in_transaction = True
        elif name in ("EXEC", "DISCARD"):
            self._in_transaction = self._watching = False
        elif name == "WATCH":
            self._watching = True
        elif name == "UNWATCH":
            self._watching = False
        elif name == "MONITOR":
            self._monitor, self._eventful = 1, True
        elif name in ("SELECT", "RESET"):
            self._strayed = True  # it is not what its profile says any more
