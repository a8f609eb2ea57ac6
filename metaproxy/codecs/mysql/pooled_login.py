"""
How a connection to a server that clients borrow comes into the state that one of them needs.

    greeting ── [TLS] ── login ── [autocommit?] ── settings ── ready ── (used) ──┬── settings of another client ── ready
                           └── COM_CHANGE_USER ──────────────────────────────────┘

Clients have autocommit as their greeting has said, until they set it. What a server has by itself is asked where it is
not sure: where its status says that it is off, and, as `init_connect` may change it behind that, on each new connection
to a server whose role is known, so that no read begins a transaction at a replica.

Lives here: `PooledLogin`. Does not: the login's own packets (`upstream_login`), which settings differ (`profile`), what
clients ask (`pooled_server`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping
from functools import partial

from metaproxy.codecs.framing import Session
from metaproxy.codecs.mysql.answers import Answers
from metaproxy.codecs.mysql.commands import Shape
from metaproxy.codecs.mysql.handshake import Capability, Greeting
from metaproxy.codecs.mysql.messages import Answer, Effect, LastChunk, has_failed
from metaproxy.codecs.mysql.packets import (
    AUTOCOMMIT,
    ERR,
    FULL,
    HEAD,
    LONGEST_LOGIN,
    head_of,
    ok_packet,
    packet,
    read_error,
    read_ok,
)
from metaproxy.codecs.mysql.passwords import NO_SECRET
from metaproxy.codecs.mysql.profile import AUTOCOMMIT_OFF, EMPTY, Profile, difference, profile_of, same_connection
from metaproxy.codecs.mysql.text_rows import first_rows
from metaproxy.codecs.mysql.upstream_login import UpstreamLogin
from metaproxy.message import FrameError, Kind, Message

_WELCOME, _WELCOME_OFF = (Message(Kind.RESPONSE, ok_packet(2, status)) for status in (AUTOCOMMIT, 0))
_AUTOCOMMIT = packet(b"\3SELECT @@autocommit", 0)
LOGIN_AS, CLIENT = "login_as", "client"
"""Of credentials, `client`: connections of clients log in as their own users, and the proxy's own as `user`."""
_NOT_KNOWN = (1047, 1235)
"""Numbers of errors that a command is not known, or not supported."""
Mine = Callable[[Answer | LastChunk], None]
"""What takes the answer to a command of the session's own."""


class Seen:
    """
    What servers have shown of themselves. version: of the last one; more: its capabilities that clients may be offered;
    autocommit: whether it has that by itself; asks: whether those whose role is known were asked for it.
    changes_user: False once one did not know COM_CHANGE_USER.
    """

    __slots__ = ("asks", "autocommit", "changes_user", "more", "version")

    def __init__(self, version: bytes) -> None:
        self.version = version
        self.more = 0
        self.autocommit = True
        self.asks = False
        self.changes_user = True


