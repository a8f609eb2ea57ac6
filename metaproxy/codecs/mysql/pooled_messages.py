"""
Messages of clients that log in at the proxy: what a server's session needs to know beyond their bytes.

Lives here: `PooledCommand`, `Statement`. Does not: what is done with them (`pooled_client`,
`pooled_server`).
"""

from __future__ import annotations

from metaproxy.codecs.mysql.kill import Kill
from metaproxy.codecs.mysql.messages import Command
from metaproxy.codecs.mysql.packets import HEAD
from metaproxy.codecs.mysql.profile import Profile
from metaproxy.codecs.mysql.session_state import Outcome


class Statement:
    """
    A statement that a client has prepared. id: the client's. parameters: how many it has, once a server said so. types:
    of the parameters, as they were sent last.
    """

    __slots__ = ("id", "outcome", "parameters", "text", "types")

    def __init__(self, id: int, text: bytes, outcome: Outcome) -> None:
        self.id = id
        self.text = text
        self.outcome = outcome
        self.parameters = 0
        self.types = b""

    def types_in(self, frame: bytes) -> tuple[bool, bytes]:
        """Whether an execution has the types of its parameters, and these."""
        at = HEAD + 10 + (self.parameters + 7) // 8
        return frame[at : at + 1] == b"\1", frame[at + 1 : at + 1 + 2 * self.parameters]


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
