"""
An exchange that ended, as JSON has it: for people who look, and for recordings.

Lives here: `decoded`, `metadata`; what of it is masked and cut. Does not: frames (`recording`), where
lines go (`admin`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from metaproxy.message import KIND_NAMES, FrameError, Message
from metaproxy.telemetry.inspect.reasons import why
from metaproxy.telemetry.roles import CompletedExchange
from metaproxy.telemetry.secret_keys import MASK, looks_secret

MAX_KEYS = 64
"""Keys of one message that are shown."""
MAX_VALUE = 1024
"""Characters of a key, and of a value."""


def decoded(exchange: CompletedExchange, offset: float = 0.0, now: float = 0.0) -> dict[str, Any]:
    """
    offset: what makes Unix time of the clock that exchanges were timed with, seconds; now: by that clock, for one that
    is under way.
    """
    facts = exchange.client.facts
    response = exchange.response
    shown: dict[str, Any] = {
        "time": as_time(exchange.started + offset),
        "listener": exchange.listener,
        "protocol": exchange.protocol,
        "source": source(facts),
        "connection": exchange.client.number,
        "operation": readable(exchange, "operation") or "-",
        "route": exchange.route,
        "cluster": exchange.cluster,
        "endpoint": exchange.upstream_address,
        "attempts": exchange.attempts,
        "outcome": exchange.outcome,
        "details": exchange.details[:MAX_VALUE],
        "duration_ms": _ms((exchange.ended or now) - exchange.started),
        "request": {**_message(exchange.message), "bytes": exchange.request_bytes},
        "response": None if response is None else {**_message(response), "bytes": len(response.frame)},
        "response_bytes": exchange.response_bytes,
        "why": why(exchange),
    }
    if exchange.streamed:
        first = exchange.first_byte
        shown["stream"] = {
            "id": exchange.message.id,
            "first_byte_ms": _ms(first - exchange.started) if first else None,
            "request": {"chunks": exchange.request_chunks},
            "response": {"chunks": exchange.response_chunks},
        }
        if response is not None:
            shown["response"]["bytes"] = exchange.response_bytes
    return shown


def _ms(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 3)


def as_time(unix: float) -> str:
    """Return Unix time as people and machines read it."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def source(facts: Mapping[str, str]) -> str:
    """Who is at the other end of a client's connection."""
    host, port = facts.get("source.address", "-"), facts.get("source.port")
    if not port:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def readable(exchange: CompletedExchange, key: str, most: int = MAX_VALUE) -> str | None:
    """Return a key of the exchange, cut; None where it is missing or can't be read."""
    try:
        value = exchange.get(key)
    except FrameError:
        return None
    return value[:most] if value else None


def _message(message: Message) -> dict[str, object]:
    return {"kind": KIND_NAMES[message.kind], "metadata": metadata(message)}


def metadata(message: Message) -> dict[str, str]:
    """
    What the codec reads of a message, in the peer's spelling: codecs give keys in lower case as well, which is left
    out here. Values of keys that sound like secrets are masked, long ones cut, and what is more than MAX_KEYS left out.
    """
    known = dict(message.known())
    known.pop("kind", None)
    spelled = {key.lower() for key in known if key != key.lower()}
    shown = [key for key in known if key not in spelled][:MAX_KEYS]
    return {
        key[:MAX_VALUE]: MASK if known[key] and looks_secret(key, known[key]) else known[key][:MAX_VALUE]
        for key in shown
    }
