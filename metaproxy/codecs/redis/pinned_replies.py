"""
What is still to come on a pinned connection: which of a server's replies answer which command, and which answer none.

Most commands have one reply. SUBSCRIBE and its kin have one for each channel, which are pushes in RESP3 and arrays like
any other in RESP2: all of them together are the answer. CLIENT REPLY OFF and SKIP silence replies, MONITOR and
subscriptions bring more of them. What answers nothing is an event, and reaches the client all the same.

Source: the pages of the Redis documentation on its protocol, pub/sub, tracking and transactions, and redis-server 7.0.
Lives here: `Replies`. Does not: where a reply ends (`pinned_server`).
"""

from __future__ import annotations

import re
from collections import deque

from metaproxy.codecs.redis import commands, resp
from metaproxy.codecs.redis.pinned_client import SYNC, Command, is_acknowledgement, reply_mode
from metaproxy.message import Kind, Message

_RESPONSE, _ERROR, _EVENT, _ONEWAY = Kind.RESPONSE, Kind.ERROR, Kind.EVENT, Kind.ONEWAY
_PUSHED = re.compile(rb"[*>][34]\r\n\$\d+\r\n([ps]?message|[ps]?(?:un)?subscribe)\r\n")
"""How begins what a subscription brings, in RESP3 and RESP2."""
_COUNT = re.compile(rb":(\d{1,18})\r\n\Z")
_LONGEST_COUNT = 21
_MONITORED = re.compile(rb"\+\d+\.\d+ \[")
"""How begins what MONITOR brings: the time, to tell it from other lines."""
_CHANNELS, _PATTERNS, _SHARDS = range(3)
_KINDS = {
    b"subscribe": _CHANNELS, b"psubscribe": _PATTERNS, b"ssubscribe": _SHARDS,
    b"unsubscribe": _CHANNELS, b"punsubscribe": _PATTERNS, b"sunsubscribe": _SHARDS,
}  # fmt: skip
_QUEUED = b"+QUEUED\r\n"
_SKIPPED = b"*1\r\n$4\r\nPING\r\n"
"""Uses up a CLIENT REPLY SKIP, and has no reply by it."""
MOST_HELD = 1 << 16
"""Bytes of confirmations that wait for the last one; what is more is passed on before it."""


class _Due:
    """
    A reply that is to come. word: the command, in lower case, b"" where nothing depends on it. left: confirmations
    still to come; None: until no subscription of that kind is left. version: what HELLO asked for. silent: there will
    be no reply. stray: the proxy takes the command for one without a reply, so its reply answers nothing.
    """

    __slots__ = ("left", "pieces", "silent", "size", "stray", "version", "word")

    def __init__(self, word: bytes = b"", silent: bool = False, stray: bool = False) -> None:
        self.word = word
        self.silent = silent
        self.stray = stray
        self.left: int | None = 1
        self.version = 0
        self.pieces: list[bytes] = []
        self.size = 0


_PLAIN, _SILENT, _STRAY = _Due(), _Due(silent=True), _Due(stray=True)


