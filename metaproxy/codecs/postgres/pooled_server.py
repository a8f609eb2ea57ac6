"""
A server's connection on which the proxy logs in, and which clients take in turn.

Lives here: `PooledServer`: the login, the state that a connection is brought into, what clients leave on it. Does not:
the methods of logging in (`server_login`), prepared statements (`statements`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from metaproxy.codecs.postgres import settings, wire
from metaproxy.codecs.postgres.effects import Effects
from metaproxy.codecs.postgres.pooled_client import PooledRequest, Profile, profile_of
from metaproxy.codecs.postgres.server import (
    AUTHENTICATION,
    DONE,
    ERROR,
    KEY,
    LOOKED_AT,
    READY,
    STATUS,
    SYNCS,
    ServerSession,
)
from metaproxy.codecs.postgres.server_login import ServerLogin
from metaproxy.codecs.postgres.statements import ServerStatements
from metaproxy.codecs.postgres.units import EXTENDED, SYNCED
from metaproxy.codecs.postgres.users import Secret
from metaproxy.codecs.postgres.wire import FATAL, HEAD, HEAD_SIZE, error_fields
from metaproxy.message import FrameError, Hold, Kind, Message

LOGIN_AS, CLIENT = "login_as", "client"
"""Of credentials, `client`: connections of clients log in as their own users, and the proxy's own as `user`."""
_OWN = frozenset(b"RSKNEvZTDCnI123At")
"""What comes before a connection is ready."""
_NOTICE = ord("N")
_ENDS = b"57P"
"""What the SQLSTATEs begin with of a server that ends a connection: it shuts down, or was asked to."""
_LOOKED_AT = LOOKED_AT | {STATUS, _NOTICE}
_COUNTED = _LOOKED_AT | DONE
_STEPS = _LOOKED_AT | frozenset(b"13")
_SYNC = wire.message(b"S")
_UNFINISHED = b""
"""In place of the state that ReadyForQuery tells: a batch whose Sync has not come, and would commit what it did."""
_MOST_OWN = 1 << 16
_MOST_STATUS = 128


