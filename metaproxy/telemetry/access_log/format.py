"""
Access log formats: lines of text and JSON with Envoy's operators, such as `%DURATION%` and `%REQ(user)%`.

Lives here: compiling a format, once, to a template and one function an operator; making a peer's values harmless.
Does not: what operators there are (`operators`), writing (`files`), the filter (`filter`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import NamedTuple

from metaproxy.support.nearest_name import nearest_name
from metaproxy.telemetry.access_log.operators import OPERATORS, Operator, Read, start_time
from metaproxy.telemetry.roles import CompletedExchange

MAX_VALUE = 1024
"""Characters of one value; `%REQ(KEY):N%` allows fewer. What a peer sends may be as long as a frame."""

TEXT = (
    '[%START_TIME%] %LISTENER% %PROTOCOL% "%OPERATION%" %OUTCOME% %RESPONSE_FLAGS% %DURATION(ms)% %BYTES_RECEIVED% '
    "%BYTES_SENT% %DOWNSTREAM_REMOTE_ADDRESS% %ROUTE_NAME% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% "
    '"%RESPONSE_CODE_DETAILS%"'
)
"""What `format: text` stands for."""

FIELDS: Mapping[str, str] = {
    "time": "%START_TIME%",
    "listener": "%LISTENER%",
    "protocol": "%PROTOCOL%",
    "operation": "%OPERATION%",
    "outcome": "%OUTCOME%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "duration_ms": "%DURATION(ms)%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "route": "%ROUTE_NAME%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "upstream": "%UPSTREAM_HOST%",
    "request_id": "%STREAM_ID%",
    "trace_id": "%TRACE_ID%",
}
"""What `format: json` stands for. The names stay; new ones may join them."""


class Line(NamedTuple):
    """A compiled format. template: with a `%s` for each of `reads`; a line break is at its end."""

    template: str
    reads: tuple[Read, ...]


def compile_format(format: str | Mapping[str, str], offset: float = 0.0) -> Line:
    """
    format: 'text', 'json', a line with operators, or field -> text with operators, for JSON. offset: what makes Unix
    time of the clock that exchanges were timed with, seconds. Raises ValueError with what to write instead.
    """
    if format == "json":
        format = FIELDS
    if isinstance(format, str):
        pieces = _pieces(TEXT if format == "text" else format, offset)
        template, shown = _template(pieces)
        if not shown:
            raise ValueError(f"{format!r} is no format; write text, json, or a line with operators such as %DURATION%")
        return Line(template + "\n", shown)
    parts, reads = [], []
    for name, value in format.items():
        parts.append(f"{_literal(encode_basestring_ascii(name))}: %s")
        reads.append(_as_json(_pieces(value, offset)))
    return Line("{" + ", ".join(parts) + "}\n", tuple(reads))


# -- reading a format

_OPERATOR = re.compile(r"%(?:%|(\w+)(?:\(([^)]*)\))?(?::(\d+))?%)")

_Piece = str | tuple[Operator, Read, int]
"""A literal; or an operator, what reads its value, and how many characters are shown."""


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def _pieces(format: str, offset: float) -> list[_Piece]:
    if "\n" in format.removesuffix("\n"):
        raise ValueError("a line break within the format; a log has one line for each exchange")
    format = format.removesuffix("\n")
    pieces: list[_Piece] = []
    at = 0
    while at < len(format):
        percent = format.find("%", at)
        if percent != at:
            pieces.append(format[at : percent if percent >= 0 else None])
            at = percent if percent >= 0 else len(format)
            continue
        found = _OPERATOR.match(format, at)
        if found is None:
            raise ValueError(f"{format[at : at + 20]!r} is no operator; write %NAME%, %NAME(ARGUMENT)%, or %% for a %")
        pieces.append(_operator(found, offset) if found[1] else "%")
        at = found.end()
    return pieces


def _operator(found: re.Match[str], offset: float) -> _Piece:
    name, argument, length = found[1], found[2] or "", found[3]
    operator = OPERATORS.get(name)
    if operator is None:
        near = nearest_name(name.upper(), OPERATORS)
        hint = f"did you mean %{near}%?" if near else f"there are {', '.join(OPERATORS)}"
        raise ValueError(f"no operator %{name}%; {hint}")
    if operator.argument == "KEY" and not argument:
        raise ValueError(f"%{name}% has no key; write %{name}(KEY)%")
    if argument and not operator.argument:
        raise ValueError(f"%{name}% takes no argument; write %{name}%")
    read = start_time(argument, offset) if name == "START_TIME" else operator.make(argument)
    return operator, read, min(int(length), MAX_VALUE) if length else MAX_VALUE


# -- showing a value


def _template(pieces: list[_Piece]) -> tuple[str, tuple[Read, ...]]:
    template = "".join(_literal(piece) if isinstance(piece, str) else "%s" for piece in pieces)
    return template, tuple(_as_text(*piece) for piece in pieces if not isinstance(piece, str))


def _as_text(operator: Operator, read: Read, length: int) -> Read:
    if operator.sent:

        def show(exchange: CompletedExchange) -> str:
            value: str | None = read(exchange)
            if value and value.isprintable() and len(value) <= length and '"' not in value and "\\" not in value:
                return value  # as nearly all are; the rest of the cases is in `harmless`
            return harmless(value, length)

        return show
    if operator.optional:
        return lambda exchange: "-" if (value := read(exchange)) is None else str(value)[:length]
    if length < MAX_VALUE:
        return lambda exchange: str(read(exchange))[:length]
    return read


def harmless(value: str | None, length: int = MAX_VALUE) -> str:
    """A peer's value without what could end a line, a quoted text or a colour; '-' when there is none."""
    if not value:
        return "-"
    return "".join([char if char.isprintable() and char not in '"\\' else _escape(char) for char in value[:length]])


def _escape(char: str) -> str:
    return f"\\{char}" if char in '"\\' else char.encode("unicode_escape").decode()


def _as_json(pieces: list[_Piece]) -> Read:
    """One operator alone keeps its type: a number, a text or null; anything else is a text."""
    if len(pieces) != 1 or isinstance(pieces[0], str):
        template, reads = _template(pieces)
        return lambda exchange: encode_basestring_ascii(template % tuple([read(exchange) for read in reads]))
    operator, read, length = pieces[0]
    if operator.optional:
        return lambda exchange: "null" if (value := read(exchange)) is None else value
    if operator.number:
        return read
    quote = encode_basestring_ascii
    if not operator.sent:
        # What the configuration names is short.
        cut = None if length == MAX_VALUE else length
        return lambda exchange: "null" if (value := read(exchange)) == "-" else quote(value[:cut] if cut else value)

    def show(exchange: CompletedExchange) -> str:
        value = read(exchange)
        if not value:
            return "null"
        if not value.isascii():  # a lone surrogate is no JSON, whatever Python says
            value = value.encode("utf-8", "replace").decode()
        return quote(value[:length])

    return show
