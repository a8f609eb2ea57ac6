"""
A client's connection: which commands are answered, refused, or bound to an upstream connection of the client's own.

    free --- WATCH, the first command behind MULTI, SUBSCRIBE, MONITOR (Hold.OPEN) ---> bound
    bound --- EXEC, DISCARD, UNWATCH, RESET (Hold.CLOSE), the event that ends the last subscription ---> free
    bound --- that event while requests were unanswered ---> lingering --- the next command (Hold.CLOSE) ---> free

A bound client's commands have a profile of their own kind (`metadata.Profile`), so that none of them can reach a
connection that clients share when the client, for whatever reason, did not get its own.

Lives here: `ClientSession`. Does not: cutting the stream (`stream`); what is answered to AUTH, HELLO, SELECT and CLIENT
(`identity`); replies (`server`).
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.codecs.cutters import compiled_methods
from metaproxy.codecs.redis import commands, resp
from metaproxy.codecs.redis.identity import NOAUTH, OK, ONE_LINE, Identity, error_probe, unsubscribed
from metaproxy.codecs.redis.metadata import ANYBODY, MULTI, Profile, read, reader
from metaproxy.codecs.redis.names import unknown
from metaproxy.codecs.redis.presented import COMMANDS as PRESENTED
from metaproxy.codecs.redis.presented import Presented
from metaproxy.codecs.redis.stream import CommandStream
from metaproxy.message import FrameError, Hold, Kind, Message

_REQUEST, _EVENT, _NONE = Kind.REQUEST, Kind.EVENT, Hold.NONE
_BEFORE_LOGIN = frozenset((b"AUTH", b"HELLO", b"QUIT", b"RESET"))
_NEVER_QUEUED = (
    frozenset((b"AUTH", b"HELLO", b"MONITOR", b"SELECT")) | PRESENTED | commands.SUBSCRIBE | commands.UNSUBSCRIBE
)
"""What inside MULTI would be answered out of turn, or change what only EXEC may change."""
_BOUND = b"-ERR HELLO can't change the protocol of a connection that watches, monitors or is subscribed\r\n"
_RESET = b"+RESET\r\n"
_NOT_SUBSCRIBED = commands.STATE - {b"QUIT", b"RESET"}
"""What RESP2 does not allow while subscribed, of the commands that the server does not get to see."""


_ANY_OPTION = (b"", b"GET", b"SET")
"""Behind a value that has not come: the options of SET and BITFIELD by which a user needs to read and to write."""


@compiled_methods("redis_client_methods")
class ClientSession(CommandStream):
    """
    identity: who the client is. heads: see `commands.heads`. denied: commands that are refused, in upper case.
    presented: what the proxy is to clients that know clusters only; None: a server.
    """

    __slots__ = (
        "_blocking", "_denied", "_lingering", "_monitoring", "_opening", "_presented", "_refused", "_shared",
        "_subscribed", "_transaction", "_watching", "_who",
    )  # fmt: skip

    def __init__(
        self,
        max_frame: int,
        stream_over: int,
        identity: Identity,
        heads: dict[bytes, int],
        denied: frozenset[bytes],
        presented: Presented | None = None,
    ) -> None:
        super().__init__(max_frame, stream_over, heads)
        self._who = identity
        self._presented = presented
        self._denied = denied
        self._transaction = False
        self._opening = False  # MULTI was answered; the next command takes it along
        self._watching = self._subscribed = self._monitoring = False
        self._lingering = False  # bound, though nothing is left that asks for it
        self._blocking = False  # a blocking command was said while subscribed, which RESP3 allows
        self._refused = False  # the command that is looked at was
        self._resetting = False  # RESET is not answered: what still comes is of the time before it
        self._settle()

    # -- what a command is

    def _take(self, frame: bytes, messages: list[Message]) -> None:
        """A whole command in RESP."""
        names = resp.arguments(frame, 1)
        if not names:  # *0 and *-1 are nothing, for redis-server too
            return
        message = Message(_REQUEST, frame, 0, None, self._more, None, _NONE, self._profile)
        self._judge(names[0].upper(), message)
        messages.append(message)

    def _admit(self, head: Message) -> bool:
        self._refused = False
        self._judge(resp.begun(head.frame)[0].upper(), head)
        return head.answer is None and not self._refused

    def _trusts(self, keys_known: bool) -> bool:
        return keys_known or self._who.rules is None

    def _judge(self, name: bytes, message: Message) -> None:
        if self._who.user is None and name not in _BEFORE_LOGIN:
            message.answer = NOAUTH
        else:
            self._look(name, message)
            if self._transaction and message.answer is None:
                message.refused = _failing

    def _words(self, message: Message) -> list[bytes]:
        """The arguments of a command, the command itself in front; of one in pieces what its rest may need, too."""
        if message.kind is not Kind.STREAM_OPEN:
            return resp.arguments(message.frame)
        words = resp.begun(message.frame)
        return words if self._scanner.left == 1 else [*words, *_ANY_OPTION]

    def _look(self, name: bytes, message: Message) -> None:
        if name in commands.NO_COMMANDS:
            raise FrameError("HTTP, not Redis")
        refusal = unknown(name, lambda: self._words(message)) or self._refusal(name, message).encode()
        if refusal:
            self._refuse(message, refusal)
        elif name == b"QUIT":
            self._goodbye(message)
        elif self._presented is not None and name in PRESENTED:
            message.answer = self._presented.answer(resp.arguments(message.frame), self._who.version, self.facts)
        elif name in commands.SPECIAL:
            action = _ACTIONS.get(name)
            if action is not None:
                action(self, message)
            elif name in commands.BLOCKING:
                self._block(name, message)
            elif name in commands.SUBSCRIBE:
                self._subscribe(message)
            elif name in commands.UNSUBSCRIBE:
                self._unsubscribe(message)
        if message.answer is None:
            if self._opening:
                self._begin(message)
            elif self._lingering:
                self._linger(message)

    def _refusal(self, name: bytes, message: Message) -> str:
        """The error for what is not to be done, without its `-`; or nothing."""
        shown = name.decode("latin-1")
        if name in self._denied:
            return f"NOPERM {shown} is not allowed here"
        rules = self._who.rules
        if rules is not None:
            refused = rules.refusal(name, lambda: self._words(message))
            if refused:
                return refused
        if name not in commands.SPECIAL:
            return ""
        why = None if self._presented is not None and name in PRESENTED else commands.REFUSED.get(name)
        if why is None and name in commands.REFUSED_WITH:
            words = [word.upper() for word in resp.arguments(message.frame, 3)[1:]] or [b""]
            if words != [b"REPLY", b"ON"]:
                why = commands.REFUSED_WITH[name].get(words[0])
                shown = f"{shown} {words[0].decode('latin-1')}"
            if why is None and self._transaction and name == b"CLIENT" and words[0] not in commands.CLIENT_FORWARDED:
                why = "inside MULTI"
        if why is None and self._transaction and name in _NEVER_QUEUED:
            why = "inside MULTI"
        if why is not None:
            return f"ERR {shown} does not work through this proxy: {why}"
        if self._subscribed and self._who.version == 2 and name in _NOT_SUBSCRIBED:
            shown = name.decode().lower()
            return (
                f"ERR Can't execute '{shown}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed"
                " in this context"
            )
        return ""

    def _refuse(self, message: Message, error: bytes) -> None:
        """Inside MULTI the server must take notice, or EXEC would do the rest without what was refused."""
        self._refused = True
        if self._transaction:
            message.known()  # while the frame is the client's
            message.frame = error_probe(error.partition(b" ")[2].decode("latin-1"))
        else:
            message.answer = b"-%b\r\n" % error.translate(ONE_LINE)

    # -- the connection's state

    def _bound(self) -> bool:
        """Whether the client has, or will have by now, an upstream connection of its own."""
        return self._needs_its_own() or self._lingering

    def _needs_its_own(self) -> bool:
        return (self._transaction and not self._opening) or self._watching or self._subscribed or self._monitoring

    def _settle(self) -> None:
        """What the commands from here on need."""
        who = self._who
        self._shared: Profile = None if who.version == 2 and not who.database else (who.version, who.database)
        bound = self._bound()
        self._profile = (who.version, who.database, "own") if bound else self._shared
        self._plain = who.user is not None and who.rules is None and not self._transaction and not self._lingering
        self._blocking = self._blocking and bound
        self._scanner.stranger = who.user is None
        self._renew_cutter()
        self._look_ahead()

    def _release(self, message: Message) -> None:
        """One reason less to be bound; the last one goes with this message's answer."""
        if not self._bound():
            message.hold = Hold.CLOSE
        self._settle()

    def _open(self, message: Message) -> None:
        message.hold = Hold.OPEN
        self._settle()

    def _linger(self, message: Message) -> None:
        """The release that no event could bring goes with a command that needs no connection of its own."""
        if message.hold is _NONE and message.kind is _REQUEST and not self._needs_its_own():
            message.hold = Hold.CLOSE
            self._lingering = False
            self._settle()

    # -- transactions

    def _multi(self, message: Message) -> None:
        """
        Answered here when it is the first that binds the client: which server it is for, the next command tells by its
        key. That one takes it along.
        """
        if self._transaction or not _is_alone(message):
            return
        if self._bound():
            self._transaction = True
            self._open(message)
        else:
            self._transaction = self._opening = True
            message.answer = OK
            self._settle()

    def _begin(self, message: Message) -> None:
        """The first command of a transaction."""
        self._opening = False
        message.frame = MULTI + message.frame
        if message.more is not None:
            message.more = reader(self._who.user or ANYBODY, len(MULTI))
        self._open(message)

    def _exec(self, message: Message) -> None:
        self._end(message, b"*0\r\n")

    def _discard(self, message: Message) -> None:
        self._end(message, OK)

    def _end(self, message: Message, empty: bytes) -> None:
        if not self._transaction or not _is_alone(message):
            return
        self._transaction = False
        if self._opening:
            self._opening = False
            message.answer = empty
            self._settle()
        else:
            self._watching = False
            self._release(message)

    def _watch(self, message: Message) -> None:
        if not self._transaction:
            self._watching = True
            self._open(message)

    def _unwatch(self, message: Message) -> None:
        if self._watching and not self._transaction and _is_alone(message):
            self._watching = False
            self._release(message)

    # -- what else binds

    def _block(self, name: bytes, message: Message) -> None:
        if self._transaction or (self._subscribed and self._who.version == 2):  # the latter the server refuses
            return
        if commands.blocks(name, lambda: resp.arguments(message.frame)):
            message.hold = Hold.BLOCKING
            self._blocking = self._blocking or self._subscribed

    def _subscribe(self, message: Message) -> None:
        message.kind = Kind.ONEWAY
        message.profile = self._shared
        self._subscribed = True
        self._lingering = False
        self._open(message)

    def _unsubscribe(self, message: Message) -> None:
        if self._subscribed:
            message.kind = Kind.ONEWAY
        else:
            message.answer = unsubscribed(resp.arguments(message.frame), self._who.version)

    def _monitor(self, message: Message) -> None:
        self._monitoring = True
        self._open(message)

    # -- what is answered here

    def _auth(self, message: Message) -> None:
        message.answer = self._who.auth(resp.arguments(message.frame))
        self._logged_in()

    def _logged_in(self) -> None:
        user = self._who.user or ANYBODY
        self._more = read if user == ANYBODY else reader(user)
        self._settle()

    def _hello(self, message: Message) -> None:
        words = resp.arguments(message.frame)
        version = self._who.version
        if self._bound() and len(words) > 1 and words[1] != b"%d" % version:
            message.answer = _BOUND
            return
        message.answer = self._who.hello(words)
        self._logged_in()
        if self._who.version != version:
            message.hold = Hold.WAIT

    def _select(self, message: Message) -> None:
        answer = self._who.select(resp.arguments(message.frame))
        if answer is not OK or not self._bound():
            message.answer = answer
            message.hold = Hold.WAIT if answer is OK else _NONE
        self._settle()

    def _client(self, message: Message) -> None:
        words = resp.arguments(message.frame)
        if len(words) > 1 and words[1].upper() not in commands.CLIENT_FORWARDED:
            message.answer = self._who.client(words)

    def _reset(self, message: Message) -> None:
        bound = self._bound()
        self._transaction = self._opening = self._watching = self._subscribed = self._monitoring = False
        self._lingering = False
        self._who.reset()
        self._logged_in()
        if bound:
            message.hold = Hold.CLOSE
            self._resetting = True
        else:
            message.answer = _RESET
            message.hold = Hold.WAIT

    def _goodbye(self, message: Message) -> None:
        """The server's answer comes behind the confirmations that are still to come; of others ours will do."""
        if not self._needs_its_own():
            message.answer = OK
        self._quit = self.closing = True

    # -- the other direction

    def send(self, message: Message, id: int) -> bytes:
        if message.kind is _EVENT or self._resetting:
            return self.send_other(message)
        return message.frame

    def send_other(self, message: Message) -> bytes:
        """Send what may change the connection's state."""
        if message.kind is _EVENT and message.metadata is not None:
            self._unsubscribed(message)
        elif self._resetting and message.frame == _RESET:
            self._resetting = False
        return message.frame

    def _unsubscribed(self, message: Message) -> None:
        """
        The last subscription is over. Behind a blocking command there may be another one waiting, already read, to be
        sent: such a client stays as it is.
        """
        released = message.hold is Hold.CLOSE
        if not self._subscribed or self._resetting or (self._blocking and not released):
            return
        self._subscribed = False
        self._lingering = not released and not self._needs_its_own()
        self._settle()


def _failing(message: Message, text: str) -> bytes:
    """What makes EXEC fail when a command of the transaction was refused; its first one opens it nevertheless."""
    return (MULTI if message.frame.startswith(MULTI) else b"") + error_probe(text)


def _is_alone(message: Message) -> bool:
    """Whether a command has no arguments: with some, these do nothing but fail."""
    return message.frame.startswith(b"*1\r\n")


_ACTIONS: dict[bytes, Callable[[ClientSession, Message], None]] = {
    b"AUTH": ClientSession._auth, b"CLIENT": ClientSession._client, b"DISCARD": ClientSession._discard,
    b"EXEC": ClientSession._exec, b"HELLO": ClientSession._hello, b"MONITOR": ClientSession._monitor,
    b"MULTI": ClientSession._multi, b"RESET": ClientSession._reset, b"SELECT": ClientSession._select,
    b"UNWATCH": ClientSession._unwatch, b"WATCH": ClientSession._watch,
}  # fmt: skip
