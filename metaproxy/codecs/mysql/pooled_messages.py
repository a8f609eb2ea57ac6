"""
Messages of clients that log in at the proxy: what a server's session needs to know beyond their bytes.

Lives here: `PooledCommand`, `Statement`, `Standing`, and what describes commands. Does not: what is done with them
(`pooled_client`, `pooled_server`).
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.codecs.mysql.commands import STMT_BULK_EXECUTE, STMT_EXECUTE, STMT_SEND_LONG_DATA
from metaproxy.codecs.mysql.kill import Kill
from metaproxy.codecs.mysql.messages import Command
from metaproxy.codecs.mysql.metadata import Reader
from metaproxy.codecs.mysql.packets import HEAD
from metaproxy.codecs.mysql.profile import Profile
from metaproxy.codecs.mysql.session_state import ADRIFT, NOTHING, Outcome
from metaproxy.message import Message

_HAS_TYPES = {STMT_EXECUTE: 1, STMT_BULK_EXECUTE: 0x80}
_MOST_BEFORE = 1 << 18
"""Bytes of an execution in front of the end of its types: a statement has 65535 parameters at most."""


class Statement:
    """
    A statement that a client has prepared. id: the client's. parameters: how many it has, -1 while no server has said
    so. types: of the parameters, as they were sent last. lacks: a value that was sent ahead and refused by the proxy.
    """

    __slots__ = ("_early", "id", "lacks", "outcome", "parameters", "text", "types")

    def __init__(self, id: int, text: bytes, outcome: Outcome) -> None:
        self.id = id
        self.text = text
        self.outcome = outcome
        self.parameters = -1
        self.types = b""
        self.lacks = False
        self._early = b""  # the beginning of what was executed while the parameters were not known

    def prepared(self, parameters: int) -> None:
        """A server has said how many there are."""
        early, self._early = self._early, b""
        self.parameters = parameters
        if early:
            self.note_types(early)

    def note_types(self, frame: bytes) -> bool:
        """Keeps the types of the parameters that an execution has. False: it lacks them."""
        if self.parameters < 1:
            if self.parameters:
                self._early = frame[: HEAD + _MOST_BEFORE]
            return True
        flag, at = self._types_at(frame[HEAD], HEAD)
        found = len(frame) > flag and bool(frame[flag] & _HAS_TYPES[frame[HEAD]])
        if found:
            self.types = frame[at : at + 2 * self.parameters]
        return found

    def with_types(self, payload: bytes) -> bytes:
        """An execution that lacks them, with those that were sent last."""
        flag, at = self._types_at(payload[0], 0)
        marked = bytes(byte | _HAS_TYPES[payload[0]] for byte in payload[flag : flag + 1])
        return payload[:flag] + marked + payload[flag + 1 : at] + self.types + payload[at:]

    def _types_at(self, code: int, start: int) -> tuple[int, int]:
        """Where an execution that begins at `start` says whether it has types, and where it has them."""
        if code == STMT_BULK_EXECUTE:
            return start + 5, start + 7
        flag = start + 10 + (self.parameters + 7) // 8
        return flag, flag + 1


_NO_REASONS: frozenset[str] = frozenset()


class Standing:
    """
    What all has left of a client's session that was answered since its login. profile: the state that its connections
    must be in. reasons: why it keeps one. insert_id: of its last statement that made one.
    """

    __slots__ = ("_settings", "insert_id", "profile", "reasons")

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.reasons = _NO_REASONS
        self.insert_id = 0
        self._settings = profile.settings  # those of a new login

    def unset(self, profile: Profile) -> Profile:
        """Without what was SET."""
        return profile._replace(settings=self._settings)

    def reset(self) -> None:
        self.profile = self.unset(self.profile)
        self.reasons, self.insert_id = _NO_REASONS, 0


class PooledCommand(Command):
    """
    owner: whose it is. standing: of its login. outcome: what it leaves behind if it succeeds; change: the state
    that it makes of one then, None for the same. lingers, follows: see Outcome. statement: which one it is about.
    resets: whether it rids the connection of all state. soils: whether it may leave more behind than is known of it.
    kill: what it asks of another client.

    Its profile is the state that its client is in when it is first asked for: commands that were read before it, and
    may be refused yet, have been answered by then.
    """

    __slots__ = (
        "_profile", "change", "follows", "kill", "lingers", "outcome", "owner", "resets", "soils", "standing",
        "statement",
    )  # fmt: skip
    _profile: object
    owner: object
    standing: Standing
    outcome: Outcome
    change: Callable[[Profile], Profile] | None
    lingers: bool
    follows: str
    statement: Statement | None
    resets: bool
    soils: bool
    kill: Kill | None

    @property
    def profile(self) -> Profile:
        profile = getattr(self, "_profile", None)  # a compiled Message does not know of this property
        if not isinstance(profile, Profile):
            profile = self._profile = self.standing.profile
        return profile

    @profile.setter
    def profile(self, profile: object) -> None:
        self._profile = profile

    @property
    def becomes(self) -> Profile | None:
        """The state that its connection is in if it succeeds, None for the same."""
        return self.change(self.profile) if self.change is not None else None

    def refused_unheard(self) -> None:
        """It has no answer: one that follows it has to tell."""
        if self.statement is not None and self.frame[HEAD] == STMT_SEND_LONG_DATA:
            self.statement.lacks = True

    def reasons(self, failed: bool) -> frozenset[str]:
        """Why its client needs the connection behind it. Of several statements that fail some may have succeeded."""
        before, outcome = self.standing.reasons, self.outcome
        if outcome is NOTHING:
            return before
        return (before if failed else before - outcome.gone) | outcome.reasons or _NO_REASONS


class PooledReader(Reader):
    """Metadata of commands, each sent in a state that is known by then."""

    __slots__ = ()

    def __call__(self, message: Message) -> None:
        super().__call__(message)
        metadata, profile = message.metadata, message.profile
        if metadata is not None and isinstance(profile, Profile):
            metadata.pop("database", None)
            if profile.database:
                metadata["database"] = profile.database.decode("utf-8", "surrogateescape")

    def _is_adrift(self, message: Message) -> bool:
        return isinstance(message, PooledCommand) and ADRIFT in message.standing.reasons

    def _autocommits(self, message: Message) -> bool:
        return not isinstance(message.profile, Profile) or message.profile.autocommit
