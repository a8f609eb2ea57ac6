"""
A client's connection: its commands, and what it may do; those about the connection itself are answered here.

Lives here: `ClientSession`. Does not: framing (`resp`), tables (`commands`), what a server sends (`server`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

from metaproxy.codecs.framing import Session
from metaproxy.codecs.redis import commands, resp
from metaproxy.codecs.redis.accounts import Accounts
from metaproxy.codecs.redis.metadata import MULTI, read_command
from metaproxy.codecs.redis.resp import COMMAND, INCOMPLETE, Cutter
from metaproxy.message import FrameError, Hold, Kind, Message

OK = b"+OK\r\n"
NOAUTH = b"-NOAUTH Authentication required.\r\n"
WRONGPASS = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
VERSION = b"7.0.0"
"""What HELLO tells: clients ask it for what a server can do."""

_REQUEST = Kind.REQUEST

_PLAIN = re.compile(rb"\*([123])\r\n\$(\d\d?)\r\n([a-zA-Z]+)\r\n(?:\$(\d{1,9})\r\n)?")
"""The head of a command of one to three arguments, with the length of the second."""

_CONNECTION = frozenset(
    ("AUTH", "HELLO", "SELECT", "CLIENT", "QUIT", "RESET", "MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "MONITOR")
)
_SPECIAL = (
    _CONNECTION
    | {"XREAD", "XREADGROUP"}
    | commands.BLOCKING
    | commands.SUBSCRIBE
    | commands.UNSUBSCRIBE
    | commands.REFUSED.keys()
)
"""Commands that need a look when they are read; all else is passed on as it is."""


def _known() -> dict[bytes, bool]:
    """Whether a command is special, in both spellings that clients use: the common one then costs one look-up."""
    common = "SET SETEX INCR DECR HSET LPUSH RPUSH LPOP RPOP SADD SREM ZADD EXPIRE"
    known = {}
    for name in (*commands.READS, *commands.KEYLESS, *commands.PLACES, *commands.COUNTED, *_SPECIAL, *common.split()):
        known[name.encode()] = known[name.lower().encode()] = name in _SPECIAL
    return known


_KNOWN = _known()


class ClientSession(Session):
    """Reads what a client sends."""

    def __init__(self, max_frame: int, accounts: Accounts, databases: int, denied: frozenset[str]) -> None:
        self._cutter = Cutter(max_frame)
        self._accounts = accounts
        self._databases = databases
        self._denied = denied
        self._logged_in = not accounts
        self._resp = 2
        self._database = 0
        self._profile: tuple[int, int] | None = None
        self._name = b""
        self._in_transaction = False
        self._opening = False
        self._watching = False
        self._subscribed = False
        self._monitoring = False

    # -- framing

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
        """Adds the whole commands to `messages`; where what is left begins, and in which data."""
        at = 0
        if isinstance(data, bytes) and self._is_plain():
            at = self._cut_plain(data, messages)
        end = len(data)
        while at < end:
            if data[at] != 0x2A:
                stop = self._inline(data, at, messages)
                if stop < 0:
                    break
                at = stop
                continue
            stop = self._cutter.command(data, at)
            if stop < 0:
                break
            if isinstance(data, bytearray):
                data = bytes(data)
            head = COMMAND.match(data, at)
            if head is not None:
                frame = data[at:stop] if at or stop < end else data
                messages.append(self._look(head[3].upper().decode("latin-1"), frame))
            elif stop - at > 5 or data[at : at + 2] not in (b"*0", b"*-"):
                raise FrameError("a command whose name is empty, longer than 64 bytes or no text")
            at = stop
        return at, data

    def _is_plain(self) -> bool:
        """Whether a command that is nothing special is passed on without a look."""
        return self._logged_in and not self._denied and not self._opening and not self._cutter.stepping

    def _cut_plain(self, data: bytes, messages: list[Message]) -> int:
        """
        The same for the commands that most traffic is made of, as far as they stand at the beginning: known, nothing
        special, with two arguments at most. Whatever is not so, or not whole, is left to `_cut`.
        """
        at, end = 0, len(data)
        match, known, add, profile, most = _PLAIN.match, _KNOWN.get, messages.append, self._profile, self._cutter.most
        while head := match(data, at):
            number, length, name, first = head.groups()
            if known(name) is not False or int(length) != len(name):
                break
            stop = head.end()
            if number == b"1":
                stop = head.end(3) + 2
            elif first is None:
                break
            else:
                stop += int(first) + 2
                if number == b"3":
                    line = data.find(b"\r\n", stop, stop + 12)
                    if line < 0 or data[stop - 2 : stop + 1] != b"\r\n$" or not data[stop + 1 : line].isdigit():
                        break
                    stop = line + 4 + int(data[stop + 1 : line])
            if stop > end or stop - at > most or data[stop - 2 : stop] != b"\r\n":
                break
            frame = data[at:stop] if at or stop < end else data
            add(Message(_REQUEST, frame, 0, None, read_command, profile=profile))
            at = stop
        return at

    def _inline(self, data: bytes | bytearray, at: int, messages: list[Message]) -> int:
        """A line of words; -1 while it is incomplete."""
        line = data.find(b"\n", at, at + resp.MAX_INLINE)
        if line < 0:
            if len(data) - at >= resp.MAX_INLINE:
                raise FrameError(f"inline command of more than {resp.MAX_INLINE} bytes")
            self._cutter.await_line(len(data) - at)
            return INCOMPLETE
        words = resp.split_inline(bytes(data[at:line]))
        if words:
            messages.append(self._look(words[0].upper().decode("latin-1"), resp.encode(words)))
        return line + 1

    # -- what a command is

    def _look(self, name: str, frame: bytes) -> Message:
        message = Message(_REQUEST, frame, 0, None, read_command, profile=self._profile)
        if not self._logged_in and name not in ("AUTH", "HELLO", "QUIT", "RESET"):
            message.answer = NOAUTH
        elif name in self._denied:
            message.answer = b"-NOPERM %s is not allowed here\r\n" % name.encode("latin-1")
        elif name in commands.REFUSED:
            text = f"-ERR {name} does not work through this proxy: {commands.REFUSED[name]}\r\n"
            message.answer = text.encode()
        elif name in commands.BLOCKING:
            self._block(message)
        elif name in commands.SUBSCRIBE:
            self._subscribed = True
            message.kind, message.hold = Kind.ONEWAY, Hold.OPEN
        elif name in commands.UNSUBSCRIBE:
            self._unsubscribe(message, name)
        else:
            special = _ACTIONS.get(name)
            if special is not None:
                special(self, message)
        if self._opening and name != "MULTI" and message.answer is None:
            self._opening = False
            message.frame = MULTI + frame
            message.hold = Hold.OPEN
        return message

    def _bound(self) -> bool:
        """Whether the client has an upstream connection of its own now."""
        return self._in_transaction or self._watching or self._subscribed or self._monitoring

    def _block(self, message: Message) -> None:
        if not self._in_transaction:
            message.hold = Hold.NONE if self._bound() else Hold.EXCHANGE

    def _read_stream(self, message: Message) -> None:
        if any(argument.upper() == b"BLOCK" for argument in resp.arguments(message.frame)[1:8]):
            self._block(message)

    def _multi(self, message: Message) -> None:
        """
        Answered here when it is the first that binds the connection: which server it should go to, the next command
        tells by its key. That one takes it along.
        """
        if self._in_transaction:
            return
        if not self._bound():
            message.answer = OK
            self._opening = True
        self._in_transaction = True

    def _exec(self, message: Message) -> None:
        if not self._in_transaction:
            return
        self._in_transaction = False
        if self._opening:
            self._opening = False
            message.answer = b"*0\r\n"
            return
        self._watching = False
        message.hold = Hold.NONE if self._bound() else Hold.CLOSE

    def _discard(self, message: Message) -> None:
        opening = self._opening
        self._exec(message)
        if opening:
            message.answer = OK

    def _watch(self, message: Message) -> None:
        if not self._in_transaction:
            self._watching = True
            message.hold = Hold.OPEN

    def _unwatch(self, message: Message) -> None:
        if self._watching and not self._in_transaction:
            self._watching = False
            message.hold = Hold.NONE if self._bound() else Hold.CLOSE

    def _monitor(self, message: Message) -> None:
        self._monitoring = True
        message.hold = Hold.OPEN

    def _unsubscribe(self, message: Message, name: str) -> None:
        if self._subscribed:
            message.kind = Kind.ONEWAY
            return
        word = name.lower().encode()
        channels: list[bytes | None] = [*resp.arguments(message.frame)[1:]] or [None]
        message.answer = b"".join(self._unsubscribed(word, channel) for channel in channels)

    def _unsubscribed(self, word: bytes, channel: bytes | None) -> bytes:
        null = b"_\r\n" if self._resp == 3 else b"$-1\r\n"
        what = null if channel is None else b"$%d\r\n%b\r\n" % (len(channel), channel)
        return b"%c3\r\n$%d\r\n%b\r\n%b:0\r\n" % (b">" if self._resp == 3 else b"*", len(word), word, what)

    # -- what is answered here

    def _auth(self, message: Message) -> None:
        arguments = resp.arguments(message.frame)
        if len(arguments) not in (2, 3):
            message.answer = b"-ERR wrong number of arguments for 'auth' command\r\n"
        elif not self._accounts:
            message.answer = (
                b"-ERR AUTH <password> called without any password configured for the default user. Are you sure your "
                b"configuration is correct?\r\n"
            )
        else:
            user = arguments[1] if len(arguments) == 3 else b"default"
            message.answer = OK if self._log_in(user, arguments[-1]) else WRONGPASS

    def _log_in(self, user: bytes, password: bytes) -> bool:
        if self._accounts.accept(user.decode("utf-8", "replace"), password):
            self._logged_in = True
            return True
        return False

    def _hello(self, message: Message) -> None:
        arguments = resp.arguments(message.frame)
        message.answer = self._hello_answer(arguments[1:])
        self._settle(message)

    def _hello_answer(self, rest: list[bytes]) -> bytes:
        version = self._resp
        if rest:
            if rest[0] not in (b"2", b"3"):
                return b"-NOPROTO unsupported protocol version\r\n"
            if self._bound():
                return b"-ERR HELLO can't change the protocol while this connection is bound\r\n"
            version = int(rest[0])
        at = 1
        name = self._name
        while at < len(rest):
            word = rest[at].upper()
            if word == b"AUTH" and at + 2 < len(rest):
                if not self._accounts or not self._log_in(rest[at + 1], rest[at + 2]):
                    return WRONGPASS
                at += 3
            elif word == b"SETNAME" and at + 1 < len(rest):
                name = rest[at + 1]
                at += 2
            else:
                return b"-ERR Syntax error in HELLO option '%b'\r\n" % rest[at][:64].replace(b"\r", b" ").replace(
                    b"\n", b" "
                )
        if not self._logged_in:
            return (
                b"-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
<user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time\r\n"
            )
        self._resp, self._name = version, name
        return self._introduction()

    def _introduction(self) -> bytes:
        facts = (
            b"$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$%d\r\n%b\r\n$5\r\nproto\r\n:%d\r\n$2\r\nid\r\n:1\r\n"
            b"$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
        ) % (len(VERSION), VERSION, self._resp)
        return (b"%7\r\n" if self._resp == 3 else b"*14\r\n") + facts

    def _select(self, message: Message) -> None:
        arguments = resp.arguments(message.frame)
        if len(arguments) != 2 or not arguments[1].isdigit() or len(arguments[1]) > 9:
            message.answer = b"-ERR invalid DB index\r\n"
            return
        number = int(arguments[1])
        if number >= self._databases:
            message.answer = b"-ERR DB index is out of range\r\n"
            return
        self._database = number
        if self._bound():  # its own connection has a database of its own
            self._profile = self._new_profile()
            return
        message.answer = OK
        self._settle(message)

    def _settle(self, message: Message) -> None:
        """From here on requests need an upstream connection in another state; those before it are answered first."""
        self._profile = self._new_profile()
        message.hold = Hold.WAIT

    def _new_profile(self) -> tuple[int, int] | None:
        profile = (self._resp, self._database)
        return None if profile == (2, 0) else profile

    def _client(self, message: Message) -> None:
        arguments = resp.arguments(message.frame)
        word = arguments[1].upper().decode("latin-1") if len(arguments) > 1 else ""
        rest = [argument.upper() for argument in arguments[2:]]
        if word == "SETNAME" and len(rest) == 1:
            self._name = arguments[2]
            message.answer = OK
        elif word == "GETNAME":
            message.answer = b"$%d\r\n%b\r\n" % (len(self._name), self._name) if self._name else self._null()
        elif word == "ID":
            message.answer = b":1\r\n"
        elif word in ("SETINFO", "NO-EVICT", "NO-TOUCH") or (word, rest) in (
            ("REPLY", [b"ON"]),
            ("TRACKING", [b"OFF"]),
        ):
            message.answer = OK
        elif word in commands.REFUSED_CLIENT:
            text = f"-ERR CLIENT {word} does not work through this proxy: {commands.REFUSED_CLIENT[word]}\r\n"
            message.answer = text.encode()

    def _null(self) -> bytes:
        return b"_\r\n" if self._resp == 3 else b"$-1\r\n"

    def _quit(self, message: Message) -> None:
        message.answer = OK
        message.hold = Hold.WAIT
        self.closing = True

    def _reset(self, message: Message) -> None:
        bound = self._bound() and not self._opening
        self._in_transaction = self._opening = self._watching = self._subscribed = self._monitoring = False
        self._resp, self._database, self._name = 2, 0, b""
        self._profile = None
        self._logged_in = not self._accounts
        if bound:
            message.hold = Hold.CLOSE
        else:
            message.answer = b"+RESET\r\n"
            message.hold = Hold.WAIT

    # -- the other direction

    def send(self, message: Message, id: int) -> bytes:
        if message.hold is Hold.CLOSE and message.kind is Kind.EVENT:
            self._subscribed = False
        return message.frame


_ACTIONS: dict[str, Callable[[ClientSession, Message], None]] = {
    "AUTH": ClientSession._auth, "HELLO": ClientSession._hello, "SELECT": ClientSession._select,
    "CLIENT": ClientSession._client, "QUIT": ClientSession._quit, "RESET": ClientSession._reset,
    "MULTI": ClientSession._multi, "EXEC": ClientSession._exec, "DISCARD": ClientSession._discard,
    "WATCH": ClientSession._watch, "UNWATCH": ClientSession._unwatch, "MONITOR": ClientSession._monitor,
    "XREAD": ClientSession._read_stream, "XREADGROUP": ClientSession._read_stream,
}  # fmt: skip
