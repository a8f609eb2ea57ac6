"""
Health checks by grpc.health.v1.

Lives here: the question, and what an answer means. Does not: when servers are asked (`metaproxy.cluster.health`).
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.codecs.grpc import status
from metaproxy.codecs.grpc.messages import PREFIX
from metaproxy.codecs.http.model import HttpMessage, parts, request_head, whole
from metaproxy.codecs.protobuf_wire import fields, write
from metaproxy.message import FrameError, Kind, Message

_PATH = b"/grpc.health.v1.Health/Check"
_SERVICE = 0x0A
_STATUS = 0x08
_SERVING = b"\x01"


def question(service: str, host: str, more: Callable[[Message], None]) -> HttpMessage:
    """A call that asks for the health of a service; "" for that of the server."""
    pairs = [(b"content-type", status.TYPE), (b"te", b"trailers"), (b"user-agent", b"metaproxy")]
    message = write(_SERVICE, service.encode()) if service else b""
    body = b"\0" + len(message).to_bytes(4, "big") + message
    return whole(request_head(b"POST", _PATH, host.encode(), pairs), body, 1, more)


def serves(answer: Message) -> bool:
    """Whether an answer says SERVING."""
    if answer.kind is Kind.ERROR:
        return False
    try:
        body = parts(answer)[1]
        size = int.from_bytes(body[1:PREFIX], "big")
        if len(body) != PREFIX + size or not size or body[0]:
            return False
        found = [body[at:stop] for tag, _, at, stop in fields(body, PREFIX, len(body)) if tag == _STATUS]
    except FrameError:
        return False
    return bool(found) and found[-1] == _SERVING
