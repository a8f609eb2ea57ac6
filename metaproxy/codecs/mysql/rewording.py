"""
Other SQL in a client's command: in COM_QUERY, and in COM_STMT_PREPARE, whose statement is the changed one from then on.

Lives here: `reword`. Does not: which texts are changed, and how (`proxy.rewording`).
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.messages import Command
from metaproxy.codecs.mysql.packets import HEAD, packet, payload_of
from metaproxy.codecs.mysql.pooled_messages import PooledCommand
from metaproxy.codecs.mysql.session_state import outcome_of
from metaproxy.message import FrameError, Kind, Message

_WITH_SQL = (commands.QUERY, commands.STMT_PREPARE)


def reword(request: Message, change: Callable[[str], str | None]) -> Command | None:
    """See ICodec.reword."""
    if request.kind is Kind.STREAM_OPEN and request.frame[HEAD] in _WITH_SQL:
        raise FrameError("it is longer than `stream_over`")
    if request.kind is not Kind.REQUEST or not isinstance(request, Command) or request.login:
        return None
    if request.frame[HEAD] not in _WITH_SQL:
        return None
    payload = payload_of(request.frame)
    begins = request.reader.sql_at(payload)
    text = payload[begins:]
    said = change(text.decode("utf-8", "surrogateescape"))
    if said is None:
        return None
    found = said.encode("utf-8", "surrogateescape")
    other = request.with_frame(packet(payload[:begins] + found, 0))
    if isinstance(other, PooledCommand):
        if outcome_of(found) != outcome_of(text):
            raise FrameError("what it is rewritten to does something else to the client's session (SET, USE ...)")
        if other.statement is not None:
            other.statement.text = found
    return other
