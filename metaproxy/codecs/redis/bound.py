"""
A connection that a client has for itself: what state its commands left there, and what is still to come on it.

Only so is it known which of a server's replies answer a request, since those to SUBSCRIBE and its kin are as many as
the channels that were named, or subscribed before, and come as pushes (RESP3) or as arrays like any other (RESP2); and
only so it is known when nothing of the client's is left, and another may have the connection.

Source: the pages of the Redis documentation on pub/sub and transactions, and redis-server 7.0. Lives here: `Bound`.
"""

from __future__ import annotations

import re
from collections import deque

from metaproxy.codecs.redis import commands, resp
from metaproxy.codecs.redis.metadata import MULTI
from metaproxy.message import FrameError, Hold, Kind, Message

_EVENT = re.compile(rb"[*>][34]\r\n\$\d+\r\n([ps]?message|[ps]?(?:un)?subscribe)\r\n")
"""How begins what a subscription brings, in RESP3 and RESP2."""
_COUNT = re.compile(rb":(\d{1,18})\r\n\Z")
_MONITORED = re.compile(rb"\+\d+\.\d+ \[")
"""How begins what MONITOR brings: the time, to tell it from other lines."""

_PLAIN, _SWALLOWED, _LAST, _MONITOR = range(4)
"""Requests: an ordinary one; the MULTI that went with a command; EXEC, DISCARD, UNWATCH; MONITOR."""

_CHANNELS, _PATTERNS, _SHARDS = range(3)
_KINDS = {
    b"subscribe": _CHANNELS, b"psubscribe": _PATTERNS, b"ssubscribe": _SHARDS,
    b"unsubscribe": _CHANNELS, b"punsubscribe": _PATTERNS, b"sunsubscribe": _SHARDS,
}  # fmt: skip
_ELSEWHERE = b"-CROSSSLOT The channel is at another server than this connection: it wants one of its own\r\n"
OVER = {"subscriptions": "0"}
"""Metadata of the event after which no subscription is left."""


class _Confirmations:
    """
    What is to come for one SUBSCRIBE or its kin. left: how many; None: one for each channel of that kind. behind:
    whether requests were unanswered when it was sent.
    """

    __slots__ = ("behind", "left", "word")

    def __init__(self, word: bytes, left: int | None, behind: bool) -> None:
        self.word = word
        self.left = left
        self.behind = behind


