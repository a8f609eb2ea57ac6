"""
What the first methods of a connection say: who logs in, and what its client can do.

Lives here: `Login`, `read_login`. Does not: passwords, and whether they are right.
"""

from __future__ import annotations

from typing import NamedTuple

from metaproxy.codecs.amqp import fields, methods, wire
from metaproxy.codecs.amqp.methods import METHODS
from metaproxy.message import FrameError


class Login(NamedTuple):
    """
    What connection.start-ok says. user: "" where the mechanism does not tell; blocked: whether the client understands
    connection.blocked.
    """

    mechanism: str
    response: bytes
    user: str
    blocked: bool


def read_login(frame: bytes) -> Login:
    """Raises FrameError where the arguments can't be read."""
    values = wire.read_arguments(frame, METHODS[methods.START_OK])
    mechanism = wire.string_at(values, "mechanism").decode("latin-1")
    response = wire.string_at(values, "response")
    at, end = wire.number_at(values, "client-properties"), wire.frame_end(frame) - 1
    capabilities: dict[bytes, fields.Field] = {}
    for field in fields.table_fields(frame, at, end):
        if field.name == b"capabilities":
            capabilities = fields.find_table(frame, field)
    able = capabilities.get(b"connection.blocked")
    blocked = able is not None and fields.field_text(frame, able) == "true"
    return Login(mechanism, response, _user(mechanism, response), blocked)


def _user(mechanism: str, response: bytes) -> str:
    if mechanism == "PLAIN":
        parts = response.split(b"\0")
        return parts[1].decode("utf-8", "surrogateescape") if len(parts) == 3 else ""
    if mechanism == "AMQPLAIN":
        table = len(response).to_bytes(4, "big") + response
        try:
            for field in fields.table_fields(table, 0, len(table)):
                if field.name == b"LOGIN":
                    return fields.field_text(table, field) or ""
        except FrameError:
            return ""
    return ""
