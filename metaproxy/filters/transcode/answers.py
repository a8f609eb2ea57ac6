"""
What clients of HTTP and JSON get: answers, errors, and the statuses of HTTP that codes of gRPC stand for.

Lives here: `answer`, `error`, `Refused`. Does not: how a protocol's answers become JSON.

Errors have the form of google.rpc.Status in JSON, whatever the protocol: {"code": 5, "message": "...", "details": []}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from metaproxy.codecs.http.metadata import read
from metaproxy.codecs.http.model import HttpMessage, Pair, answer_head, opening, whole
from metaproxy.message import ErrorKind, Reply

JSON: Final = b"application/json"
NAMES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
"""Codes of gRPC by their numbers."""
STATUSES: Final = (200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401)
"""The status of each code, as google/rpc/code.proto has it."""
CODES: Final = {name: code for code, name in enumerate(NAMES)}
_OF_STATUSES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    413: "RESOURCE_EXHAUSTED", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL", 501: "UNIMPLEMENTED",
    503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
_KINDS = {
    404: ErrorKind.NOT_FOUND, 413: ErrorKind.LIMITED, 500: ErrorKind.INTERNAL, 501: ErrorKind.UNSUPPORTED,
    503: ErrorKind.NO_ENDPOINT,
}  # fmt: skip


def dumped(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def answer(status: int, body: bytes, fields: Iterable[Pair] = (), kind: bytes = JSON) -> HttpMessage:
    """A whole answer. From 500 on it is one of failure."""
    pairs = [pair for pair in fields if pair[0] not in (b"content-length", b"content-type")]
    if status not in (204, 304):
        if kind:
            pairs.append((b"content-type", kind))
        pairs.append((b"content-length", b"%d" % len(body)))
        head = answer_head(status, pairs, length=len(body))
    else:
        head, body = answer_head(status, pairs), b""
    return whole(head, body, 0, read, failed=status >= 500)


def begun(fields: Iterable[Pair], kind: bytes) -> HttpMessage:
    """The head of an answer whose length is not known."""
    pairs = [pair for pair in fields if pair[0] not in (b"content-length", b"content-type")]
    return opening(answer_head(200, [*pairs, (b"content-type", kind)]), 0, read)


def error_body(code: int, text: str, details: list[object] | None = None) -> bytes:
    return dumped({"code": code, "message": text, "details": details or []})


def code_of(status: int) -> int:
    """The code for a status of HTTP."""
    return CODES[_OF_STATUSES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")]


def failure(status: int, text: str, details: list[object]) -> HttpMessage:
    """The answer of a server that tells of an error."""
    return answer(status, error_body(code_of(status), text, details))


class Refused(Exception):
    """A request that is answered in the place of a server. allowed: the methods that its path has, for 405."""

    def __init__(self, status: int, text: str, allowed: Iterable[str] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.allowed = list(allowed)

    def reply(self) -> Reply:
        text = str(self)[:1024]
        fields: list[Pair] = [(b"allow", ", ".join(self.allowed).encode())] if self.allowed else []
        made = answer(self.status, error_body(code_of(self.status), text), fields)
        return Reply(self._kind(), text, made, details=f"transcode: {text}")

    def cut(self) -> Reply:
        """For an answer that has begun: it ends where it is."""
        text = str(self)[:1024]
        return Reply(self._kind(), text, details=f"transcode: {text}")

    def _kind(self) -> ErrorKind:
        return _KINDS.get(self.status, ErrorKind.BAD_REQUEST if self.status < 500 else ErrorKind.BAD_RESPONSE)
