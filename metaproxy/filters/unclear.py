"""
Requests of which a server may see other values than `get` gives: a key that was given twice, or can't be read.

Lives here: `is_unclear` and `values_of`, for filters that must not be fooled by that. Does not: what follows from it.
"""

from __future__ import annotations

from metaproxy.interfaces import IExchange
from metaproxy.message import Both, Message
from metaproxy.routing.expression import Values
from metaproxy.routing.matcher import FACTS


def is_unclear(message: Message) -> bool:
    """
    Whether a server may see other values than `get` gave. What a filter asked for may be said again further on in the
    frame, so that is read too. Raises FrameError when it can't be decoded.
    """
    if message.more is not None and message.metadata is not None:
        message.read()
    return getattr(message, "unclear", None) is not None


def values_of(exchange: IExchange) -> Values:
    """`exchange.get`, with all values that the server may see."""
    message = exchange.message

    def values(key: str) -> tuple[str | None, ...]:
        if key.startswith(FACTS) or (exchange.learnt is not None and key in exchange.learnt):
            return (exchange.get(key),)
        found: tuple[str | None, ...] = message.values(key)
        return found

    return values


def has_one_value(exchange: IExchange, key: str) -> bool:
    """
    Whether a server sees the value that `exchange.get` gives, or none as we do. A generic call's method, which is two
    things at once, is no doubt. Raises FrameError when the metadata can't be decoded.
    """
    exchange.get(key)
    if not is_unclear(exchange.message):
        return True
    found = values_of(exchange)(key.lower() if not key.startswith(FACTS) else key)
    return len(found) == 1 or isinstance(found, Both)
