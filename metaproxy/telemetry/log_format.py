"""
Access log formats: lines of text and JSON with Envoy's operators, such as `%DURATION%` and `%REQ(user)%`.

Lives here: the operators, what they read of an exchange, and how a peer's values are made harmless. A format is
compiled once, to a template and one function an operator. Does not: writing (`log_files`), the filter (`access_log`).

Operators and their meaning: Envoy's "Access logging", usage of command operators; ours are marked in OPERATORS. The
table of docs/reference/access-log.md is made from OPERATORS; a test checks that.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from typing import Any, NamedTuple

from metaproxy.message import ErrorKind, FrameError

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
}
"""What `format: json` stands for. The names stay; new ones may join them."""

FLAGS: Mapping[str, str] = {
    ErrorKind.NOT_FOUND.value: "NR",
    ErrorKind.NO_CLUSTER.value: "NC",
    ErrorKind.NO_ENDPOINT.value: "UH",
    ErrorKind.CONNECT.value: "UF",
    ErrorKind.RESET.value: "UC",
    ErrorKind.TIMEOUT.value: "UT",
    ErrorKind.OVERLOAD.value: "UO",
    ErrorKind.LIMITED.value: "RL",
    ErrorKind.DENIED.value: "UAEX",
    ErrorKind.BAD_REQUEST.value: "DPE",
    ErrorKind.BAD_RESPONSE.value: "UPE",
    "downstream_gone": "DC",
}
"""Outcome -> Envoy's response flag; outcomes for which Envoy has no word (unsupported, draining, internal) have none."""

Read = Callable[[Any], Any]
"""Of an exchange: a text, a number, or None when there is nothing to tell."""


class Operator(NamedTuple):
    """
    make: argument -> what reads the value; raises ValueError for an argument that it can't take. told: whether a peer
    chose the value, so that it is escaped and cut. argument: how the docs show it. number: whether JSON has it as it is.
    ours: Envoy has no such operator.
    """

    make: Callable[[str], Read]
    about: str
    told: bool = False
    argument: str = ""
    number: bool = False
    ours: bool = False


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
        template = "".join(_literal(piece) if isinstance(piece, str) else "%s" for piece in pieces)
        return Line(template + "\n", tuple(_as_text(*piece) for piece in pieces if not isinstance(piece, str)))
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
        near = difflib.get_close_matches(name.upper(), OPERATORS, 1)
        hint = f"did you mean %{near[0]}%?" if near else f"there are {', '.join(OPERATORS)}"
        raise ValueError(f"no operator %{name}%; {hint}")
    if operator.argument == "KEY" and not argument:
        raise ValueError(f"%{name}% has no key; write %{name}(KEY)%")
    if argument and not operator.argument:
        raise ValueError(f"%{name}% takes no argument; write %{name}%")
    read = _start_time(argument, offset) if name == "START_TIME" else operator.make(argument)
    return operator, read, min(int(length), MAX_VALUE) if length else MAX_VALUE


# -- showing a value


def _as_text(operator: Operator, read: Read, length: int) -> Read:
    if operator.told:

        def show(exchange: Any) -> str:
            value: str | None = read(exchange)
            if value and value.isprintable() and len(value) <= length and '"' not in value and "\\" not in value:
                return value  # as nearly all are; the rest of the cases is in `harmless`
            return harmless(value, length)

        return show
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
        template = "".join(_literal(piece) if isinstance(piece, str) else "%s" for piece in pieces)
        reads = tuple(_as_text(*piece) for piece in pieces if not isinstance(piece, str))
        return lambda exchange: encode_basestring_ascii(template % tuple([read(exchange) for read in reads]))
    operator, read, length = pieces[0]
    if operator.number:
        return read
    return partial(_told_json, read, length) if operator.told else partial(_json, read, length)


def _json(read: Read, length: int, exchange: Any) -> str:
    value = read(exchange)
    return "null" if value == "-" else encode_basestring_ascii(value[:length])


