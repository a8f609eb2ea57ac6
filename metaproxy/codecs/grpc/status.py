"""
How a call of gRPC ends: status codes, and the answers that have nothing but one.

Lives here: the codes and where they stand, those of HTTP's statuses and of the proxy's own errors, `trailers_only`.
Does not: which codes count as failures (an option: `codec`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import quote, unquote

from metaproxy.codecs.http.heads import Pair
from metaproxy.codecs.http.model import Head, HttpMessage, answer_head
from metaproxy.message import ErrorKind, Kind, Message

NAMES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
"""The codes by their numbers."""
NUMBERS: Final = {name: number for number, name in enumerate(NAMES)}
UNKNOWN, RESOURCE_EXHAUSTED = NUMBERS["UNKNOWN"], NUMBERS["RESOURCE_EXHAUSTED"]

OF_KINDS: Final = {
    ErrorKind.NOT_FOUND: "UNIMPLEMENTED", ErrorKind.NO_CLUSTER: "UNAVAILABLE", ErrorKind.NO_ENDPOINT: "UNAVAILABLE",
    ErrorKind.CONNECT: "UNAVAILABLE", ErrorKind.RESET: "UNAVAILABLE", ErrorKind.TIMEOUT: "DEADLINE_EXCEEDED",
    ErrorKind.OVERLOAD: "UNAVAILABLE", ErrorKind.LIMITED: "RESOURCE_EXHAUSTED", ErrorKind.DENIED: "PERMISSION_DENIED",
    ErrorKind.BAD_REQUEST: "INTERNAL", ErrorKind.BAD_RESPONSE: "INTERNAL", ErrorKind.UNSUPPORTED: "UNIMPLEMENTED",
    ErrorKind.DRAINING: "UNAVAILABLE", ErrorKind.INTERNAL: "INTERNAL",
}  # fmt: skip
"""The code of each error of the proxy's own."""

_OF_HTTP = {
    400: "INTERNAL", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "UNIMPLEMENTED", 429: "UNAVAILABLE",
    502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "UNAVAILABLE",
}  # fmt: skip

_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if code != 0x25)
TYPE = b"application/grpc"
"""What the content type of a call begins with."""


def code_in(pairs: list[Pair] | None) -> bytes | None:
    """The grpc-status among fields."""
    if pairs:
        for name, value in pairs:
            if name == b"grpc-status":
                return value
    return None


def number_of(code: bytes) -> int:
    """The number that a grpc-status has; UNKNOWN for what is none."""
    return int(code) if code.isdigit() and len(code) <= 2 and int(code) < len(NAMES) else UNKNOWN


def of_http(status: int) -> int:
    """What a client takes an answer for that has a status of HTTP and none of gRPC."""
    return NUMBERS[_OF_HTTP.get(status, "UNKNOWN")]


def is_call(head: Head) -> bool:
    """Whether a head is one of gRPC, by its content type."""
    kind = head.value(b"content-type")
    return kind is not None and kind.startswith(TYPE)


def encoded(text: str) -> bytes:
    """A text as grpc-message has it."""
    return quote(text.strip(), safe=_PLAIN, errors="replace").encode("ascii")


def decoded(message: str) -> str:
    """The text of a grpc-message."""
    return unquote(message, errors="replace")


def ends(number: int, text: str) -> list[Pair]:
    """The trailers of a call that ends with a code."""
    pairs: list[Pair] = [(b"grpc-status", b"%d" % number)]
    if text:
        pairs.append((b"grpc-message", encoded(text)))
    return pairs


def trailers_only(number: int, text: str, id: int, more: Callable[[Message], None]) -> HttpMessage:
    """An answer that is nothing but the end of a call."""
    head = answer_head(200, [(b"content-type", TYPE), *ends(number, text)])
    return HttpMessage(Kind.ERROR, head.frame, id, head, more, len(head.frame))
