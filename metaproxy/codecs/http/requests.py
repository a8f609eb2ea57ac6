"""
The head of a request as HTTP/1.1 has it, made a canonical one; and all for which one is refused.

Lives here: `read`. What RFC 9112 leaves to a recipient is refused wherever two of them could differ about where the
message ends or whom it is for: docs/reference/codecs/http.md lists it. Does not: bodies (`chunked`, `client`).
"""

from __future__ import annotations

import re
from typing import Final

from metaproxy.codecs.http.forwarding import FIELDS, Forwarding
from metaproxy.codecs.http.heads import HeadError, Pair, read_request
from metaproxy.codecs.http.model import Head, trailer_block
from metaproxy.codecs.http.rules import Rules

CHUNKED: Final = 1
"""The body is in chunked form."""
CLOSE: Final = 2
"""The client's last request on its connection."""
EXPECTS: Final = 4
"""The client waits for 100 (Continue) before it sends the body."""
H2C: Final = 8
"""The client offers to go on with HTTP/2."""
OLD: Final = 16
"""The client speaks HTTP/1.0."""

_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)([/?].*)?", re.IGNORECASE | re.DOTALL)
_TAKEN = (
    rb"connection|keep-alive|proxy-connection|transfer-encoding|te|upgrade|http2-settings|via|forwarded"
    rb"|x-forwarded-for|x-forwarded-proto"
)
_TAKEN_LINES = re.compile(rb"(?im)^(?:%b):[^\r]*\r\n" % _TAKEN)
_TAKEN_LINES_OF_1_0 = re.compile(rb"(?im)^(?:%b|expect):[^\r]*\r\n" % _TAKEN)
_EMPTY_HOST = re.compile(rb"(?im)^host:[^\r]*\r\n")
_UNNAMEABLE = frozenset((b"host", b"content-length", b"transfer-encoding", b"authorization", b"cookie"))
"""What Connection may not name: a request without them would be another one."""
_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}

_SELDOM = frozenset((b"CONNECT", b"TRACE"))
_KEEP_ALIVE = (b"connection", b"keep-alive")
_KEEP_ALIVE_LINE = b"\r\nConnection: keep-alive\r\n"
"""What browsers say with every request."""

_authorities: dict[bytes, None] = {}
"""Values of Host that were looked at and are right; the same ones come again and again."""
_MOST_AUTHORITIES = 1024


def read(block: bytes, rules: Rules, forwarding: Forwarding) -> tuple[Head, int]:
    """The canonical head of the bytes of one, its empty line included, and its flags. Raises HeadError."""
    method, target, minor, pairs, special = read_request(block)
    if len(pairs) + len(special) > rules.max_fields:
        raise HeadError(f"more than {rules.max_fields} fields", 431)
    if len(target) > rules.max_target:
        raise HeadError(f"a target of more than {rules.max_target} bytes", 414)
    if target[0] == 0x2F and minor == b"1" and b"#" not in target and method not in _SELDOM:
        if len(special) > 1 and _KEEP_ALIVE in special and _KEEP_ALIVE_LINE in block:
            special.remove(_KEEP_ALIVE)
            block = block.replace(_KEEP_ALIVE_LINE, b"\r\n", 1)
        length = -1
        if len(special) == 2 and special[0][0] == b"host" and special[1][0] == b"content-length":
            sized = special.pop()
            length = _length(sized[1], rules)
            pairs.append(sized)
        if len(special) == 1 and special[0][0] == b"host":
            authority = special[0][1]
            if authority not in _authorities:
                check_authority(authority)
            pairs += forwarding.pairs
            frame = b"%b%b\r\n" % (block[:-2], forwarding.lines)
            return Head(frame, pairs, 0, method, forwarding.scheme, authority, target, b"", length), 0
    return _Request(method, target, minor, pairs, special, rules).head(block, forwarding)


def _length(value: bytes, rules: Rules) -> int:
    if not value.isdigit():
        raise HeadError(f"{value[:40]!r} is no Content-Length")
    length = int(value)
    if rules.max_body and length > rules.max_body:
        raise HeadError(f"a body of more than {rules.max_body} bytes", 413)
    return length