def _told_json(read: Read, length: int, exchange: Any) -> str:
    value = read(exchange)
    if not value:
        return "null"
    if not value.isascii():  # a lone surrogate is no JSON, whatever Python says
        value = value.encode("utf-8", "replace").decode()
    return encode_basestring_ascii(value[:length])


# -- what operators read


def _attribute(name: str) -> Callable[[str], Read]:
    return lambda argument: attrgetter(name)


def _request(argument: str) -> Read:
    """`KEY`, or `KEY?OTHER` where the second one is taken when there is no first. FrameErrors are no news by now."""
    first, *others = _keys(argument)
    if first.lower() in _RESERVED:
        return _RESERVED[first.lower()]

    def read(exchange: Any) -> str | None:
        try:
            value = exchange.get(first)
            for key in others:
                if value is not None:
                    return str(value)
                value = exchange.get(key)
        except FrameError:
            return None
        return value  # type: ignore[no-any-return]

    return read


def _response(argument: str) -> Read:
    keys = _keys(argument)
    if keys[0].lower() in _RESERVED:
        return _RESERVED[keys[0].lower()]

    def read(exchange: Any) -> str | None:
        response = exchange.response
        if response is None:
            return None
        try:
            for key in keys:
                value: str | None = response.get(key)
                if value is not None:
                    return value
        except FrameError:
            pass
        return None

    return read


def _keys(argument: str) -> list[str]:
    """The spellings to try: metadata has keys as the peer wrote them, and in lower case."""
    keys: list[str] = []
    for word in argument.split("?"):
        if not word:
            raise ValueError(f"%REQ({argument})% has an empty key; write %REQ(KEY)% or %REQ(KEY?OTHER)%")
        keys += [word] if word == word.lower() else [word, word.lower()]
    return keys


_RESERVED: Mapping[str, Read] = {
    "x-meta-protocol-application-protocol": attrgetter("protocol"),
    "x-meta-protocol-real-server-address": attrgetter("upstream_address"),
}
"""Metadata keys that Aeraki's proxy sets itself; formats written for it go on working."""


def _address(side: str, port: bool = True) -> Callable[[str], Read]:
    """An address of the client's connection: a fact, which no metadata that a client sends can replace."""
    host_key, port_key = f"{side}.address", f"{side}.port"

    def read(exchange: Any) -> str | None:
        facts = exchange.client.facts
        host: str | None = facts.get(host_key)
        number = facts.get(port_key) if port else ""
        if not number or host is None:
            return host
        return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"

    return lambda argument: read


def _port(side: str) -> Callable[[str], Read]:
    key = f"{side}.port"
    return lambda argument: lambda exchange: exchange.client.facts.get(key) or "-"


def _duration(argument: str) -> Read:
    if argument == "ms":
        return _milliseconds
    if argument not in ("", "us"):
        raise ValueError(f"%DURATION({argument})% has an unknown unit; write %DURATION%, (ms) or (us)")
    scale = 1e6 if argument else 1e3
    # Durations are differences of two big floats: 0.002 s may be 1.9999 ms.
    return lambda exchange: max(int((exchange.ended - exchange.started) * scale + 1e-3), 0)


def _milliseconds(exchange: Any) -> str:
    duration = exchange.ended - exchange.started
    return f"{duration * 1e3:.3f}" if duration > 0 else "0.000"  # the clock of a machine may be set back


def _code(argument: str) -> Read:
    return lambda exchange: 0 if exchange.outcome in ("ok", "oneway") else 1


def _flags(argument: str) -> Read:
    return lambda exchange: FLAGS.get(exchange.outcome, "-")


def _environment(argument: str) -> Read:
    value = os.environ.get(argument, "-")
    return lambda exchange: value


def _hostname(argument: str) -> Read:
    value = socket.gethostname()
    return lambda exchange: value


# -- the time

_FRACTION = re.compile(r"%([1-9]?)f")
_TIME = "%Y-%m-%dT%H:%M:%S.%3fZ"


