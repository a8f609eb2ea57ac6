"""
Messages of clients that log in at the proxy: what a server's session needs to know beyond their bytes.

Lives here: `PooledCommand`, `Statement`. Does not: what is done with them (`pooled_client`,
`pooled_server`).
"""

from __future__ import annotations

from metaproxy.codecs.mysql.commands import STMT_BULK_EXECUTE, STMT_EXECUTE
from metaproxy.codecs.mysql.kill import Kill
from metaproxy.codecs.mysql.messages import Command
from metaproxy.codecs.mysql.packets import HEAD
from metaproxy.codecs.mysql.profile import Profile
from metaproxy.codecs.mysql.session_state import Outcome

_HAS_TYPES = {STMT_EXECUTE: 1, STMT_BULK_EXECUTE: 0x80}
_MOST_BEFORE = 1 << 18
"""Bytes of an execution in front of the end of its types: a statement has 65535 parameters at most."""


class Statement:
    """
    A statement that a client has prepared. id: the client's. parameters: how many it has, -1 while no server has said
    so. types: of the parameters, as they were sent last.
    """

    __slots__ = ("_early", "id", "outcome", "parameters", "text", "types")

    def __init__(self, id: int, text: bytes, outcome: Outcome) -> None:
        self.id = id
        self.text = text
        self.outcome = outcome
        self.parameters = -1
        self.types = b""
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


class PooledCommand(Command):
    """
    owner: of whose client it is, compared by identity. becomes: the state of the connection if it succeeds, None for no
    other. keep: whether the client needs the connection behind it. lingers, follows: see Outcome. insert_id: of the
    client's last statement that made one. statement: which one it is about. resets: whether it rids the connection of
    all state. soils: whether it may leave more behind than is known of it. kill: what it asks of another client.
    """

    __slots__ = ("becomes", "follows", "insert_id", "keep", "kill", "lingers", "owner", "resets", "soils", "statement")
    owner: object
    becomes: Profile | None
    keep: bool
    lingers: bool
    follows: str
    insert_id: int
    statement: Statement | None
    resets: bool
    soils: bool
    kill: Kill | None