def check_authority(authority: bytes) -> None:
    """Raise HeadError for what is no host, or host and port."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None or (match[1] is not None and int(match[1]) > 65535):
        raise HeadError(f"{authority[:60]!r} is no host")
    if len(_authorities) >= _MOST_AUTHORITIES:
        _authorities.clear()
    _authorities[authority] = None


class _Request:
    """A request with any of the special fields, or an unusual target."""

    def __init__(
        self, method: bytes, target: bytes, minor: bytes, pairs: list[Pair], special: list[Pair], rules: Rules
    ) -> None:
        self.method = method
        self.minor = minor
        self.pairs = pairs
        self.special = special
        self.rules = rules
        self.flags = 0
        self.length = -1
        self.kept: list[Pair] = []
        self.protocol = b""
        self.authority = self.host()
        self.path = self.target(target)
        options = self.connection()
        self.framing()
        self.expectation()
        self.te()
        self.upgrade(options)

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.special if key == name]

    def host(self) -> bytes:
        hosts = self.all(b"host")
        if len(hosts) > 1:
            raise HeadError("more than one Host")
        if not hosts:
            if self.minor == b"1":
                raise HeadError("no Host")
            return b""
        if hosts[0] or self.minor == b"1":
            check_authority(hosts[0])
        return hosts[0]

    def target(self, target: bytes) -> bytes:
        """The path with its query; b"" of CONNECT. The authority is taken from where it is."""
        if b"#" in target:
            raise HeadError("a fragment in a target")
        if self.method == b"CONNECT":
            if not self.rules.connect:
                raise HeadError("CONNECT is not let through here", 501)
            check_authority(target)
            if not re.search(rb":[0-9]+$", target) or (self.authority and self.authority.lower() != target.lower()):
                raise HeadError("the target of CONNECT is a host with a port, the same as in Host")
            self.authority = target
            return b""
        if target.startswith(b"/"):
            return target
        if target == b"*":
            if self.method != b"OPTIONS":
                raise HeadError("* is a target of OPTIONS only")
            return target
        return self.absolute(target)

    def absolute(self, target: bytes) -> bytes:
        match = _ABSOLUTE.fullmatch(target)
        if match is None:
            raise HeadError(f"no target: {target[:40]!r}")
        scheme, authority, path = match.groups()
        check_authority(authority)
        port = b":" + _DEFAULT_PORTS[scheme.lower()]
        if self.authority and authority.lower().removesuffix(port) != self.authority.lower().removesuffix(port):
            raise HeadError("a target of another host than Host")
        self.authority = self.authority or authority
        if not path:
            return b"*" if self.method == b"OPTIONS" else b"/"
        return path if path.startswith(b"/") else b"/" + path

    def connection(self) -> frozenset[bytes]:
        """What Connection names, which is taken out. Sets CLOSE."""
        options = frozenset(tokens(self.all(b"connection")))
        if named := options & _UNNAMEABLE:
            raise HeadError(f"Connection names {min(named).decode()}")
        # A proxy keeps no connection of HTTP/1.0 (RFC 9112, appendix C.2.2).
        if self.minor == b"0":
            self.flags |= CLOSE | OLD
        elif b"close" in options:
            self.flags |= CLOSE
        if options:
            self.pairs[:] = [pair for pair in self.pairs if pair[0] not in options]
        self.named = options
        return options

    def framing(self) -> None:
        codings = self.all(b"transfer-encoding")
        lengths = self.all(b"content-length")
        if codings:
            if self.minor == b"0":
                raise HeadError("Transfer-Encoding in HTTP/1.0")
            if lengths:
                raise HeadError("Content-Length beside Transfer-Encoding")
            if len(codings) > 1 or codings[0].lower() != b"chunked":
                raise HeadError("a Transfer-Encoding other than chunked", 501)
            self.flags |= CHUNKED
        elif lengths:
            if len(lengths) > 1:
                raise HeadError("more than one Content-Length")
            self.length = _length(lengths[0], self.rules)
            self.kept.append((b"content-length", lengths[0]))
        if self.method in (b"TRACE", b"CONNECT") and (codings or self.length > 0):
            raise HeadError(f"{self.method.decode()} with a body")

    def has_body(self) -> bool:
        return self.length > 0 or bool(self.flags & CHUNKED)

    def expectation(self) -> None:
        for value in self.all(b"expect"):
            if value.lower() != b"100-continue":
                raise HeadError("an expectation other than 100-continue", 417)
            if self.minor == b"1":
                if not self.flags & EXPECTS:
                    self.kept.append((b"expect", value))
                if self.has_body():
                    self.flags |= EXPECTS

    def te(self) -> None:
        if b"trailers" in tokens(self.all(b"te")):
            self.kept.append((b"te", b"trailers"))

    def upgrade(self, options: frozenset[bytes]) -> None:
        """What the client may go on with. Anything else is passed over, as a server may do."""
        asked = tokens(self.all(b"upgrade"))
        if not asked or b"upgrade" not in options or self.minor == b"0" or self.has_body():
            return
        if b"h2c" in asked:
            if len(self.all(b"http2-settings")) == 1 and b"http2-settings" in options:
                self.flags |= H2C
        elif len(asked) == 1 and asked[0] in self.rules.upgrades and self.method == b"GET":
            self.protocol = asked[0]

    def head(self, block: bytes, forwarding: Forwarding) -> tuple[Head, int]:
        start = block.index(b"\r\n") + 2
        lines = (_TAKEN_LINES if self.minor == b"1" else _TAKEN_LINES_OF_1_0).sub(b"", block[start:-2])
        if self.named:
            lines = b"".join([line for line in lines.splitlines(True) if name_of(line) not in self.named])
        added = forwarding.pairs_for([pair for pair in self.special if pair[0] in FIELDS], self.minor)
        if (b"te", b"trailers") in self.kept:
            lines += b"te: trailers\r\n"
        if not self.authority:
            self.authority = forwarding.host
        if self.minor == b"0" and not any(self.all(b"host")):
            lines = b"host: %b\r\n%b" % (self.authority, _EMPTY_HOST.sub(b"", lines))
        tunnel = b"connection: upgrade\r\nupgrade: %b\r\n" % self.protocol if self.protocol else b""
        frame = b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (
            self.method, self.path or self.authority, lines, trailer_block(added), tunnel,
        )  # fmt: skip
        scheme = added[-1][1]
        pairs = self.pairs + self.kept + added
        head = Head(frame, pairs, 0, self.method, scheme, self.authority, self.path, self.protocol, self.length)
        return head, self.flags


def tokens(values: list[bytes]) -> list[bytes]:
    """The items of lists, in lower case."""
    return [token for value in values for each in value.lower().split(b",") if (token := each.strip(b" \t"))]


def name_of(line: bytes) -> bytes:
    """The name of a field line, in lower case."""
    return line[: line.index(b":")].lower()
