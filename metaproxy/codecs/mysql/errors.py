"""
The errors that the proxy answers with: number and SQLSTATE of each kind.

Drivers choose the class of their exception by the number, or by the first two digits of the state: 08 is a connection
that is of no use any more, 42 a statement that must be written in another way. Numbers of clients' own errors, such as
2003, are not sent: MariaDB's library takes a packet that has one for malformed, and its text is lost.

Lives here: `NUMBERS`, `error_for`. Does not: which sequence number an error has (`codec`).
"""

from __future__ import annotations

import re

from metaproxy.message import ErrorKind

NUMBERS: dict[ErrorKind, tuple[int, str]] = {
    ErrorKind.NOT_FOUND: (1105, "HY000"),  # ER_UNKNOWN_ERROR
    ErrorKind.NO_CLUSTER: (1429, "HY000"),  # ER_CONNECT_TO_FOREIGN_DATA_SOURCE
    ErrorKind.NO_ENDPOINT: (1429, "HY000"),
    ErrorKind.CONNECT: (1429, "HY000"),
    ErrorKind.RESET: (1927, "70100"),  # ER_CONNECTION_KILLED
    ErrorKind.TIMEOUT: (3024, "HY000"),  # ER_QUERY_TIMEOUT
    ErrorKind.OVERLOAD: (1040, "08004"),  # ER_CON_COUNT_ERROR
    ErrorKind.LIMITED: (1226, "42000"),  # ER_USER_LIMIT_REACHED
    ErrorKind.DENIED: (1142, "42000"),  # ER_TABLEACCESS_DENIED_ERROR
    ErrorKind.BAD_REQUEST: (1835, "HY000"),  # ER_MALFORMED_PACKET
    ErrorKind.BAD_RESPONSE: (1105, "HY000"),
    ErrorKind.UNSUPPORTED: (1235, "42000"),  # ER_NOT_SUPPORTED_YET
    ErrorKind.DRAINING: (1053, "08S01"),  # ER_SERVER_SHUTDOWN
    ErrorKind.INTERNAL: (1105, "HY000"),
}
NO_LOGIN = (1045, "28000")
"""ER_ACCESS_DENIED_ERROR: a login that a policy refuses."""
INTERRUPTED = (1317, "70100", "Query execution was interrupted")
KILLED = (1927, "70100", "Connection was killed")
UNKNOWN_COMMAND = (1047, "08S01")
UNSUPPORTED = NUMBERS[ErrorKind.UNSUPPORTED]
_NAME = re.compile(r"([1-9]\d{3,4})(?:/([0-9A-Z]{5}))?")


def named(name: str) -> tuple[int, str] | None:
    """Number and state of a name such as 1205/HY000 or 1205; None where it is none of a server."""
    found = _NAME.fullmatch(name)
    if found is None or int(found[1]) > 0xFFFE or 2000 <= int(found[1]) < 3000:
        return None
    return int(found[1]), found[2] or "HY000"


def error_for(kind: ErrorKind, name: str) -> tuple[int, str]:
    return named(name) or NUMBERS[kind]
