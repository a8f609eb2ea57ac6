"""
KILL: a client asks that what another one has under way ends, or its connection, by the number that its greeting had.

    KILL QUERY 7, or COM_PROCESS_KILL ── whose number? ── its user's own ── Hold.COMPANION: the server is asked
                                               └── 1094: no client's; 1095: another user's

Numbers are the proxy's own, for all of its listeners: a client has them for its stay, whichever server connection it
borrows. Where logins pass they are those of servers, and a KILL goes to the server of the client that asks: it is
answered with 1094 where only another server has a client of that number.

Lives here: `Kill`, `read_kill`; the answer to `SELECT CONNECTION_ID()`; whose number is at which server. Does not:
which statements are of this kind (`session_state`), what becomes of them (`pooled_client`, `client`).
"""

from __future__ import annotations

import re
from typing import NamedTuple
from weakref import finalize

from metaproxy.codecs.mysql.packets import AUTOCOMMIT, packet, write_bytes

_SPACE = r"(?:\s+|/\*(?!!|M!).*?\*/|(?:\#|--\s)[^\n]*\n)"
_KILL = re.compile(
    rf"{_SPACE}*kill{_SPACE}+(?:(?:hard|soft){_SPACE}+)?(?:(connection|query){_SPACE}+)?"
    rf"(?:(\d{{1,20}})|connection_id{_SPACE}*\({_SPACE}*\)){_SPACE}*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_WHO_AM_I = re.compile(r"\s*select\s+(connection_id\s*\(\s*\))\s*;?\s*", re.IGNORECASE)
_COLUMN = b"\x0c\x3f\0\x0a\0\0\0\x08\xa1\0\0\0\0"
"""Of a column: binary, 10 characters, BIGINT, unsigned and never NULL."""


_servers: dict[int, dict[str, int]] = {}
"""Where logins pass: numbers, the servers that gave them to clients which are there, and to how many."""


def keep_number(client: object, number: int, server: str) -> None:
    """A client whose login passes has this number at that server, as long as it lives."""
    clients = _servers.setdefault(number, {})
    clients[server] = clients.get(server, 0) + 1
    finalize(client, _drop_number, number, server).atexit = False


def _drop_number(number: int, server: str) -> None:
    clients = _servers[number]
    clients[server] -= 1
    if not clients[server]:
        del clients[server]
    if not clients:
        del _servers[number]


def is_elsewhere(number: int, server: str) -> bool:
    """Whether clients have this number at other servers, and none has it at this one."""
    clients = _servers.get(number)
    return clients is not None and server not in clients


class Kill(NamedTuple):
    """number: whose, 0 for the client's own. query: what is under way; else the connection as well."""

    number: int
    query: bool

    def statement(self, thread: int) -> bytes:
        """The command that asks a server to end what its connection `thread` does."""
        return packet(b"\3KILL %s %d" % (b"QUERY" if self.query else b"CONNECTION", thread), 0)


def read_kill(text: str) -> Kill | None:
    """What a statement asks for; None for another form of KILL, or other statements beside it."""
    found = _KILL.fullmatch(text)
    if found is None:
        return None
    return Kill(int(found[2] or 0), (found[1] or "").lower() == "query")


def asks_who(text: str) -> str:
    """The name of the column that SELECT CONNECTION_ID() and nothing else asks for, "" for other statements."""
    found = _WHO_AM_I.fullmatch(text)
    return found[1] if found else ""


def one_number(name: str, number: int, sequence: int, status: int = AUTOCOMMIT) -> bytes:
    """A set of one row with one number, as an answer of the protocol without DEPRECATE_EOF."""
    texts = b"".join(map(write_bytes, (b"def", b"", b"", b"", name.encode(), b"")))
    end = b"\xfe\0\0" + status.to_bytes(2, "little")
    payloads = (b"\1", texts + _COLUMN, end, write_bytes(str(number).encode()), end)
    return b"".join(packet(payload, sequence + place) for place, payload in enumerate(payloads))
