"""
What this proxy adds to requests: Via, X-Forwarded-For and X-Forwarded-Proto.

Lives here: `Forwarding`, one a connection of a client. Does not: taking the old fields out of a frame (who reads it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metaproxy.codecs.http.heads import Pair
from metaproxy.codecs.http.model import Head, request_head, trailer_block

FIELDS = frozenset((b"via", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto"))
"""The fields that are taken from a request and given to it again by `Forwarding.pairs_for`."""


class Forwarding:
    """
    facts: of the client's connection. hops: proxies in front of this one that are believed: so many of the last
    addresses in X-Forwarded-For are kept, and the peer's own is put behind them. Without any, what clients say of
    themselves is dropped.

    pairs, lines: what a request gets that has none of these fields; scheme: what its client used; host: what a request
    of HTTP/1.0 is for that does not say so, the address it came to.
    """

    __slots__ = ("_address", "_hops", "_via", "host", "lines", "pairs", "scheme")

    def __init__(self, facts: Mapping[str, str], via: bytes, hops: int, version: bytes = b"1.1") -> None:
        self._address = facts.get("source.address", "").encode("latin-1", "replace") or b"unknown"
        self._hops = hops
        self._via = b"%b %b" % (version, via) if via else b""
        self.scheme = b"https" if "tls.version" in facts else b"http"
        self.host = _host(facts)
        self.pairs = self.pairs_for(())
        self.lines = trailer_block(self.pairs)

    def pairs_for(self, given: Sequence[Pair], minor: bytes = b"1") -> list[Pair]:
        """The fields of a request, of which it has `given`; minor: version of its HTTP/1, if it came by that."""
        via = [value for name, value in given if name == b"via"]
        pairs: list[Pair] = []
        if self._via:
            via.append(self._via if minor == b"1" else self._via.replace(b"1.1 ", b"1.0 ", 1))
        if via:
            pairs.append((b"via", b", ".join(via)))
        addresses: list[bytes] = []
        scheme = self.scheme
        if self._hops:
            for name, value in given:
                if name == b"x-forwarded-for":
                    addresses += [address for each in value.split(b",") if (address := each.strip())]
                elif name == b"x-forwarded-proto" and value.lower() in (b"http", b"https"):
                    scheme = value.lower()
                elif name == b"forwarded":
                    pairs.append((name, value))
        addresses = [*addresses[-self._hops :], self._address] if self._hops else [self._address]
        pairs.append((b"x-forwarded-for", b", ".join(addresses)))
        pairs.append((b"x-forwarded-proto", scheme))
        return pairs

    def applied(self, head: Head) -> Head:
        """The head of a request that came by HTTP/2, with these fields."""
        given = [pair for pair in head.pairs if pair[0] in FIELDS]
        pairs = head.pairs
        if given:
            pairs = [pair for pair in pairs if pair[0] not in FIELDS]
        added = self.pairs_for(given) if given else self.pairs
        scheme = added[-1][1]
        return request_head(head.method, head.path, head.authority, pairs + added, scheme, head.protocol, head.length)


def _host(facts: Mapping[str, str]) -> bytes:
    address, port = facts.get("destination.address", ""), facts.get("destination.port", "")
    if not address or not port:  # such as a Unix socket
        return b"localhost"
    return (f"[{address}]:{port}" if ":" in address else f"{address}:{port}").encode()
