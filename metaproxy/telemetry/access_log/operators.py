"""
What may stand between two `%` of an access log's format, and what it reads of an exchange.

Lives here: OPERATORS, and one function for each. Does not: formats, escaping (`format`).

Names and meaning: Envoy's "Access logging", usage of command operators; what Envoy has not is marked. The table of
docs/reference/access-log.md is made from OPERATORS.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from metaproxy.counts import WELL
from metaproxy.message import ErrorKind, FrameError
from metaproxy.telemetry.roles import CompletedExchange

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
"""Outcome -> Envoy's response flag. Those for which Envoy has no word (unsupported, draining, internal) have none."""

Read = Callable[[CompletedExchange], Any]
"""Reads of an exchange a text, a number, or None when there is nothing to log."""


class Operator(NamedTuple):
    """
    make: argument -> what reads the value; raises ValueError for an argument that it can't take. sent: whether a
    peer chose the value, so that it is escaped and cut. argument: how the docs show it. number: JSON has it without
    quotes. ours: Envoy has no such operator. optional: a number that may be missing (None).
    """

    make: Callable[[str], Read]
    about: str
    sent: bool = False
    argument: str = ""
    number: bool = False
    ours: bool = False
    optional: bool = False


# -- what operators read


def _attribute(name: str) -> Callable[[str], Read]:
    return lambda argument: attrgetter(name)


def _request(argument: str) -> Read:
    """`KEY`, or `KEY?OTHER`: the second one is taken when there is no first. What can't be decoded is not there."""
    keys = _keys(argument)
    if keys[0].lower() in _RESERVED:
        return _RESERVED[keys[0].lower()]

    def read(exchange: CompletedExchange) -> str | None:
        try:
            for key in keys:
                value = exchange.get(key)
                if value is not None:
                    return value
        except FrameError:
            pass
        return None

    return read


def _response(argument: str) -> Read:
    keys = _keys(argument)
    if keys[0].lower() in _RESERVED:
        return _RESERVED[keys[0].lower()]

    def read(exchange: CompletedExchange) -> str | None:
        response = exchange.response
        if response is None:
            return None
        try:
            for key in keys:
                value = response.get(key)
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

    def read(exchange: CompletedExchange) -> str | None:
        facts = exchange.client.facts
        host = facts.get(host_key)
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
    scale = _scale("DURATION", argument)
    # Durations are differences of two big floats: 0.002 s may be 1.9999 ms.
    return lambda exchange: max(int((exchange.ended - exchange.started) * scale + 1e-3), 0)


def _scale(name: str, argument: str) -> float:
    if argument not in ("", "us"):
        raise ValueError(f"%{name}({argument})% has an unknown unit; write %{name}%, (ms) or (us)")
    return 1e6 if argument else 1e3


def _part(name: str, seconds: Callable[[CompletedExchange], float]) -> Callable[[str], Read]:
    """A part of an exchange's time, in the units of DURATION; None where the answer never began."""

    def make(argument: str) -> Read:
        if argument == "ms":
            return lambda exchange: f"{max(seconds(exchange), 0.0) * 1e3:.3f}" if exchange.first_byte else None
        scale = _scale(name, argument)
        return lambda exchange: max(int(seconds(exchange) * scale + 1e-3), 0) if exchange.first_byte else None

    return make


def _milliseconds(exchange: CompletedExchange) -> str:
    duration = exchange.ended - exchange.started
    return f"{duration * 1e3:.3f}" if duration > 0 else "0.000"  # the clock of a machine may be set back


def _code(argument: str) -> Read:
    return lambda exchange: 0 if exchange.outcome in WELL else 1


def flags(exchange: CompletedExchange) -> str:
    """The flags of an exchange that is over; with URX when its route's retries were used up."""
    flag = FLAGS.get(exchange.outcome, "-")
    if flag != "-":
        allowed: int | None = getattr(exchange.matched_route.retry, "attempts", None)
        if allowed is not None and exchange.attempts > allowed:
            return f"{flag},URX"
    return flag


def _flags(argument: str) -> Read:
    return flags


def _connect_failure(argument: str) -> Read:
    return lambda exchange: exchange.details if exchange.outcome == ErrorKind.CONNECT.value else None


def _learnt(key: str) -> Callable[[str], Read]:
    """What a filter of ours found out, which no client can send."""

    def read(exchange: CompletedExchange) -> str | None:
        learnt = exchange.learnt
        return None if learnt is None else learnt.get(key)

    return lambda argument: read


def _environment(argument: str) -> Read:
    value = os.environ.get(argument, "-")
    return lambda exchange: value


def _fact(name: str) -> Callable[[str], Read]:
    """Another fact of the client's connection; a certificate, or a name asked for, is what the client made it."""
    return lambda argument: lambda exchange: exchange.client.facts.get(name)


def _hostname(argument: str) -> Read:
    value = socket.gethostname()
    return lambda exchange: value


# -- the time


def _doubled(text: str) -> str:
    return text.replace("%", "%%")


_FRACTION = re.compile(r"%([1-9]?)f")
_TIME = "%Y-%m-%dT%H:%M:%S.%3fZ"


def start_time(argument: str, offset: float = 0.0) -> Read:
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

    def read(exchange: CompletedExchange) -> str:
        nonlocal known, before, after, template
        when = exchange.started + offset
        second = int(when)
        if second != known:
            now = gmtime(second)
            before, *shown = [strftime(text, now) if text else "" for text in texts[::2]]
            after = shown[0] if shown else ""
            places = [f"%0{width}d{_doubled(text)}" for width, text in zip(widths, shown, strict=True)]
            template = _doubled(before) + "".join(places)
            known = second
        fraction = when - second
        if milliseconds is not None:  # as most formats have it; this is a third of the other's time
            return f"{before}{milliseconds[int(fraction * 1000.0)]}{after}"
        return template % tuple([fraction * scale for scale in scales])

    return read


