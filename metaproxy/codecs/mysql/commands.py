"""
The commands: their numbers, names, and what answers them.

Lives here: `Shape`, `SHAPES`, `NAMES`. Does not: where an answer ends (`answers`).
"""

from __future__ import annotations

from enum import IntEnum


class Shape(IntEnum):
    """What answers a command."""

    NONE = 0
    """Nothing."""
    ONE = 1
    """One packet."""
    RESULTS = 2
    """OK, ERR, a request for a file, or rows behind their columns; and as many more as the status says."""
    PREPARED = 3
    """The id of a statement, its parameters and its columns."""
    ROWS = 4
    """Rows, or columns, without a head."""
    LOGIN = 5
    """OK or ERR; before it, questions and their answers."""
    EVENTS = 6
    """Packets without end, each passed on as it comes."""


QUIT, INIT_DB, QUERY, FIELD_LIST, CREATE_DB, DROP_DB = 1, 2, 3, 4, 5, 6
STATISTICS, PROCESS_INFO, PROCESS_KILL, PING = 9, 10, 12, 14
CHANGE_USER, BINLOG_DUMP, REGISTER_SLAVE = 0x11, 0x12, 0x15
STMT_PREPARE, STMT_EXECUTE, STMT_SEND_LONG_DATA, STMT_CLOSE, STMT_RESET = 0x16, 0x17, 0x18, 0x19, 0x1A
SET_OPTION, STMT_FETCH, BINLOG_DUMP_GTID, RESET_CONNECTION = 0x1B, 0x1C, 0x1E, 0x1F
SEMI_SYNC_ACK, STMT_BULK_EXECUTE = 0xEF, 0xFA

_TABLE: dict[int, tuple[str, Shape]] = {
    QUIT: ("quit", Shape.NONE),
    INIT_DB: ("init_db", Shape.ONE),
    QUERY: ("query", Shape.RESULTS),
    FIELD_LIST: ("field_list", Shape.ROWS),
    CREATE_DB: ("create_db", Shape.ONE),
    DROP_DB: ("drop_db", Shape.ONE),
    7: ("refresh", Shape.ONE),
    8: ("shutdown", Shape.ONE),
    STATISTICS: ("statistics", Shape.ONE),
    PROCESS_INFO: ("process_info", Shape.RESULTS),
    PROCESS_KILL: ("process_kill", Shape.ONE),
    13: ("debug", Shape.ONE),
    PING: ("ping", Shape.ONE),
    CHANGE_USER: ("change_user", Shape.LOGIN),
    BINLOG_DUMP: ("binlog_dump", Shape.EVENTS),
    REGISTER_SLAVE: ("register_slave", Shape.ONE),
    STMT_PREPARE: ("stmt_prepare", Shape.PREPARED),
    STMT_EXECUTE: ("stmt_execute", Shape.RESULTS),
    STMT_SEND_LONG_DATA: ("stmt_send_long_data", Shape.NONE),
    STMT_CLOSE: ("stmt_close", Shape.NONE),
    STMT_RESET: ("stmt_reset", Shape.ONE),
    SET_OPTION: ("set_option", Shape.ONE),
    STMT_FETCH: ("stmt_fetch", Shape.ROWS),
    BINLOG_DUMP_GTID: ("binlog_dump_gtid", Shape.EVENTS),
    RESET_CONNECTION: ("reset_connection", Shape.ONE),
    SEMI_SYNC_ACK: ("semi_sync_ack", Shape.NONE),
    STMT_BULK_EXECUTE: ("stmt_bulk_execute", Shape.RESULTS),
}
SHAPES: dict[int, Shape] = {number: shape for number, (_, shape) in _TABLE.items()}
NAMES: dict[int, str] = {number: name for number, (name, _) in _TABLE.items()}
LONG = frozenset((QUERY, STMT_PREPARE, STMT_EXECUTE, STMT_SEND_LONG_DATA, STMT_BULK_EXECUTE))
"""Commands that may be longer than any of the others, so that they may come in pieces."""
PREPARED = frozenset((STMT_EXECUTE, STMT_FETCH, STMT_RESET, STMT_SEND_LONG_DATA, STMT_CLOSE, STMT_BULK_EXECUTE))
"""Commands that name a statement by its id, in their first four bytes."""
REPLICATION = frozenset((BINLOG_DUMP, BINLOG_DUMP_GTID, REGISTER_SLAVE, SEMI_SYNC_ACK))
"""Commands of a replica, or of what pretends to be one."""
WITH_TEXT = PREPARED | {QUERY, STMT_PREPARE}
"""Commands that have a statement, or name one."""
