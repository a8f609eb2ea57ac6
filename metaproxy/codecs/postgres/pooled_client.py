"""
A client that logs in at the proxy, and whose requests take server connections that others take too.

Lives here: `PooledClient`: its login, the state that its connections must be in, what binds it to one. Does not: how it
proves who it is (`client_login`); how a connection gets into that state (`pooled_server`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from metaproxy.codecs.postgres import metadata, wire
from metaproxy.codecs.postgres.client import FAILED, IDLE, IN_TRANSACTION, ClientRequest, ClientSession, LocalError
from metaproxy.codecs.postgres.client_login import OK, ClientLogin, LoginRefused
from metaproxy.codecs.postgres.effects import NONE, Effects, effects_of, effects_of_call
from metaproxy.codecs.postgres.errors import code_of
from metaproxy.codecs.postgres.server import GONE
from metaproxy.codecs.postgres.settings import MOST_SETTINGS, NOTHING, Change, in_order
from metaproxy.codecs.postgres.startup_options import negotiation, replication_of, settings_of
from metaproxy.codecs.postgres.statements import Batch, ClientStatements, Step, server_name
from metaproxy.codecs.postgres.units import EXTENDED, SYNCED
from metaproxy.codecs.postgres.user_lookup import question, user_of
from metaproxy.codecs.postgres.users import NO_SECRET, Method, Secret, User
from metaproxy.message import ErrorKind, FrameError, Hold, Kind, Message

_SERVER_ENDS = "57P"
"""What the SQLSTATEs of a server begin with that ends a connection: it shuts down, or was asked to."""
_IDLE_IN_TRANSACTION = "25P03"
_ANSWERS = (Kind.RESPONSE, Kind.ERROR, Kind.STREAM_CLOSE)


class Profile(NamedTuple):
    """
    The state of a server connection. user: the client's, "" for the proxy's own; secret: what its login has shown, for
    a login at the server as the same user.
    """

    user: str
    database: str
    replication: str
    settings: tuple[tuple[str, str], ...]
    secret: Secret = NO_SECRET

    @property
    def plain(self) -> tuple[object, ...]:
        """What a recording may keep of it."""
        return self[:-1]


def profile_of(value: object, database: str) -> Profile:
    """A profile, also of what a recording has kept of one; of what is no client's, one of the proxy's own."""
    if isinstance(value, Profile):
        return value
    match value:
        case (str(user), str(database), str(replication), tuple(settings)):
            return Profile(user, database, replication, settings)
    return Profile("", database, "", ())


class Admission(NamedTuple):
    """Who may log in: users by name, others that `query` finds at a server, in the database; and how."""

    users: Mapping[str, User]
    method: Method
    query: str = ""
    database: str = ""


class PooledRequest(ClientRequest):
    """
    batch: of the extended protocol, what it needs and changes. effects: of its statements, if they have any.
    bound: its client keeps the connection from now on. Its
    profile is what its client's session is in when it is asked for: requests before it may change that.
    """

    __slots__ = ("batch", "bound", "effects")
    session: PooledClient
    batch: Batch | None
    bound: bool
    effects: tuple[Effects, ...]

    @property
    def profile(self) -> Profile:
        return self.session.profile

    @profile.setter
    def profile(self, profile: object) -> None:
        """It has none of its own."""


class PooledClient(ClientSession):
    """admission: who may log in. profile: the state that its server connections must be in."""

    __slots__ = (
        "_admission", "_binding", "_bound", "_broken", "_defaults", "_effects", "_last_words", "_login", "_login_id",
        "_lookup_id", "_settings", "_statements", "_told", "_uncommitted", "_unsettled", "profile",
    )  # fmt: skip

    def __init__(self, max_frame: int, stream_over: int, admission: Admission, login_timeout: float = 0.0) -> None:
        super().__init__(max_frame, stream_over, login_timeout)
        self._admission = admission
        self._login: ClientLogin | None = None
        self._lookup_id = 0  # of the request for what a server knows of the user
        self._login_id = 0
        self._last_words = b""
        self._statements = ClientStatements()
        self._settings: dict[str, str] = {}
        self._defaults: dict[str, str] = {}  # what the StartupMessage set
        self._uncommitted: list[Change] = []
        self._effects: dict[int, tuple[Effects, ...]] = {}  # by the ids of requests that are not answered
        self._unsettled: list[Effects] = []  # of the batch whose Sync is to come
        self._broken = False  # it holds an error
        self._bound = ""
        self._binding = 0  # the request that keeps the connection, if one does
        self._told = False  # the server has said why it ends
        self.profile = Profile("", "", "", ())

    # -- the login

    def _start(self, frame: bytes, parameters: Mapping[str, str]) -> Message | None:
        self._defaults = settings_of(parameters)
        user, database = self.identity["user"], self.identity["database"]
        self.profile = Profile(user, database, replication_of(parameters), ())
        self._set(dict(self._defaults))
        self.say(negotiation(self._version, parameters))
        shown = self._admission.method == "password" and "tls.version" not in self.facts  # and so is refused
        if user in self._admission.users or not self._admission.query or shown:
            return self._begin_login(self._admission.users.get(user))
        self._lookup_id = id = self.begin(EXTENDED | SYNCED)
        message = ClientRequest(Kind.REQUEST, question(self._admission.query, user), id)
        message.metadata = {"command": "auth_query", **self.identity}
        self._prepare(message)
        message.profile = Profile("", self._admission.database, "", ())
        return message

    def _begin_login(self, user: User | None) -> Message | None:
        name = self.identity["user"]
        login = self._login = ClientLogin(user, self._admission.method, name, "tls.version" in self.facts)
        return self._proceed(login, login.begin)

    def _looked_up(self, message: Message, id: int) -> bytes:
        """What a server knows of the user is there, and the login may begin. May raise FrameError."""
        self._lookup_id = 0
        if self.error is not None:  # which the client hears next
            return b""
        if message.kind is not Kind.RESPONSE:
            raise FrameError(f"auth_query failed: {message.get('sqlstate') or 'its answer is too long'}")
        user = user_of(message.frame, self.identity["user"])
        self.answer_ends(id)
        self._begin_login(user)
        return self.owed()

    def _request(self, frame: bytes, flags: int, messages: list[Message]) -> None:
        login = self._login
        if login is None:
            if self._lookup_id:
                raise FrameError("a message before the server has asked for a password")
            super()._request(frame, flags, messages)
            return
        if frame[:1] != b"p":
            raise FrameError(f"a message of type {frame[:1]!r} where a password is expected")
        message = self._proceed(login, partial(login.answer, frame))
        if message is not None:
            messages.append(message)

    def _proceed(self, login: ClientLogin, step: Callable[[], bytes]) -> Message | None:
        """One step of the login; what asks for a server once it is done."""
        try:
            said = step()
        except LoginRefused as error:
            self.say(wire.error("FATAL", error.code, str(error)))
            self.quit = True
            return None
        if said:
            self.say(said)
        if not login.done:
            return None
        self._login = None
        self.profile = self.profile._replace(secret=login.secret)
        self._last_words = self.owed()  # which come before the server's, who may answer at once
        self._login_id = id = self.begin()
        message = ClientRequest(Kind.CONNECT, b"", id, {"command": "startup", **self.identity}, hold=Hold.EXCHANGE)
        self._prepare(message)
        message.profile = self.profile
        if self.profile.replication:
            message.hold = Hold.OPEN
            self._bound = "replication"
        self.logging_in = False
        return message

    def _welcomed(self, frame: bytes) -> bytes:
        """The end of the login: what the server said of itself, a key, and that it may begin."""
        return self._last_words + OK + frame + wire.message(b"K", self.cancel_key()) + wire.ready(IDLE)

    # -- what it asks

    def bye(self, frame: bytes) -> Message | None:
        """Its server connection stays for others."""
        return None

    def make(self, kind: Kind, frame: bytes, id: int) -> Message:
        message = PooledRequest(kind, frame, id, None, self.complete, hold=Hold.EXCHANGE)
        self._prepare(message)
        before = self._bound
        message.batch = None
        runs: list[bytes | None]
        if id & EXTENDED:
            batch = message.batch = self._statements.rewrite(frame)
            message.frame, runs = batch.frame, batch.runs
            if not batch.whole:
                self._bound = self._bound or "a statement of many bytes"
        else:
            runs = [frame[wire.HEAD_SIZE : -1]] if frame[:1] == b"Q" else []
        found = [effects for text in runs if text is not None and (effects := effects_of(text)) is not NONE]
        if frame[:1] == b"F" and (called := effects_of_call(int.from_bytes(frame[5:9], "big"))) is not NONE:
            found = [called]
        message.effects = tuple(found)
        if found:
            self._effects[id] = message.effects
            self._bound = self._bound or next((one.binds for one in message.effects if one.binds), "")
            if not self._bound and self._leaves_role(one.change for one in message.effects):
                self._bound = "SET ROLE"
            self._deallocate(message)
        message.bound = bool(self._bound)
        if message.bound:
            self._binding = self._binding if before else id
            message.metadata = {"bound": self._bound}
        return message

    def _deallocate(self, message: PooledRequest) -> None:
        """DEALLOCATE of what was prepared by a message: the server has it under another name."""
        (effects, *others) = message.effects
        name = (effects.deallocates or "").encode()
        if others or not name or message.kind is not Kind.REQUEST or message.batch is not None:
            return
        body = self._statements.body(name)
        if body is not None:
            key = server_name(name, body)
            self._statements.forget(name)
            message.frame = wire.message(b"Q", b'DEALLOCATE "%b"\0' % key)
            message.batch = Batch(message.frame, {key: body}, [Step.deallocated(key)], [], [], 0, True)

    def prepared(self, name: bytes) -> bytes | None:
        return self._statements.sql(name)

    def parsed(self, name: bytes, text: bytes) -> None:
        """See ClientStatements, which has it."""

    def complete(self, message: Message) -> None:
        metadata.read(message, self, message.batch if isinstance(message, PooledRequest) else None)

    # -- what it is answered

    def send(self, message: Message, id: int) -> bytes:
        if id == self._lookup_id and id and not isinstance(message, LocalError):
            return self._looked_up(message, id)
        if id == self._login_id and message.kind is Kind.RESPONSE:
            self._login_id = 0
            message = message.with_frame(self._welcomed(message.frame))
        if id == self._binding and id and isinstance(message, LocalError):  # it did not keep it
            self._bound, self._binding = "", 0
        before = self._state
        data = super().send(message, id)
        if message.kind in _ANSWERS:
            failed = message.kind is Kind.ERROR or getattr(message, "failed", False)
            self._settle(id, before, failed)
            ends = (message.get("sqlstate") or "").startswith(_SERVER_ENDS) or message.frame == GONE
            self._told = failed and ends
        return data

    def _settle(self, id: int, before: bytes, failed: bool) -> None:
        """What the requests up to this one have changed, once it is known whether they did."""
        if self._effects:
            for other in [one for one in self._effects if one <= id]:
                self._unsettled += self._effects.pop(other)
        self._broken = self._broken or failed
        if self.skipping or not (self._unsettled or self._uncommitted or self._broken):
            return
        effects, self._unsettled = self._unsettled, []
        failed, self._broken = self._broken, False
        if id & (EXTENDED | SYNCED) == EXTENDED:  # its Sync is to come
            self._unsettled, self._broken = effects, failed
            return
        if any(one.deallocates == "" for one in effects) and not failed:
            self._statements.clear()
        self._commit([] if failed else effects, failed or before == FAILED)
        if self._state == IDLE and not failed and any(one.discards for one in effects):
            self._bound, self._binding = "", 0

    def _commit(self, effects: Iterable[Effects], undone: bool) -> None:
        """What was set counts from where it is committed. undone: what was until now does not."""
        changes = self._uncommitted
        for one in effects:
            if changes and self._state == IN_TRANSACTION and (one.rolls_to or one.rolls_back):
                self._bound = self._bound or "SET before ROLLBACK TO"
            if one.commits or one.rolls_back:  # and perhaps another transaction begins (AND CHAIN)
                self._conclude(undone or not one.commits)
                undone = False
            if one.change is not NOTHING:
                changes.append(one.change)
        if self._state == IDLE:
            self._conclude(undone)

    def _conclude(self, undone: bool) -> None:
        changes = self._uncommitted.copy()
        self._uncommitted.clear()
        for change in [] if undone else changes:
            self._apply(change)

    def _apply(self, change: Change) -> None:
        now = change.applied(self._settings, self._defaults)
        if len(now) > MOST_SETTINGS:
            self._bound = self._bound or "many settings"
        if len(now) <= MOST_SETTINGS + 1:  # it gets a connection with that one, and keeps it
            self._set(now)

    def _leaves_role(self, changes: Iterable[Change]) -> bool:
        """See Change.hides."""
        now: Mapping[str, str] = self._settings
        for change in (*self._uncommitted, *changes):
            if change.hides(now):
                return True
            now = change.applied(now, self._defaults)
        return False

    def _set(self, now: dict[str, str]) -> None:
        self._settings = now
        self.profile = self.profile._replace(settings=in_order(now))

    def survives(self, request: ClientRequest) -> bool:
        return self._state == IDLE and not self._bound and request.alone

    def farewell(self, kind: ErrorKind, text: str) -> bytes:
        if self._told:
            return b""
        code = _IDLE_IN_TRANSACTION if kind is ErrorKind.TIMEOUT else code_of(kind, "", False)
        return wire.error("FATAL", code, text or kind.value)