_STRFTIME = "strftime format"

OPERATORS: Mapping[str, Operator] = {
    "START_TIME": Operator(
        start_time, f"When the request was read, UTC; `{_TIME}` unless a format is given.", argument=_STRFTIME
    ),
    "DURATION": Operator(
        _duration,
        "Time until the end: whole milliseconds; `(ms)`: with three decimals, `(us)`: whole microseconds.",
        argument="unit",
        number=True,
    ),
    "RESPONSE_DURATION": Operator(
        _part("RESPONSE_DURATION", lambda exchange: exchange.first_byte - exchange.started),
        "Time until the first byte of the answer was on its way to the client; units as for DURATION.",
        argument="unit",
        number=True,
        optional=True,
    ),
    "RESPONSE_TX_DURATION": Operator(
        _part("RESPONSE_TX_DURATION", lambda exchange: exchange.ended - exchange.first_byte),
        "Time from there to the end: how long the answer's stream lasted, 0 for a whole answer.",
        argument="unit",
        number=True,
        optional=True,
    ),
    "LISTENER": Operator(_attribute("listener"), "The listener's name.", ours=True),
    "PROTOCOL": Operator(_attribute("protocol"), "The codec's name."),
    "OPERATION": Operator(
        lambda argument: _request("operation"), "What was asked for, as `service/method`.", sent=True, ours=True
    ),
    "REQ": Operator(_request, "A metadata key of the request. `KEY?OTHER`: OTHER where there is no KEY.", True, "KEY"),
    "RESP": Operator(_response, "A metadata key of the server's answer.", True, "KEY"),
    "OUTCOME": Operator(
        _attribute("outcome"),
        "`ok`, `error` (the server's), `oneway`, `event` (a server's push), `downstream_gone`, or why the proxy "
        "answered, such as `timeout`.",
        ours=True,
    ),
    "RESPONSE_CODE": Operator(_code, "0 for `ok`, `oneway` and `event`, else 1.", number=True),
    "RESPONSE_CODE_DETAILS": Operator(
        _attribute("details"), "The proxy's own answer in words, or what filters noted.", sent=True
    ),
    "RESPONSE_FLAGS": Operator(_flags, "The outcome as a flag of Envoy's, see below."),
    "BYTES_RECEIVED": Operator(_attribute("request_bytes"), "Bytes of the request, its chunks included.", number=True),
    "BYTES_SENT": Operator(
        _attribute("response_bytes"), "Bytes of the answer, its chunks included; 0 when none was sent.", number=True
    ),
    "REQUEST_CHUNKS": Operator(
        _attribute("request_chunks"), "Chunks behind the request's head; 0 for a whole request.", number=True, ours=True
    ),
    "RESPONSE_CHUNKS": Operator(
        _attribute("response_chunks"), "Chunks behind the answer's head; 0 for a whole answer.", number=True, ours=True
    ),
    "ROUTE_NAME": Operator(_attribute("route"), "The route's name."),
    "UPSTREAM_CLUSTER": Operator(_attribute("cluster"), "The cluster's name."),
    "STREAM_ID": Operator(
        _learnt("x-request-id"), "The request id, the client's or made here, of listeners with `tracing:`.", True
    ),
    "TRACE_ID": Operator(_learnt("trace.id"), "The trace's id, of requests that are traced.", sent=True),
    "UPSTREAM_HOST": Operator(_attribute("upstream_address"), "The endpoint that was picked."),
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": Operator(
        _attribute("attempts"), "How often it was sent; 0 when it never was.", number=True
    ),
    "UPSTREAM_TRANSPORT_FAILURE_REASON": Operator(
        _connect_failure, "Why no connection could be had, where the outcome is `connect`.", sent=True
    ),
    "DOWNSTREAM_REMOTE_ADDRESS": Operator(_address("source"), "The client's address.", sent=True),
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": Operator(_address("source", False), "Without its port.", sent=True),
    "DOWNSTREAM_REMOTE_PORT": Operator(_port("source"), "The port alone."),
    "DOWNSTREAM_LOCAL_ADDRESS": Operator(_address("destination"), "The address that the client reached.", sent=True),
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": Operator(_address("destination", False), "Without its port.", sent=True),
    "DOWNSTREAM_LOCAL_PORT": Operator(_port("destination"), "The port alone."),
    "DOWNSTREAM_PEER_URI_SAN": Operator(_fact("source.uri_san"), "The URIs of the client's certificate.", True),
    "DOWNSTREAM_PEER_DNS_SAN": Operator(_fact("source.dns_san"), "The DNS names of the client's certificate.", True),
    "DOWNSTREAM_PEER_SUBJECT": Operator(_fact("source.subject"), "The subject of the client's certificate.", True),
    "DOWNSTREAM_TLS_VERSION": Operator(_fact("tls.version"), "The version of TLS.", True),
    "REQUESTED_SERVER_NAME": Operator(_fact("tls.sni"), "The name that the client asked for (SNI).", True),
    "HOSTNAME": Operator(_hostname, "The name of the machine."),
    "ENVIRONMENT": Operator(_environment, "An environment variable, as it was at the start.", True, "KEY"),
}
"""What may stand between two `%`."""