class Replies:
    """
    version: of RESP, as the server speaks it. plain: whether each reply answers the oldest command, pushes apart.
    syncing: SYNC or PSYNC was sent, the last command of all; set to False by who reads its answer.
    """

    def __init__(self) -> None:
        self.version = 2
        self._due: deque[_Due] = deque()
        self._unusual = 0  # those of them that are not _PLAIN
        self._off = self._skip = False
        self._transaction = False
        self._monitor_sent = self._monitoring = False
        self._streaming = False
        self.syncing = False
        self._subscribed = [0, 0, 0]
        self._perhaps = False  # subscribed without a reply, so that it is not known
        self._queued_version = 0
        self._queued_words = False

    @property
    def plain(self) -> bool:
        state = self._off or self._skip or self._monitor_sent or self._streaming or self._transaction
        return not (self._unusual or state or (self.version == 2 and self._is_subscribed()))

    def _is_subscribed(self) -> bool:
        return self._perhaps or any(self._subscribed)

    def add_plain(self, count: int) -> None:
        """So many ordinary commands were sent."""
        self._due.extend([_PLAIN] * count)

    def take_plain(self) -> int:
        """How many ordinary commands are unanswered, which the caller counts from now on."""
        count = len(self._due)
        self._due.clear()
        return count

    def stream(self) -> None:
        """From now on the server sends data: nothing that is sent has a reply."""
        self._streaming = True
        self.syncing = False

    # -- what is sent

    def sent(self, message: Message) -> bytes:
        """The bytes to send for `message`."""
        frame, before = message.frame, b""
        oneway = message.kind is _ONEWAY or getattr(message, "oneway", False)
        if self._skip and not oneway:
            self._skip, before = False, _SKIPPED  # what CLIENT REPLY SKIP was meant for never got here
        silent = self._off or self._skip or self._streaming
        self._skip = False
        due = _PLAIN
        if isinstance(message, Command):
            words = resp.arguments(frame, 2)
            name = words[0].upper()
            count = int(frame[1 : frame.index(resp.CRLF)]) - 1
            if name == b"CLIENT":
                silent = self._reply_mode(reply_mode(frame), silent)
            elif name in _NOTED:
                due = _Due(name.lower())
                silent = self._note(name, count, due, frame, silent)
                if silent:
                    self._assume(due, words)
        if silent:
            due = _SILENT
            if oneway:
                return before + frame
        elif oneway:
            if due is _PLAIN:
                due = _STRAY
            else:
                due.stray = True
        self._due.append(due)
        self._unusual += due is not _PLAIN
        return before + frame

    def _reply_mode(self, mode: bytes, silent: bool) -> bool:
        """CLIENT REPLY; whether the command itself has no reply."""
        if not mode or self._transaction or self._streaming:
            return silent
        if mode == b"ON":
            self._off = False
            return False
        if mode == b"OFF":
            self._off = True
        elif not self._off:
            self._skip = True
        return True

    def _note(self, name: bytes, count: int, due: _Due, frame: bytes, silent: bool) -> bool:
        """What a command may change; whether it has no reply."""
        if name in commands.SUBSCRIBE:
            due.left = count
        elif name in commands.UNSUBSCRIBE:
            due.left = count or None
        elif name == b"HELLO":
            asked = resp.arguments(frame, 2)[1:]
            due.version = int(asked[0]) if asked in ([b"2"], [b"3"]) else 0
        elif name == b"MULTI":
            self._transaction = self._transaction or not count
        elif name == b"EXEC" or name == b"DISCARD":
            self._transaction = self._transaction and count > 0
        elif name == b"RESET" and not count:
            self._off = self._transaction = silent = False
        elif name == b"MONITOR" and not self._transaction:
            silent = silent or self._monitor_sent  # already monitoring: ignored by the server
            self._monitor_sent = True
        elif name in SYNC:
            silent = silent or self._monitor_sent  # and this one, too
            self.syncing = not self._monitor_sent
        elif name == b"REPLCONF":
            silent = silent or is_acknowledgement(frame)
        return silent

    def _assume(self, due: _Due, words: list[bytes]) -> None:
        """The command has no reply that could tell whether it was done."""
        if due.version:
            self.version = due.version
        self._perhaps = self._perhaps or words[0].upper() in commands.SUBSCRIBE

    # -- what comes

    def received(self, frame: bytes, code: int, whole: bool = True) -> list[Message]:
        """What a reply is; code: its first byte, behind attributes; whole: False if only its beginning is there."""
        messages: list[Message] = []
        due = self._next(messages)
        word = due.word if due is not None else b""
        confirming = due if word in _KINDS else None
        if code == resp.PUSH or (
            code == resp.ARRAY and self.version == 2 and (confirming is not None or self._is_subscribed())
        ):
            pushed = _PUSHED.match(frame)
            if pushed is not None or code == resp.PUSH:
                self._pushed(frame, pushed[1] if pushed is not None else b"", confirming, messages)
                return messages
        elif self._monitoring and _MONITORED.match(frame):
            self._event(frame, due, messages)
            return messages
        if due is None:
            self._off = self._skip = False  # the server does answer: it refused CLIENT REPLY
            messages.append(Message(_EVENT, frame))
            return messages
        failed = code == resp.ERROR or code == resp.BULK_ERROR
        self._pop(due)
        if word:
            self._done(due, frame, code, failed or not whole)
        self._answer(frame, due, _ERROR if failed else _RESPONSE, messages)
        return messages

    def opens(self, beginning: bytes, code: int, messages: list[Message]) -> bool:
        """Whether a reply with these first bytes answers a command, and may come in pieces: then it is noted."""
        due = self._next(messages)
        if due is None or due.stray or due.pieces or due.word in _KINDS or code == resp.PUSH:
            return False
        if due.word == b"exec" and self._queued_words:
            return False  # the confirmations in it are counted
        subscribed = code == resp.ARRAY and self.version == 2 and self._is_subscribed()
        if (subscribed and _PUSHED.match(beginning)) or (self._monitoring and _MONITORED.match(beginning)):
            return False
        self._pop(due)
        if due.word:
            self._done(due, beginning, code, code in (resp.ERROR, resp.BULK_ERROR))
        return True

    def _next(self, messages: list[Message]) -> _Due | None:
        """What the next reply belongs to. Commands that get none and were not known for it are done with."""
        due = self._due
        while due and due[0].silent:
            self._pop(due[0])
            messages.append(Message(Kind.SILENCE, b""))
        return due[0] if due else None

    def _pop(self, due: _Due) -> None:
        self._due.popleft()
        self._unusual -= due is not _PLAIN

    def _answer(self, frame: bytes, due: _Due, kind: Kind, messages: list[Message]) -> None:
        if due.pieces:
            frame = b"".join((*due.pieces, frame))
        messages.append(Message(_EVENT if due.stray else kind, frame))

    def _done(self, due: _Due, frame: bytes, code: int, failed: bool) -> None:
        """What a command changed, now that its reply tells."""
        word = due.word
        if frame == _QUEUED:
            self._queued_version = due.version or self._queued_version
            self._queued_words = self._queued_words or word in _KINDS
        elif word == b"hello":
            if not failed:
                self.version = 3 if code == resp.MAP else 2
        elif word == b"monitor":
            self._monitoring = self._monitoring or not failed
            self._monitor_sent = self._monitoring
        elif word == b"reset":
            if not failed:
                self._reset()
        elif word == b"exec" or word == b"discard":
            if word == b"exec" and code == resp.ARRAY and not frame.startswith(b"*-1"):
                self._perhaps = self._perhaps or (failed and self._queued_words)  # its end was dropped
                self._executed(frame)
            if not failed or frame.startswith(b"-EXECABORT"):
                self._queued_version, self._queued_words = 0, False

    def _executed(self, frame: bytes) -> None:
        """What was queued is done."""
        if self._queued_words:
            for value in resp.values(frame):
                pushed = _PUSHED.match(value)
                if pushed is not None:
                    self._counted(pushed[1], value)
        self.version = self._queued_version or self.version

    def _reset(self) -> None:
        self.version = 2
        self._monitor_sent = self._monitoring = self._perhaps = self._queued_words = False
        self._subscribed = [0, 0, 0]
        self._queued_version = 0

    # -- subscriptions

    def _pushed(self, frame: bytes, word: bytes, confirming: _Due | None, messages: list[Message]) -> None:
        self._counted(word, frame)
        if confirming is None or confirming.word != word:
            self._event(frame, confirming, messages)
            return
        if confirming.left is None:
            more = self._subscribed[_KINDS[word]] > 0
        else:
            confirming.left -= 1
            more = confirming.left > 0
        if not more:
            self._pop(confirming)
            self._answer(frame, confirming, _RESPONSE, messages)
            return
        confirming.pieces.append(frame)
        confirming.size += len(frame)
        if confirming.size > MOST_HELD:
            self._event(b"", confirming, messages)

    def _event(self, frame: bytes, due: _Due | None, messages: list[Message]) -> None:
        """What answers nothing; behind the confirmations that are held, as the server sent it."""
        if due is not None and due.pieces:
            messages.append(Message(_EVENT, b"".join(due.pieces)))
            due.pieces.clear()
            due.size = 0
        if frame:
            messages.append(Message(_EVENT, frame))

    def _counted(self, word: bytes, frame: bytes) -> None:
        """A confirmation tells how many subscriptions there are: of channels and patterns together, or of shards."""
        kind = _KINDS.get(word)
        count = _COUNT.search(frame, max(0, len(frame) - _LONGEST_COUNT)) if kind is not None else None
        if kind is None or count is None:
            return
        total = int(count[1])
        others = self._subscribed[_PATTERNS if kind == _CHANNELS else _CHANNELS] if kind != _SHARDS else 0
        self._subscribed[kind] = max(0, total - others)
        if not total:
            self._perhaps = False


_NOTED = (
    commands.SUBSCRIBE
    | commands.UNSUBSCRIBE
    | SYNC.keys()
    | frozenset(b"DISCARD EXEC HELLO MONITOR MULTI REPLCONF RESET".split())
)