class Bound:
    """
    unanswered: requests that were sent before, and are still to be answered. hidden: clients don't know the servers'
    addresses.
    """

    def __init__(self, unanswered: int, hidden: bool = False) -> None:
        self._hidden = hidden
        self._due: deque[int | _Confirmations] = deque([_PLAIN] * unanswered)
        self.requests = unanswered  # of those that are due, how many are no confirmations
        self._transaction = self._watching = self._monitoring = False
        self._strayed = False  # in another database or user than its profile says, or in a state that is not known
        self._subscribed = [0, 0, 0]
        self._refusal = b""
        self._swallows = 0  # answers to ASKING that are to come

    @property
    def clean(self) -> bool:
        """Whether nothing is left that concerns the client."""
        return not (self._due or self._held() or self._strayed or any(self._subscribed))

    @property
    def asks(self) -> bool:
        """Whether an answer to ASKING is to come, or has come and is that of the request behind it."""
        return self._swallows > 0 or bool(self._refusal)

    def _held(self) -> bool:
        return self._transaction or self._watching or self._monitoring

    # -- what is sent

    def asked(self, message: Message, size: int) -> None:
        """A request with ASKING in front of it, which has so many bytes, and an answer of its own."""
        self._due.append(_SWALLOWED)
        self._swallows += 1
        self.requests += 1
        self.sent(message.with_frame(message.frame[size:]))

    def sent(self, message: Message) -> None:
        frame, at = message.frame, 0
        if frame.startswith(MULTI) and len(frame) > len(MULTI):
            at = len(MULTI)
            self._due.append(_SWALLOWED)
            self.requests += 1
            self._transaction = True
        (name,) = resp.arguments(frame, 1, at)
        name = name.upper()
        count = int(frame[at + 1 : frame.index(resp.CRLF, at)]) - 1
        if name in commands.SUBSCRIBE or name in commands.UNSUBSCRIBE:
            left = None if name in commands.UNSUBSCRIBE and not count else count
            self._due.append(_Confirmations(name.lower(), left, self.requests > 0))
        else:
            self._due.append(self._note(name, count))
            self.requests += 1

    def _note(self, name: bytes, count: int) -> int:
        """What the request changes."""
        if name == b"MULTI" and not count:
            self._transaction = True
        elif name in (b"EXEC", b"DISCARD") and not count and self._transaction:
            self._transaction = self._watching = False
            return _LAST
        elif name == b"WATCH" and not self._transaction:
            self._watching = True
        elif name == b"UNWATCH" and not count and not self._transaction:
            self._watching = False
            return _LAST
        elif name == b"MONITOR":
            self._monitoring = True
            return _MONITOR
        elif name == b"RESET":
            self._transaction = self._watching = self._monitoring = False
            self._strayed = True
        elif name == b"SELECT":
            self._strayed = True
        return _PLAIN

    # -- what comes

    def received(self, frame: bytes, code: int) -> list[Message]:
        due = self._due[0] if self._due else None
        confirming = due if isinstance(due, _Confirmations) else None
        if code == resp.PUSH or (code == resp.ARRAY and (confirming or any(self._subscribed))):
            found = _EVENT.match(frame)
            if found is not None or code == resp.PUSH:
                return [self._event(frame, found[1] if found is not None else b"", confirming)]
        elif self._monitoring and _MONITORED.match(frame):
            return [Message(Kind.EVENT, frame)]
        if self._due:
            self._due.popleft()
            self.requests -= not confirming
        if confirming:
            # The one answer to a SUBSCRIBE that was refused; a server that gives another has lost its thread.
            frame = _ELSEWHERE if self._hidden and frame.startswith((b"-MOVED ", b"-ASK ")) else frame
            return [self._close_if_over(Message(Kind.EVENT, frame), confirming)]
        return self._answered(frame, code in (resp.ERROR, resp.BULK_ERROR), due)

    def opens(self, beginning: bytes, code: int) -> bool:
        """Whether a reply with these first bytes answers a request, and may come in pieces: then it is noted."""
        due = self._answers(beginning, code)
        if due is None or self._refusal:
            return False
        self._answered(beginning, code in (resp.ERROR, resp.BULK_ERROR), due)
        self._due.popleft()
        self.requests -= 1
        return True

    def _answers(self, beginning: bytes, code: int) -> int | None:
        """The request that a reply with these first bytes answers; None where it answers none, or is swallowed."""
        due = self._due[0] if self._due else None
        subscribed = code == resp.ARRAY and any(self._subscribed) and _EVENT.match(beginning)
        monitored = self._monitoring and _MONITORED.match(beginning)
        if not isinstance(due, int) or due == _SWALLOWED or code == resp.PUSH or subscribed or monitored:
            return None
        return due

    def skipped(self, beginning: bytes, code: int, reason: str) -> list[Message]:
        """
        A reply that was dropped since it is too large. beginning: its first bytes. Raises FrameError if it answers no
        request: a subscriber that misses a message must know, and so loses its connection.
        """
        due = self._answers(beginning, code)
        if due is None:
            raise FrameError(reason.replace("an answer", "a message", 1))
        self._due.popleft()
        self.requests -= 1
        answer = self._answered(b"", False, due)
        if answer[0].kind is Kind.RESPONSE:
            answer = [Message(Kind.SKIPPED, reason.encode())]
        return answer

    def _answered(self, frame: bytes, failed: bool, due: object) -> list[Message]:
        if due == _SWALLOWED:
            self._swallows -= 1 if self._swallows else 0
            if failed:  # so the command behind it was no part of a transaction; the client must know
                self._refusal = frame
                self._transaction = False
            return []
        if self._refusal:
            frame, self._refusal = self._refusal, b""
            failed = True
        if failed and due == _MONITOR:
            self._monitoring = False
        elif failed and due == _LAST and not frame.startswith(b"-EXECABORT"):
            self._strayed = True  # perhaps refused, and the transaction is still on
        return [Message(Kind.ERROR if failed else Kind.RESPONSE, frame)]

    def _event(self, frame: bytes, word: bytes, confirming: _Confirmations | None) -> Message:
        message = Message(Kind.EVENT, frame)
        kind = _KINDS.get(word)
        count = _COUNT.search(frame, max(0, len(frame) - 32)) if kind is not None else None
        if kind is None or count is None:
            return message
        before = self._subscribed[_SHARDS] if kind == _SHARDS else sum(self._subscribed[:_SHARDS])
        self._subscribed[kind] = max(0, self._subscribed[kind] + int(count[1]) - before)
        if confirming is not None and confirming.word == word:
            if confirming.left is not None:
                confirming.left -= 1
            if not (self._subscribed[kind] if confirming.left is None else confirming.left > 0):
                self._due.popleft()
        return self._close_if_over(message, confirming) if b"un" in word else message

    def _close_if_over(self, message: Message, confirming: _Confirmations | None) -> Message:
        """
        `message`, an event, releases the client if it is the last one, nothing else binds it, and no request was or is
        unanswered: the answer to one may come in the same read, and then lets what waited for it go on this connection
        before the event is passed on. In that case the client's session releases it, with its next command.
        """
        if any(self._subscribed) or len(self._due) > self.requests:
            return message
        message.metadata = OVER
        if not self._due and not self._held() and confirming is not None and not confirming.behind:
            message.hold = Hold.CLOSE
        return message
