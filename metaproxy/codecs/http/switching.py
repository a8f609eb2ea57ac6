"""
How a connection of HTTP/1.1 goes on with HTTP/2: by ALPN, by its first bytes, by an Upgrade to h2c.

Lives here: `Switching`, the part of a client's session that hands its work to a session of HTTP/2, and shows the state
of that as its own. Does not: HTTP/1.1 (`client`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping

from metaproxy.codecs.framing import Session
from metaproxy.codecs.http.http2 import Http2Client
from metaproxy.codecs.http.model import Head, whole
from metaproxy.codecs.http.rules import Rules
from metaproxy.message import ErrorKind, FrameError, Message

_HTTP2_SETTINGS = re.compile(rb"(?im)^http2-settings:[ \t]*([^\r]*?)[ \t]*\r\n")
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"


class Switching(Session):
    """http2: makes the session of a client that speaks HTTP/2, None where it may not. `_second`: that session."""

    __slots__ = ("_greeting", "_http2", "_rules", "_second")

    def __init__(self, rules: Rules, http2: Callable[[], Http2Client] | None) -> None:
        self._rules = rules
        self._http2 = http2
        self._second: Http2Client | None = None
        self._greeting = b""

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        if self.facts.get("tls.alpn") == "h2" and self._http2 is not None:
            second = self._change()
            greeting = second.open(profile, credentials)
            self._mirror(second)
            return greeting
        return b""

    def reset(self, id: int, kind: ErrorKind | None, text: str) -> bytes | None:
        if self._second is None:
            return None
        data = self._second.reset(id, kind, text)
        self._mirror(self._second)
        return data

    def credit(self, id: int, size: int) -> None:
        if self._second is not None:
            self._second.credit(id, size)
            self._mirror(self._second)

    def beat(self, now: float) -> None:
        if self._second is not None:
            self._second.beat(now)
            self._mirror(self._second)

    def unsent_bytes(self, id: int) -> int:
        return 0 if self._second is None else self._second.unsent_bytes(id)

    def _upgrade(self, block: bytes, head: Head, messages: list[Message]) -> bool:
        """Go on with HTTP/2, if the client's settings are right: its request is stream 1."""
        if self._http2 is None:
            return False
        given = _HTTP2_SETTINGS.search(block)
        second = self._http2()
        second.facts = self.facts
        try:
            second.adopt(given[1].decode("ascii") if given is not None else "", head)
        except (FrameError, UnicodeDecodeError):
            return False
        self._greeting = _SWITCHING + second.open(None, {})
        self._second = second
        messages.append(whole(head, b"", 1, self._rules.more))
        self._mirror(second)
        return True

    def _change(self) -> Http2Client:
        """From now on this connection speaks HTTP/2."""
        assert self._http2 is not None
        second = self._second = self._http2()
        second.facts = self.facts
        self._mirror(second)
        return second

    def _mirror(self, second: Http2Client) -> None:
        """Show the state of the session that does the work."""
        self.error = second.error
        self.buffered = second.buffered
        self.closing = second.closing
        self.owes = second.owes or bool(self._greeting)
        self.capacity = second.capacity
        self.flow = second.flow
