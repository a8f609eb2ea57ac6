"""
The errors that the proxy answers with: the reply code of each kind, and what else ends with it, a channel or all.

The reply codes are those of the specification, with their names. What a channel's method is refused with closes that
channel; where more is lost, or the state of a channel is not known any more, the connection closes.

Lives here: `CODES`, `code_of`, `Violation`. Does not: the bytes (`wire`), who is refused what (`codec`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from metaproxy.message import ErrorKind, FrameError

CODES: Final = {
    "CONTENT_TOO_LARGE": 311, "NO_ROUTE": 312, "NO_CONSUMERS": 313, "ACCESS_REFUSED": 403, "NOT_FOUND": 404,
    "RESOURCE_LOCKED": 405, "PRECONDITION_FAILED": 406, "CONNECTION_FORCED": 320, "INVALID_PATH": 402,
    "FRAME_ERROR": 501, "SYNTAX_ERROR": 502, "COMMAND_INVALID": 503, "CHANNEL_ERROR": 504, "UNEXPECTED_FRAME": 505,
    "RESOURCE_ERROR": 506, "NOT_ALLOWED": 530, "NOT_IMPLEMENTED": 540, "INTERNAL_ERROR": 541,
}  # fmt: skip
"""The names that a reply may have, and their codes."""
SOFT: Final = frozenset(
    (
        "CONTENT_TOO_LARGE", "NO_ROUTE", "NO_CONSUMERS", "ACCESS_REFUSED", "NOT_FOUND", "RESOURCE_LOCKED",
        "PRECONDITION_FAILED",
    )
)  # fmt: skip
"""Those that close a channel and leave the others of its connection."""


class Names(NamedTuple):
    """What an error is called on a channel, and on the connection itself (while it is opened)."""

    channel: str
    connection: str


NAMES: Final = {
    ErrorKind.NOT_FOUND: Names("NOT_FOUND", "NOT_ALLOWED"),
    ErrorKind.NO_CLUSTER: Names("NOT_FOUND", "CONNECTION_FORCED"),
    ErrorKind.NO_ENDPOINT: Names("NOT_FOUND", "CONNECTION_FORCED"),
    ErrorKind.CONNECT: Names("CONNECTION_FORCED", "CONNECTION_FORCED"),
    ErrorKind.RESET: Names("CONNECTION_FORCED", "CONNECTION_FORCED"),
    ErrorKind.TIMEOUT: Names("PRECONDITION_FAILED", "INTERNAL_ERROR"),
    ErrorKind.OVERLOAD: Names("PRECONDITION_FAILED", "RESOURCE_ERROR"),
    ErrorKind.LIMITED: Names("PRECONDITION_FAILED", "NOT_ALLOWED"),
    ErrorKind.DENIED: Names("ACCESS_REFUSED", "ACCESS_REFUSED"),
    ErrorKind.BAD_REQUEST: Names("SYNTAX_ERROR", "SYNTAX_ERROR"),
    ErrorKind.BAD_RESPONSE: Names("INTERNAL_ERROR", "INTERNAL_ERROR"),
    ErrorKind.UNSUPPORTED: Names("NOT_IMPLEMENTED", "NOT_IMPLEMENTED"),
    ErrorKind.DRAINING: Names("CONNECTION_FORCED", "CONNECTION_FORCED"),
    ErrorKind.INTERNAL: Names("INTERNAL_ERROR", "INTERNAL_ERROR"),
}


def name_of(kind: ErrorKind, name: str, channel: int) -> str:
    """The name of an error on a channel, 0 for the connection. name: see `Reply`; an unknown one counts as none."""
    if name in CODES:
        return name
    names = NAMES[kind]
    return names.channel if channel else names.connection


def worded(name: str, text: str) -> str:
    """A reply text as RabbitMQ writes it: the name of the code, then what it is about."""
    return f"{name} - {text}"


class Violation(FrameError):
    """The peer broke the protocol; name: that of the reply code which says how."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class WrongProtocol(FrameError):
    """Another protocol, or another version of this one, than 0-9-1."""


class ClosedChannel(FrameError):
    """What is to be sent is for a channel that its server has closed."""

    kind = ErrorKind.RESET
