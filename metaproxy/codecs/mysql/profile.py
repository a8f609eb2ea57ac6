"""
The state that a client's connection is in at its server, as far as it can be made again on another connection.

Lives here: `Profile`, `difference`. Does not: which statements change it (`session_state`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.handshake import Capability
from metaproxy.codecs.mysql.packets import packet
from metaproxy.codecs.mysql.passwords import NO_SECRET, Secret

C = Capability
IGNORE_SPACE = 1 << 8
CHOSEN = int(C.FOUND_ROWS | C.LOCAL_FILES | C.MULTI_STATEMENTS | IGNORE_SPACE)
"""Capabilities that clients choose, and that change what statements mean."""
_TOGGLED = int(C.MULTI_STATEMENTS)
"""The one that can be changed behind the login."""
AUTOCOMMIT = "autocommit"
_ON = frozenset(("1", "on", "true"))
_PLAIN = re.compile(r"'(?:[^'\\]|'')*'|[-+]?[\w.]+|DEFAULT")
NAMES, ISOLATION, ACCESS = "names", "session transaction isolation level", "session transaction"
_SPECIAL = {NAMES: "NAMES", ISOLATION: "SESSION TRANSACTION ISOLATION LEVEL", ACCESS: "SESSION TRANSACTION"}
"""Settings that are no variables: how they begin."""

_NAMES_OF = {
    8: "latin1 COLLATE latin1_swedish_ci", 33: "utf8 COLLATE utf8_general_ci", 45: "utf8mb4 COLLATE utf8mb4_general_ci",
    46: "utf8mb4 COLLATE utf8mb4_bin", 83: "utf8 COLLATE utf8_bin", 224: "utf8mb4 COLLATE utf8mb4_unicode_ci",
}  # fmt: skip
"""What a login with such a number sets, of those that most clients have and all servers know."""
_NAMED = ("character_set_client", "character_set_connection", "character_set_results", "collation_connection")
"""The variables that SET NAMES, and a login, set."""


class Profile(NamedTuple):
    """
    flags: of the capabilities that clients choose. charset: the number of a collation, as a login has it. settings:
    name and expression, as written, of what was SET, in the order in which it was; without `autocommit` that is on,
    whatever the server's own is. user: the client's, b"" for the
    proxy's own; secret: what its login has shown, for a login at the server as the same user.
    """

    flags: int = 0
    charset: int = 0
    database: bytes = b""
    settings: tuple[tuple[str, str], ...] = ()
    user: bytes = b""
    secret: Secret = NO_SECRET

    @property
    def plain(self) -> tuple[object, ...]:
        """What a recording may keep of it: see profile_of."""
        return self.flags, self.charset, _text(self.database), self.settings, _text(self.user)

    @property
    def autocommit(self) -> bool:
        return all(value.strip("'\"").lower() in _ON for name, value in self.settings if name == AUTOCOMMIT)

    def with_setting(self, name: str, value: str) -> Profile:
        """With one setting more, or another value; of DEFAULT nothing stays."""
        kept = [pair for pair in self.settings if pair[0] != name]
        if value.upper() != "DEFAULT" or name in _SPECIAL:
            kept.append((name, value))
        return self._replace(settings=tuple(kept))


EMPTY = Profile()


def profile_of(value: object) -> Profile:
    """A profile, also of what a recording has kept of one; of what is no client's, an empty one."""
    if isinstance(value, Profile):
        return value
    match value:
        case (int(flags), int(charset), str(database), tuple(settings), str(user)):
            return Profile(flags, charset, _bytes(database), settings, _bytes(user))
    return EMPTY


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


AUTOCOMMIT_OFF = (AUTOCOMMIT, "0")
"""The setting of clients, and of connections, to whose server it is off by itself."""


def setting(name: str, value: str) -> list[bytes]:
    """The statements that make a setting, whatever it was before."""
    if name in _SPECIAL:
        return [_query(f"SET {_SPECIAL[name]} {value}")]
    made = [_query(f"SET {name} = {value}")]
    if not _PLAIN.fullmatch(value):  # it is made of what it was
        made.insert(0, _query(f"SET {name} = DEFAULT"))
    return made


def difference(before: Profile, after: Profile) -> list[bytes] | None:
    """The commands, each answered by one packet, that lead from one state to another. None: only a new login does."""
    if before.database and not after.database:
        return None
    made: list[bytes] = []
    had, wanted = dict(before.settings), dict(after.settings)
    gone = any(name in had and name not in wanted for name in _NAMED)
    if before.charset != after.charset or had.get(NAMES) != wanted.get(NAMES) or gone:
        for name in (NAMES, *_NAMED):
            had.pop(name, None)  # SET NAMES, which follows, sets them all
        if NAMES not in wanted:
            names = _NAMES_OF.get(after.charset)
            if names is None:
                return None
            made.append(_query(f"SET NAMES {names}"))
    if (before.flags ^ after.flags) & _TOGGLED:
        made.append(packet(bytes((commands.SET_OPTION, 0 if after.flags & _TOGGLED else 1, 0)), 0))
    if before.database != after.database:
        made.append(packet(bytes((commands.INIT_DB,)) + after.database, 0))
    if had != wanted:
        for name in had.keys() - wanted.keys():
            if name in _SPECIAL:
                return None
            made.append(_AUTOCOMMIT_ON if name == AUTOCOMMIT else _query(f"SET {name} = DEFAULT"))
        for name, value in after.settings:
            if had.get(name) != value:
                made += setting(name, value)
    return made


def same_connection(before: Profile, after: Profile) -> bool:
    """Whether a connection can be brought from one to the other at all."""
    return before.user == after.user and not (before.flags ^ after.flags) & ~_TOGGLED


def _query(text: str) -> bytes:
    return packet(bytes((commands.QUERY,)) + text.encode("utf-8", "surrogateescape"), 0)


_AUTOCOMMIT_ON = _query("SET autocommit = 1")