class PooledLogin(Session):
    """
    A subclass says whether anything of a client is left (`_is_soiled`), and does the rest.
    """

    def __init__(self, answers: Answers, seen: Seen) -> None:
        super().__init__()
        self.ready = False
        self._seen = seen
        self._answers = answers
        self._login: UpstreamLogin | None = None
        self._logging_in = True
        self._greeting: Greeting | None = None
        self._held = bytearray()
        self._wanted = self._state = EMPTY
        self._mine: deque[Mine | None] = deque()  # who takes the answers that are to come; None: a client
        self._setup_failed = b""
        self._round = 0  # how often settings were made
        self._soiled = False
        self._changes = False  # it logs in again by COM_CHANGE_USER
        self._as_client = False  # clients' connections log in as their users
        self._asking = False  # whether autocommit is on
        self._begun = bytearray()  # of an answer to a command of the session's own

    def _is_soiled(self) -> bool:
        raise NotImplementedError

    def _forget(self) -> None:
        """What was on the connection is gone."""
        raise NotImplementedError

    def _become_reusable(self) -> None:
        self.reusable = self._state == self._wanted and not self._is_soiled()

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        if credentials.get(LOGIN_AS, CLIENT) != CLIENT:
            raise ValueError(f"credentials.{LOGIN_AS} is `{CLIENT}`, or left out")
        self._as_client = LOGIN_AS in credentials or not credentials.get("user")
        wanted = self._wanted = self._own(profile_of(profile))
        self._login = UpstreamLogin(credentials, "tls.version" in self.facts, wanted.user, wanted.secret)
        if self._greeting is None:
            return b""
        self.start_tls = False  # TLS has begun
        return self._log_in(2)

    def _own(self, profile: Profile) -> Profile:
        """The state that a client wants here: without its user, unless that is who logs in."""
        return profile if self._as_client or not profile.user else profile._replace(user=b"", secret=NO_SECRET)

    def _log_in(self, sequence: int) -> bytes:
        assert self._login is not None and self._greeting is not None  # made by open; read by now
        wanted = self._wanted
        data = self._login.begin(self._greeting, wanted.flags, wanted.charset or 45, sequence)
        self._state = Profile(wanted.flags, wanted.charset, user=wanted.user, secret=wanted.secret)
        return data

    def change(self, profile: Hashable) -> bytes | None:
        if self._login is None:
            return None
        profile = self._own(profile_of(profile))
        if not same_connection(self._state, profile):
            return None
        self._wanted = profile
        if self._logging_in or self._asking:  # what is wanted by then follows the login
            return b"" if profile.charset == self._state.charset else None
        made = None if self._is_soiled() else difference(self._state, profile)
        if made is not None:
            return self._set_up(made)
        if self._mine:  # what the server still says would be taken for the login's
            return None
        return self._log_in_again() if self._seen.changes_user else None

    def _log_in_again(self) -> bytes:
        """Rid the connection of all that is on it; what is wanted follows."""
        assert self._login is not None  # made by open
        profile = self._wanted
        self.ready = False
        self._logging_in = self._changes = True
        self._forget()
        self._soiled = False
        self._state = Profile(self._state.flags, profile.charset, user=profile.user, secret=profile.secret)
        return self._login.change_user(profile.charset or 45, profile.secret)

    def _set_up(self, made: list[bytes]) -> bytes:
        """Commands of the session's own that lead to the state that is wanted."""
        self._setup_failed = b""
        self._round += 1
        setting_answered = partial(self._setting_answered, self._round)
        for _ in made:
            self._expect(Shape.ONE, setting_answered)
        self._state = self._wanted
        self.ready = not made
        self._become_reusable()
        return b"".join(made)

    def _setting_answered(self, round: int, answer: Answer | LastChunk) -> None:
        """round: of the settings that it is one of; others may have been wanted since."""
        if has_failed(answer):
            if round != self._round:
                self._soiled = True  # it is not in the state from which the later ones were reckoned
            elif not self._setup_failed:
                self._setup_failed = answer.frame
        if self._mine:
            return
        if self._soiled:
            self.say(self._log_in_again())
            return
        self.ready, self.welcome = True, self._greets()
        if self._setup_failed:
            # Who logs in gets the server's own error (its database is not known); who asks something, see `send`.
            self.welcome, self._soiled = Message(Kind.ERROR, self._setup_failed), True
        self._become_reusable()

    def _expect(self, shape: Shape, mine: Mine | None, id: int = 0, effect: Effect | None = None) -> None:
        self._mine.append(mine)
        self._answers.expect(shape, id, effect)

    # -- what comes before it is ready

    def _receive_login(self, data: bytes) -> bytes:
        """Goes on with the login; gives what follows it."""
        self._held += data
        while self._logging_in and not self.start_tls:
            held = bytes(self._held)
            if len(held) < HEAD:
                return b""
            size, sequence = head_of(held, 0)
            stop = HEAD + size
            if not size or size == FULL or stop > LONGEST_LOGIN:
                raise FrameError(f"a packet of {size} bytes within a login")
            if len(held) < stop:
                return b""
            self._held = bytearray(held[stop:])
            self._login_packet(held[HEAD:stop], sequence)
        rest, self._held = bytes(self._held), bytearray()
        if self.start_tls and rest:
            raise FrameError("a server that speaks behind its greeting, where TLS was to begin")
        return rest

    def _login_packet(self, payload: bytes, sequence: int) -> None:
        login = self._login
        if login is None:
            raise FrameError("a server that speaks on a connection that was not opened")
        if self._greeting is None:
            self._greet(payload, sequence)
            return
        if payload[0] == ERR and self._changes and read_error(payload).number in _NOT_KNOWN:
            self._seen.changes_user = False  # another connection is opened the next time
        said = login.receive(payload, sequence)
        if said:
            self.say(said)
        if login.done:
            self._logging_in = False
            self._answers.flags = login.flags
            if read_ok(payload).status & AUTOCOMMIT and (self._changes or "endpoint.role" not in self.facts):
                self._note_autocommit(True)
                self._begin_setup()
            else:
                self._asking = True
                self._expect(Shape.RESULTS, self._autocommit_said)
                self.say(_AUTOCOMMIT)

    def _autocommit_said(self, answer: Answer | LastChunk) -> None:
        """It counts where it is understood: there are servers whose status never says that it is on."""
        self._asking = False
        is_off = not has_failed(answer) and _is_off(bytes(self._begun))
        self._note_autocommit(not is_off)
        if is_off:
            self._state = self._state.with_setting(*AUTOCOMMIT_OFF)
        self._begin_setup()

    def _note_autocommit(self, on: bool) -> None:
        """
        COM_CHANGE_USER is no login for `init_connect`: what it leaves is not what clients of the server have. Nor does
        a status say that, once servers are asked because their roles are known.
        """
        asks = "endpoint.role" in self.facts
        self._seen.asks = self._seen.asks or asks
        if not self._changes and (asks or not on or not self._seen.asks):
            self._seen.autocommit = on

    def _begin_setup(self) -> None:
        made = difference(self._state, self._wanted)
        assert made is not None  # from a state with one setting at most
        setup = self._set_up(made)
        if setup:
            self.say(setup)
        else:
            self.welcome = self._greets()

    def _greets(self) -> Message:
        return _WELCOME if self._wanted.autocommit else _WELCOME_OFF

    def _greet(self, payload: bytes, sequence: int) -> None:
        if payload[0] == ERR:
            refusal = read_error(payload)
            raise FrameError(f"the server refused the connection: {refusal.number} {refusal.text}")
        greeting = self._greeting = Greeting.read(payload)
        self._seen.version = greeting.version[:60]
        self._seen.more = greeting.capabilities & Capability.STMT_BULK
        if "tls.start" not in self.facts:
            self.say(self._log_in(sequence + 1))
            return
        if not greeting.capabilities & Capability.SSL:
            raise FrameError("the server does not offer TLS, and the cluster has `tls: {start: protocol}`")
        assert self._login is not None  # made by open
        self.say(self._login.ask_for_tls(greeting, self._wanted.flags, sequence + 1))
        self.start_tls = True


def _is_off(answer: bytes) -> bool:
    try:
        return first_rows(answer) == [[b"0"]]
    except FrameError:
        return False
