"""
The login of a client that ends at the proxy: greeting, TLS if it asks for that, a proof, perhaps a question.

    greeting ── [TLS] ── login ── [auth_query] ── [question ── answer] ── CONNECT ── commands
                           └───────────── COM_CHANGE_USER ─────────────────┘

Behind a right proof the client asks for its server by Kind.CONNECT; what answers that is what answers its login.

Lives here: `ProxyLogin`. Does not: proofs (`accounts`), commands (`pooled_client`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

from metaproxy.codecs.cancel_keys import new_key
from metaproxy.codecs.mysql import user_lookup
from metaproxy.codecs.mysql.accounts import Entrance, Step
from metaproxy.codecs.mysql.errors import NO_LOGIN
from metaproxy.codecs.mysql.handshake import Capability, ChangeUser, Greeting, Login, read_attributes
from metaproxy.codecs.mysql.messages import Command, LocalError
from metaproxy.codecs.mysql.metadata import Identity, Reader
from metaproxy.codecs.mysql.packets import AUTOCOMMIT, packet, payload_of
from metaproxy.codecs.mysql.pooled_messages import Standing
from metaproxy.codecs.mysql.profile import AUTOCOMMIT_OFF, CHOSEN, Profile
from metaproxy.codecs.mysql.stream import CommandStream
from metaproxy.message import FrameError, Hold, Kind, Message

C = Capability
OFFERED = (
    CHOSEN | C.MYSQL | 1 << 2 | C.CONNECT_WITH_DB | C.PROTOCOL_41 | C.INTERACTIVE | C.TRANSACTIONS
    | C.SECURE_CONNECTION | C.MULTI_RESULTS | C.PS_MULTI_RESULTS | C.PLUGIN_AUTH | C.CONNECT_ATTRS | C.LENENC_AUTH_DATA
)  # fmt: skip
"""What is the same on all connections to servers, or a part of `Profile`. 1 << 2 is LONG_FLAG."""
MARIADB = b"5.5.5-"
"""With which versions of MariaDB begin. Its own capabilities are offered by a server that shows one."""
_UTF8MB4 = 45
_ASKS = Profile(charset=_UTF8MB4)
"""The state of a connection on which a server is asked for a user."""


class ProxyLogin(CommandStream):
    """
    A subclass does the rest: `_command` for a whole command, `_entered` once the client has proved who it is. version:
    that the greeting shows. plugin: by which clients are asked to log in first. auth_query: see user_lookup. more,
    autocommit: see Seen. `number`: by which other clients name this one; `killed`: whether one has asked for its end,
    so that its next answer is the last.
    """

    __slots__ = (
        "_answer_begins", "_asked", "_auth_query", "_entrance", "_greeted", "_greeting", "_in", "_looked_up",
        "_lookup", "_more", "_next", "_offered", "_own_settings", "_standing", "_status", "_who", "killed", "number",
    )  # fmt: skip

    def __init__(
        self,
        max_frame: int,
        stream_over: int,
        entrance: Entrance,
        version: bytes,
        plugin: bytes,
        login_timeout: float = 0.0,
        auth_query: str = "",
        more: int = 0,
        autocommit: bool = True,
    ) -> None:
        super().__init__(max_frame, stream_over, login_timeout)
        self._entrance = entrance
        self.killed = False
        self.number, _ = new_key(self, 0)
        self._greeting = (version, plugin)
        self._offered = int(OFFERED)
        if more and version.startswith(MARIADB):
            self._offered = int(OFFERED & ~C.MYSQL | more)
        self._who = Identity()
        self._more = Reader(self._who)
        self._standing = Standing(Profile())
        self._status = AUTOCOMMIT if autocommit else 0
        self._own_settings = () if autocommit else (AUTOCOMMIT_OFF,)  # what a login, or a reset, leaves
        self._greeted = self._in = False
        self._asked: Callable[[bytes, list[Message]], None] | None = None  # takes the answer to a question
        self._answer_begins = b""
        self._auth_query = auth_query
        self._lookup = 0  # the id of the request for what a server knows of the user
        self._looked_up = bytearray()
        self._next = self._standing.profile  # what the client is in once it has proved who it is

    def _command(self, frame: bytes, messages: list[Message]) -> None:
        raise NotImplementedError

    def _entered(self, profile: Profile, messages: list[Message]) -> None:
        raise NotImplementedError

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        if self._greeted:  # TLS has begun: the client logs in behind it
            self.start_tls = False
            return b""
        self._greeted = True
        version, plugin = self._greeting
        if "tls.start" in self.facts:
            self._offered |= C.SSL
        challenge = self._entrance.challenge
        return packet(
            Greeting(version, self.number, challenge, self._offered, _UTF8MB4, self._status, plugin).write(), 0
        )

    def _take(self, frame: bytes, sequence: int, messages: list[Message]) -> None:
        asked, self._asked = self._asked, None
        if asked is not None:
            asked(payload_of(frame), messages)
        elif not self._in:
            self._log_in(payload_of(frame), sequence, messages)
        elif sequence:
            raise FrameError(f"a command with the sequence number {sequence}; it is 0")
        elif not (self._may_compress and self.compresses(frame)):
            self._command(frame, messages)

    def _log_in(self, payload: bytes, sequence: int, messages: list[Message]) -> None:
        if not sequence:
            raise FrameError("a command before the login")
        if not self.may_log_in(payload):
            return
        login = Login.read(payload)
        self.without_compression(login.capabilities)
        attributes = read_attributes(login.attributes)
        who = self._who
        who.flags = login.capabilities & self._offered
        who.application = attributes.get("program_name") or attributes.get("_client_name", "")
        self._next = Profile(int(who.flags & CHOSEN), login.charset, login.database, self._own_settings)
        plugin = login.plugin if who.flags & C.PLUGIN_AUTH else b""
        self._step(*self._entrance.begin(login.user, plugin, login.answer, self._secure), messages)

    def _change_user(self, payload: bytes, messages: list[Message]) -> None:
        """COM_CHANGE_USER, which is a login without a greeting."""
        said = ChangeUser.read(payload, self._who.flags)
        before = self._standing.profile
        flags, charset = before.flags, said.charset or before.charset
        self._next = Profile(flags, charset, said.database, self._own_settings)
        self._step(*self._entrance.begin(said.user, said.plugin, said.answer, self._secure), messages)

    @property
    def _secure(self) -> bool:
        return "tls.version" in self.facts

    def _step(self, step: Step, question: bytes, messages: list[Message]) -> None:
        if step is Step.REFUSED:
            user = self._entrance.user.decode("utf-8", "replace")[:80]
            reason = f": {self._entrance.reason}" if self._entrance.reason else ""
            self.refuse(*NO_LOGIN, f"Access denied for user '{user}'{reason}")
            return
        if step is Step.LOOKED_UP:
            self._look_up(messages)
            return
        said = b""
        if question:
            self._sequence += 1
            said = packet(question, self._sequence)
        if step is Step.ASKED:
            self.say(said)
            self._asked = self._take_answer
            return
        self._answer_begins = said  # not said by itself: the answer may come first
        self._in = self.admitted = True
        self._bound = self._stream_over
        self._entered(self._next._replace(user=self._entrance.user, secret=self._entrance.secret), messages)

    def _take_answer(self, answer: bytes, messages: list[Message]) -> None:
        self._step(*self._entrance.answer(answer), messages)

    # -- users that a server knows

    def _look_up(self, messages: list[Message]) -> None:
        """Asks for the user. On a connection of the proxy's own: a client's may be made to lie."""
        user = self._entrance.user
        self._lookup = id = self.new_id()
        self._looked_up.clear()
        self._asked = _unasked
        message = Command(Kind.REQUEST, user_lookup.question(self._auth_query, user), id, hold=Hold.NONE)
        message.profile, message.login, message.effect, message.reader = _ASKS, True, None, self._more
        shown = user.decode("utf-8", "replace"), self._next.database.decode("utf-8", "replace")
        message.metadata = {"command": "auth_query", "operation": "auth_query"}
        message.metadata |= {key: value for key, value in zip(("user", "database"), shown, strict=True) if value}
        messages.append(message)

    def _found(self, message: Message) -> bytes:
        """What answers that; what the client is asked once it is all there. May raise FrameError."""
        if isinstance(message, LocalError):
            self._lookup = 0
            self._asked = None
            return self.send_error(message, 0)
        if len(self._looked_up) + len(message.frame) > user_lookup.MOST:
            raise FrameError(f"auth_query gives more than {user_lookup.MOST} bytes")
        self._looked_up += message.frame
        if message.kind in (Kind.STREAM_OPEN, Kind.STREAM_DATA):
            return b""
        user = user_lookup.user_of(bytes(self._looked_up), self._entrance.user)
        self._lookup = 0
        if self.error is not None or self._quit:
            return b""
        self._asked = self._take_answer
        self._sequence += 1
        return packet(self._entrance.found(user), self._sequence)


def _unasked(answer: bytes, messages: list[Message]) -> None:
    raise FrameError("a packet where the client was not asked anything yet")
