"""
A client's connection with `mode: pinned`: every command goes on to the client's own upstream connection.

What is read of a command here only concerns the proxy: whether it is denied by name, whether an answer is to be
expected (CLIENT REPLY), whether it may take as long as it likes, and whether a refusal must make a transaction fail.
This is what the client asked for; a filter or the server may refuse it. What the connection does in truth is known to
the server's session (`pinned_replies`), which puts right what was expected wrongly here.

Lives here: `PinnedClient` and its messages, `Command`. Does not: cutting the stream (`stream`); replies
(`pinned_server`, `pinned_replies`).
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.codecs.redis import commands, metadata, resp
from metaproxy.codecs.redis.identity import ONE_LINE, error_probe
from metaproxy.codecs.redis.names import unknown
from metaproxy.codecs.redis.stream import CommandStream
from metaproxy.message import ErrorKind, Hold, Kind, Message

_REQUEST, _ONEWAY, _NONE = Kind.REQUEST, Kind.ONEWAY, Hold.NONE
SYNC = {b"SYNC": 1, b"PSYNC": 3}
"""Behind these, with so many words, the server sends its data and no replies any more."""
SPECIAL = (
    commands.SUBSCRIBE
    | commands.UNSUBSCRIBE
    | commands.BLOCKING
    | SYNC.keys()
    | frozenset(b"CLIENT DISCARD EXEC HELLO MONITOR MULTI QUIT REPLCONF RESET".split())
)
"""Commands that need a look. All others have one reply and change nothing that the proxy must know of."""


class Command(Message):
    """
    A command that needs a look of the server's session, too. session: whose state it changed when it was read, to be
    taken back if it is refused; None if it changed none.
    """

    __slots__ = ("session",)
    session: PinnedClient | None


class PinnedClient(CommandStream):
    """heads: see `commands.heads`. denied: commands that are refused, in upper case."""

    __slots__ = ("_before", "_changed", "_denied", "_monitor", "_silent", "_skip", "_stream", "_transaction")

    def __init__(self, max_frame: int, stream_over: int, heads: dict[bytes, int], denied: frozenset[bytes]) -> None:
        super().__init__(max_frame, stream_over, heads, read)
        self._denied = denied
        self._transaction = False
        self._silent = False  # CLIENT REPLY OFF
        self._skip = False  # CLIENT REPLY SKIP: the next command has no reply
        self._stream = False  # SYNC: nothing has a reply any more
        self._monitor = False
        self._changed: Command | None = None  # the last command that changed whether there are replies
        self._before = (False, False, False, False)
        self._settle()

    def _settle(self) -> None:
        self._plain = not (self._transaction or self._silent or self._skip or self._stream)
        self._look_ahead()

    # -- what a command is

    def _take(self, frame: bytes, messages: list[Message]) -> None:
        """A whole command in RESP."""
        words = resp.arguments(frame, 2)
        if not words:  # *0 and *-1 are nothing, for redis-server too
            return
        name = words[0].upper()
        message = Command(_REQUEST, frame, 0, None, self._more)
        message.session = None
        messages.append(message)
        quiet = self._silent or self._skip or self._stream
        self._skip = False
        error = self._refusal(name, frame, resp.arguments)
        if error:
            self._refuse(message, error, quiet)
        else:
            if self._transaction:
                message.refused = _failing
            if name in SPECIAL:
                quiet = self._special(name, words, message, quiet)
            if quiet:
                message.kind = _ONEWAY
                message.hold = _NONE
        self._settle()

    def _admit(self, head: Message) -> bool:
        quiet = self._silent or self._skip or self._stream
        self._skip = False
        error = self._refusal(resp.begun(head.frame)[0].upper(), head.frame, resp.begun)
        if error:
            self._refuse(head, error, quiet)
        else:
            if self._transaction:
                head.refused = _failing
            if quiet:
                head.oneway = True
        self._settle()
        return not error

    def _trusts(self, keys_known: bool) -> bool:
        return True

    def _refusal(self, name: bytes, frame: bytes, arguments: Callable[[bytes], list[bytes]]) -> bytes:
        """The error for what is not to be done, without its `-`; or nothing."""
        if name in self._denied:
            return b"NOPERM %b is not allowed here" % name
        if b"\0" in frame:  # in a name: `deny` and access rules would miss what it stands for
            return unknown(name, lambda: arguments(frame))
        return b""

    def _refuse(self, message: Message, error: bytes, quiet: bool) -> None:
        """Inside MULTI the server must take notice, or EXEC would do the rest without what was refused."""
        if self._transaction:
            message.known()  # while the frame is the client's
            message.frame = error_probe(error.partition(b" ")[2].decode("latin-1"))
            if quiet:
                message.kind = _ONEWAY
        else:
            message.answer = b"" if quiet else b"-%b\r\n" % error.translate(ONE_LINE)

    def _special(self, name: bytes, words: list[bytes], message: Command, quiet: bool) -> bool:
        """What the command changes, and whether it has no reply."""
        alone = len(words) == 1
        if name in commands.BLOCKING:
            if commands.blocks(name, lambda: resp.arguments(message.frame)):
                message.hold = Hold.BLOCKING
        elif name == b"MULTI":
            self._transaction = self._transaction or alone
        elif name == b"EXEC" or name == b"DISCARD":
            self._transaction = self._transaction and not alone
        elif name == b"QUIT":
            self._quit = self.closing = True
            quiet = quiet and not self._stream
        elif name == b"RESET":
            if alone:
                self._change(message)
                self._transaction = self._silent = self._monitor = self._stream = quiet = False
        elif name == b"CLIENT":
            return self._reply_mode(reply_mode(message.frame), message, quiet)
        elif name == b"MONITOR":
            quiet = quiet or self._monitor  # already monitoring: ignored by the server
            if not self._transaction:
                self._change(message)
                self._monitor = True
        elif name in SYNC:
            message.hold = Hold.BLOCKING
            if not self._transaction and message.frame.startswith(b"*%d\r\n" % SYNC[name]):
                self._change(message)
                self._stream = True
        elif name == b"REPLCONF":
            quiet = quiet or is_acknowledgement(message.frame)
        return quiet

    # -- which commands have no reply

    def _reply_mode(self, mode: bytes, message: Command, quiet: bool) -> bool:
        """CLIENT REPLY; whether the command itself has no reply. Inside MULTI it is queued like any other."""
        if not mode or self._transaction or self._stream:
            return quiet
        self._change(message)
        if mode == b"ON":
            self._silent = False
            return False
        if mode == b"OFF":
            self._silent = True
        elif not self._silent:
            self._skip = True
        return True

    def _change(self, message: Command) -> None:
        self._changed = message
        self._before = (self._silent, self._skip, self._stream, self._monitor)
        message.session = self

    def withdrawn(self, message: Command) -> None:
        """The command was refused before the server saw it; nothing that was read since then depends on it."""
        if self._changed is message:
            self._silent, self._skip, self._stream, self._monitor = self._before
            self._changed = None
            self._settle()


def reply_mode(frame: bytes) -> bytes:
    """ON, OFF or SKIP, in upper case, of a whole `CLIENT REPLY` command; b"" of any other."""
    if not frame.startswith(b"*3\r\n"):
        return b""
    # As redis-server compares them: up to a NUL, in any case.
    _, subcommand, mode = (word.partition(b"\0")[0].upper() for word in resp.arguments(frame, 3))
    return mode if subcommand == b"REPLY" and mode in (b"ON", b"OFF", b"SKIP") else b""


def is_acknowledgement(frame: bytes) -> bool:
    """Whether a REPLCONF command is one of those that have no reply."""
    words = resp.arguments(frame, 2)
    return len(words) > 1 and words[1].partition(b"\0")[0].upper() in (b"ACK", b"GETACK")


def read(message: Message) -> None:
    """`Message.more` of pinned clients' commands: who is logged in, and to which database, only the server knows."""
    metadata.read(message)
    known = message.metadata
    if known is not None:
        known.pop("user", None)
        known.pop("database", None)


def is_answered(request: Message, kind: ErrorKind) -> bool:
    """
    Whether the client gets the proxy's error of that kind in place of a reply. Not when the server's connection ended:
    then the client's ends as well, as it would without the proxy.
    """
    if kind is ErrorKind.RESET:
        return False
    if isinstance(request, Command) and request.session is not None and kind is not ErrorKind.TIMEOUT:
        request.session.withdrawn(request)
        return True
    return request.kind is not _ONEWAY and not getattr(request, "oneway", False)


def _failing(message: Message, text: str) -> bytes:
    """What makes EXEC fail when a command of the transaction was refused."""
    return error_probe(text)