def _start_time(argument: str, offset: float = 0.0) -> Read:
    """
    strftime's letters in UTC, and %3f for milliseconds (%1f to %9f). What is the same for a second is made once in it:
    a template with a place for each fraction.
    """
    texts = _FRACTION.split(argument or _TIME)
    widths = [int(width or 9) for width in texts[1::2]]
    scales = [10.0**width for width in widths]
    milliseconds = [f"{number:03}" for number in range(1000)] if widths == [3] else None
    strftime, gmtime = time.strftime, time.gmtime
    known = -1
    before = after = template = ""

    def read(exchange: Any) -> str:
        nonlocal known, before, after, template
        when = exchange.started + offset
        second = int(when)
        if second != known:
            now = gmtime(second)
            before, *shown = [strftime(text, now) if text else "" for text in texts[::2]]
            after = shown[0] if shown else ""
            places = [f"%0{width}d{_literal(text)}" for width, text in zip(widths, shown, strict=True)]
            template = _literal(before) + "".join(places)
            known = second
        fraction = when - second
        if milliseconds is not None:  # as most formats have it; this is a third of the other's time
            return f"{before}{milliseconds[int(fraction * 1000.0)]}{after}"
        return template % tuple([fraction * scale for scale in scales])

    return read


_STRFTIME = "strftime format"

OPERATORS: Mapping[str, Operator] = {
    "START_TIME": Operator(
        _start_time, f"When the request was read, UTC; `{_TIME}` unless a format is given.", argument=_STRFTIME
    ),
    "DURATION": Operator(
        _duration,
        "Time until the end: whole milliseconds; `(ms)`: with three decimals, `(us)`: whole microseconds.",
        argument="unit",
        number=True,
    ),
    "LISTENER": Operator(_attribute("listener"), "The listener's name.", ours=True),
    "PROTOCOL": Operator(_attribute("protocol"), "The codec's name."),
    "OPERATION": Operator(
        lambda argument: _request("operation"), "What was asked for, as `service/method`.", told=True, ours=True
    ),
    "REQ": Operator(_request, "A metadata key of the request. `KEY?OTHER`: OTHER where there is no KEY.", True, "KEY"),
    "RESP": Operator(_response, "A metadata key of the server's answer.", True, "KEY"),
    "OUTCOME": Operator(
        _attribute("outcome"),
        "`ok`, `error` (the server's), `oneway`, `downstream_gone`, or why the proxy answered, such as `timeout`.",
        ours=True,
    ),
    "RESPONSE_CODE": Operator(_code, "0 for `ok` and `oneway`, else 1.", number=True),
    "RESPONSE_CODE_DETAILS": Operator(_attribute("details"), "What the proxy told the client.", told=True),
    "RESPONSE_FLAGS": Operator(_flags, "The outcome as a flag of Envoy's, see below."),
    "BYTES_RECEIVED": Operator(_attribute("request_bytes"), "Bytes of the request.", number=True),
    "BYTES_SENT": Operator(_attribute("response_bytes"), "Bytes of the answer, 0 when none was sent.", number=True),
    "ROUTE_NAME": Operator(_attribute("route"), "The route's name."),
    "UPSTREAM_CLUSTER": Operator(_attribute("cluster"), "The cluster's name."),
    "UPSTREAM_HOST": Operator(_attribute("upstream_address"), "The endpoint that was picked."),
    "DOWNSTREAM_REMOTE_ADDRESS": Operator(_address("source"), "The client's address.", told=True),
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": Operator(_address("source", False), "Without its port.", told=True),
    "DOWNSTREAM_REMOTE_PORT": Operator(_port("source"), "The port alone."),
    "DOWNSTREAM_LOCAL_ADDRESS": Operator(_address("destination"), "The address that the client reached.", told=True),
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": Operator(_address("destination", False), "Without its port.", told=True),
    "DOWNSTREAM_LOCAL_PORT": Operator(_port("destination"), "The port alone."),
    "HOSTNAME": Operator(_hostname, "The name of the machine."),
    "ENVIRONMENT": Operator(_environment, "An environment variable, as it was at the start.", argument="KEY"),
}
"""What may stand between two `%`."""