class PooledServer(ServerSession):
    """
    most_statements: prepared statements that are kept on the connection. own_database: where a request asks that says
    no database.
    """

    def __init__(self, max_frame: int, stream_over: int, most_statements: int, own_database: str) -> None:
        super().__init__(max_frame, stream_over)
        self._own_database = own_database
        self._as_client = False  # clients' connections log in as their users
        self._statements = ServerStatements(most_statements)
        self._login: ServerLogin | None = None
        self._profile = Profile("", "", "", ())
        self._status: dict[str, bytes] = {}
        self._readies = 0  # ReadyForQuery that are to come before it is ready
        self._state = b"I"
        self._kept = False  # by a client, as the answers said
        self._bound = False  # by what a client did
        self._unsure = False  # its settings are not those of its profile
        self._asked_effects: list[Effects] = []
        self._failed = False
        self._request: PooledRequest | None = None  # the last one
        self._unheard = 0  # ReadyForQuery that are to come and answer no client
        self._skipping_stream = False  # the rest of a request that is skipped is to come
        self.reusable = True
        self.ready = False

    # -- a new connection

    def _hello(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        profile = profile_of(profile, self._own_database)
        self._profile = profile
        user, secret = credentials.get("user") or profile.user, Secret(credentials.get("password", ""))
        if credentials.get(LOGIN_AS, CLIENT) != CLIENT:
            raise ValueError(f"credentials.{LOGIN_AS} is `{CLIENT}`, or left out")
        self._as_client = LOGIN_AS in credentials or not credentials.get("user")
        if self._own_user(profile):
            user, secret = profile.user, profile.secret
        self._login = ServerLogin(user, secret, "tls.version" in self.facts)
        parameters = {"user": user, "database": profile.database or user}
        if profile.replication:
            parameters["replication"] = profile.replication
        self._readies = 1
        return wire.startup(parameters)

    def _own_user(self, profile: Profile) -> str:
        """As whom a connection of that state logs in; "" for the user of the credentials."""
        return profile.user if self._as_client else ""

    def change(self, profile: Hashable) -> bytes | None:
        """What the last client left goes, also where that is this one; then come the settings of the next one."""
        profile = profile_of(profile, self._own_database)
        if profile.replication or self._profile.replication or self._state == _UNFINISHED:
            return None
        if profile.database != self._profile.database or self._own_user(profile) != self._own_user(self._profile):
            return None
        said = []
        if self._state != b"I":
            said.append("ROLLBACK")
        if self._bound:
            said.append("DISCARD ALL")
            self._statements.clear()
        before = None if self._unsure or self._bound else self._profile.settings
        restored = settings.restoring(profile.settings, before)
        if restored:
            said.append(restored)
        self._profile = profile
        self._bound = self._unsure = self._kept = False
        self.reusable = True
        if not said:
            return b""
        self._readies += len(said)
        self.ready = False
        return b"".join(wire.message(b"Q", text.encode() + b"\0") for text in said)

    def receive(self, data: bytes) -> list[Message]:
        if self.ready or self._securing:
            return super().receive(data)
        if self.error is not None:
            return []
        self._held += data
        try:
            self._read_own()
        except FrameError as error:
            self.error = error
        rest = b""
        if self.ready:
            rest = bytes(self._held)
            self._held = bytearray()
        self.buffered = len(self._held)
        return super().receive(rest) if rest else []

    def _read_own(self) -> None:
        """Take in what answers the proxy itself."""
        held = self._held
        at = 0
        while not self.ready and len(held) - at >= HEAD_SIZE:
            kind, size = HEAD.unpack_from(held, at)
            if not 4 <= size <= _MOST_OWN or kind not in _OWN:
                raise FrameError(f"a message of type {chr(kind)!r} with a length of {size} before it was ready")
            stop = at + 1 + size
            if len(held) < stop:
                break
            self._take_own(kind, bytes(held[at + HEAD_SIZE : stop]))
            at = stop
        del held[:at]

    def _take_own(self, kind: int, body: bytes) -> None:
        if kind == ERROR:
            fields = error_fields(body)
            code, text = (fields.get(key, b"").decode("utf-8", "replace") for key in "CM")
            raise FrameError(f"the server refused: {text[:300]} ({code[:5]})")
        if kind == AUTHENTICATION and self._login is not None:
            answer = self._login.answer(body)
            if answer:
                self.say(answer)
        elif kind == STATUS:
            self._note_status(body)
        elif kind == KEY:
            self.key = body
        elif kind == READY:
            self._become_ready(body)

    def _become_ready(self, state: bytes) -> None:
        self._readies -= 1
        self._state = state
        if self._readies:
            return
        if self._login is not None:
            self._login = None
            restored = settings.restoring(self._profile.settings, ())
            if restored:
                self._readies = 1
                self.say(wire.message(b"Q", restored.encode() + b"\0"))
                return
        self._looked = _LOOKED_AT
        self.ready = True
        frame = b"".join(
            wire.message(b"S", name.encode("latin-1") + b"\0" + value) for name, value in self._status.items()
        )
        self.welcome = Message(Kind.RESPONSE, frame)

    def _note_status(self, body: bytes) -> None:
        name, _, value = body.partition(b"\0")
        if len(self._status) < _MOST_STATUS:
            self._status[name.decode("latin-1")] = value

    # -- what is sent

    def send(self, message: Message, id: int) -> bytes:
        if self._skipping_stream:
            self._skipping_stream = message.kind is not Kind.STREAM_CLOSE
            return b""
        if self._skipping and not self._asked and isinstance(message, PooledRequest) and message.id & EXTENDED:
            return self._skip(message)
        frame = super().send(message, id)
        if not isinstance(message, PooledRequest):
            return frame
        self._request = message
        if message.bound:
            self._bound = True
        self._asked_effects.extend(message.effects)
        before = b""
        if message.batch is not None:
            before = self._statements.prepend(message.batch)
            self._look()
        return before + frame

    def _skip(self, request: PooledRequest) -> bytes:
        """
        The server does nothing of it, as a part before it has failed, and would not answer: the next part waits for
        that. A Sync stands in its place, and the answer to that is the client's where the request ends with one.
        """
        self._skipping_stream = request.kind is Kind.STREAM_OPEN
        if request.id & SYNCED:
            self._skipping = False
            self._expect(SYNCS)
        else:
            self._unheard += 1
            self._expect(1)
        return _SYNC

    def _asks(self, message: Message) -> int:
        batch = getattr(message, "batch", None)
        return batch.asks if batch is not None else super()._asks(message)

    def _look(self) -> None:
        if self._asked and self._asked[0] > 0:
            self._looked = _COUNTED
        else:
            self._looked = _STEPS if self._statements.expects else _LOOKED_AT

    # -- what comes

    def _say(self, kind: int, frame: bytes, messages: list[Message]) -> None:
        if kind == READY and self._unheard:
            self._unheard -= 1
            return
        super()._say(kind, frame, messages)
        if kind == STATUS:
            self._note_status(frame[HEAD_SIZE:])
        elif kind == ERROR:
            messages.append(Message(Kind.DRAIN, b""))

    def _takes_out(self, kind: int, body: bytes) -> bool:
        if kind == STATUS:
            self._note_status(body)
            return False
        if kind in (ERROR, _NOTICE):  # some ends are announced by a notice
            fields = error_fields(body)
            ends = fields.get("V", fields.get("S")) in FATAL if kind == ERROR else fields.get("C", b"")[:3] == _ENDS
            if not ends or self._may_be_asked_again():
                return ends
            self._ending = kind == _NOTICE and not self._opened and not self._parts
            return self._ending
        return self._statements.answered(kind)

    def _may_be_asked_again(self) -> bool:
        """
        Whether the server ends in place of an answer to what only reads. The end of the connection follows; then
        another server may be asked, and the client goes on.
        """
        request = self._request
        return (
            not self._opened
            and request is not None
            and request.session.survives(request)
            and request.get("read_only") == "true"
        )

    def _ends(self, kind: int, body: bytes) -> bool:
        if kind == ERROR:
            self._statements.failed()
            self._failed = True
        return super()._ends(kind, body)

    @property
    def in_transaction(self) -> bool:  # type: ignore[override]  # it is only read
        return self._state != b"I"

    def _hold(self, state: bytes, failed: bool) -> Hold:
        if not state:
            self._state, self._kept, self.reusable = _UNFINISHED, True, False
            return Hold.OPEN
        effects, self._asked_effects = self._asked_effects, []
        failed, self._failed = self._failed, False
        before, self._state = self._state, state
        kept, self._kept = self._kept or self._bound or before != b"I", False
        for one in effects:
            self._take_effect(one, failed)
        self.reusable = state == b"I" and not self._bound and not self._unsure
        if state != b"I":
            self._kept = True
            return Hold.OPEN
        if self._bound:
            return Hold.OPEN
        return Hold.CLOSE if kept else Hold.NONE

    def _take_effect(self, effects: Effects, failed: bool) -> None:
        change = effects.change
        if change.settings or change.everything or not change.known:
            self._unsure = True
        if effects.deallocates == "" and not failed:
            self._statements.clear()
        if effects.discards and not failed:
            self._bound = False
            self._unsure = bool(self._profile.settings)
