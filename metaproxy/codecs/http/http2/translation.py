"""
Between the fields of HTTP/2 and the heads of the model (RFC 9113, section 8; RFC 8441).

Lives here: what a list of fields must be to be a request, an answer or trailers, and the lists that are sent for a
head. Does not: compression; streams.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable

from metaproxy.codecs.http.heads import HeadError
from metaproxy.codecs.http.http2.compression import Field
from metaproxy.codecs.http.http2.frames import Code, StreamFault
from metaproxy.codecs.http.model import Head, Pair, answer_head, request_head
from metaproxy.codecs.http.requests import check_authority
from metaproxy.codecs.http.rules import Rules

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]++")
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++")
_PATH = re.compile(rb"/[!-\"$-~]*+|\*")  # visible, without #
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*+")
_PROTOCOL = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z/]++")
_STATUS = re.compile(rb"[1-9][0-9][0-9]")
_BAD_VALUE = re.compile(rb"[\0-\x08\x0a-\x1f\x7f]|\A[ \t]|[ \t]\Z")  # as in HTTP/1.1, which it may be written in

_NEIGHBOURS = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
"""Fields about the connection, which HTTP/2 does not have."""

_NOT_TRAILERS = _NEIGHBOURS | {b"content-length", b"host", b"te"}

_OF_REQUEST = frozenset((b":method", b":scheme", b":authority", b":path", b":protocol"))
_OF_ANSWER = frozenset((b":status",))
_NO_PSEUDO: frozenset[bytes] = frozenset()

_known_names: set[bytes] = set()
"""Names that were found right, for senders use few; at most `_MOST_NAMES`."""
_MOST_NAMES = 1024

_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def malformed(text: str) -> StreamFault:
    """The error of a message that breaks the rules of section 8."""
    return StreamFault(Code.PROTOCOL_ERROR, text)


def _split(
    fields: Iterable[Field], pseudo: frozenset[bytes], refused: frozenset[bytes]
) -> tuple[dict[bytes, bytes], list[Pair], int]:
    """The pseudo fields, the others, and the content-length (-1 without one). Raises StreamFault."""
    first: dict[bytes, bytes] = {}
    pairs: list[Pair] = []
    length = -1
    cookies = 0
    for pair in fields:
        name, value = pair
        if name[:1] == b":":
            if pairs or name in first or name not in pseudo:
                raise malformed(f"the field {name!r} twice, behind other fields, or where it has no place")
            if _BAD_VALUE.search(value):
                raise malformed(f"a value of {name!r} that none can have")
            first[name] = value
            continue
        if name not in _known_names:
            _learn_name(name)
        if _BAD_VALUE.search(value):
            raise malformed(f"a value of {name!r} that none can have")
        if name in refused:
            raise malformed(f"the field {name!r}")
        if name == b"content-length":
            length = _length(value, length)
        elif name == b"te" and value.lower() != b"trailers":
            raise malformed("te is 'trailers' or absent")
        elif name == b"cookie":
            cookies += 1
        pairs.append(pair)
    return first, _joined(pairs) if cookies > 1 else pairs, length


def _learn_name(name: bytes) -> None:
    if not _NAME.fullmatch(name):
        raise malformed(f"a field's name is lower case: {name[:40]!r}")
    if len(_known_names) < _MOST_NAMES and len(name) <= 64:
        _known_names.add(name)


def _length(value: bytes, before: int) -> int:
    if not value.isdigit() or len(value) > 18 or before not in (-1, int(value)):
        raise malformed(f"content-length {value[:40]!r}")
    return int(value)


def _joined(pairs: list[Pair]) -> list[Pair]:
    """The fields with one cookie: HTTP/2 may cut it into several, other versions must not (section 8.2.3)."""
    whole = b"; ".join([value for name, value in pairs if name == b"cookie"])
    kept: list[Pair] = []
    for pair in pairs:
        if pair[0] != b"cookie":
            kept.append(pair)
        elif whole:
            kept.append((b"cookie", whole))
            whole = b""
    return kept


def request(fields: list[Field], rules: Rules) -> Head:
    """The head of a request. Raises StreamFault for a malformed one, HeadError for one that is refused."""
    first, pairs, length = _split(fields, _OF_REQUEST, _NEIGHBOURS)
    if len(pairs) > rules.max_fields:
        raise HeadError(f"more than {rules.max_fields} fields", 431)
    if rules.max_body and length > rules.max_body:
        raise HeadError(f"a body of more than {rules.max_body} bytes", 413)
    method, path, scheme = first.get(b":method", b""), first.get(b":path"), first.get(b":scheme")
    protocol, authority = first.get(b":protocol"), first.get(b":authority")
    pairs, authority = _host(pairs, authority)
    if not _METHOD.fullmatch(method):
        raise malformed(f":method {method[:40]!r}")
    if method == b"CONNECT" and protocol is None:
        if path is not None or scheme is not None or not authority:
            raise malformed("CONNECT has :method and :authority, and no other")
        if not rules.connect:
            raise HeadError("CONNECT is not let through here", 501)
        return request_head(method, b"", authority, pairs, length=length)
    if scheme is None or not _SCHEME.fullmatch(scheme):
        raise malformed(f":scheme {scheme!r}")
    if path is None or not _PATH.fullmatch(path) or (path == b"*" and method != b"OPTIONS"):
        raise malformed(f":path {path!r:.80}")
    if len(path) > rules.max_target:
        raise HeadError(f"a target of more than {rules.max_target} bytes", 414)
    if protocol is None:
        return request_head(method, path, authority, pairs, scheme, length=length)
    if method != b"CONNECT" or not authority or not _PROTOCOL.fullmatch(protocol):
        raise malformed(":protocol is for CONNECT with :authority")
    if protocol.lower() not in rules.upgrades:
        raise HeadError(f"{protocol[:40]!r} is not let through here", 501)
    if protocol == b"websocket":
        pairs = [*pairs, (b"sec-websocket-key", base64.b64encode(os.urandom(16)))]
    return request_head(b"GET", path, authority, pairs, scheme, protocol)


def _host(pairs: list[Pair], authority: bytes | None) -> tuple[list[Pair], bytes]:
    """The fields without `host` and what they say of it. Raises StreamFault where host and :authority disagree."""
    hosts = [value for name, value in pairs if name == b"host"]
    if hosts:
        pairs = [pair for pair in pairs if pair[0] != b"host"]
        if authority is None and len(hosts) == 1:
            authority = hosts[0]
        elif any(host.lower() != (authority or b"").lower() for host in hosts):
            raise malformed("host and :authority differ")
    authority = authority or b""
    try:
        check_authority(authority)
    except HeadError as error:
        raise malformed(str(error)) from None
    return pairs, authority


def answer(fields: Iterable[Field]) -> Head:
    """The head of an answer. Raises StreamFault for a malformed one."""
    first, pairs, length = _split(fields, _OF_ANSWER, _NEIGHBOURS)
    status = first.get(b":status", b"")
    if not _STATUS.fullmatch(status) or status == b"101":
        raise malformed(f":status {status[:40]!r}")
    return answer_head(int(status), pairs, length=length)


def trailers(fields: Iterable[Field]) -> list[Pair]:
    """The fields behind a body. Raises StreamFault for what can't stand there."""
    return _split(fields, _NO_PSEUDO, _NOT_TRAILERS)[1]


def upgraded(head: Head, protocol: bytes, key: bytes) -> Head:
    """The answer 101 of the model, for a 2xx of a server to an extended CONNECT. key: of the client's handshake."""
    pairs = head.pairs
    if key:
        accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET).digest())
        pairs = [*pairs, (b"sec-websocket-accept", accept)]
    granted = answer_head(101, pairs, protocol)
    granted.never = head.never
    return granted


def request_fields(head: Head, extended: bool) -> list[Field]:
    """The list for a request. extended: the server takes extended CONNECT; else an Upgrade is left out, as it may."""
    if head.method == b"CONNECT":
        return [(b":method", b"CONNECT"), (b":authority", head.authority), *head.pairs]
    if head.protocol and extended:
        pairs = [pair for pair in head.pairs if pair[0] != b"sec-websocket-key"]
        return [
            (b":method", b"CONNECT"), (b":protocol", head.protocol), (b":scheme", head.scheme),
            (b":path", head.path), (b":authority", head.authority), *pairs,
        ]  # fmt: skip
    fields = [(b":method", head.method), (b":scheme", head.scheme), (b":path", head.path)]
    if head.authority:
        fields.append((b":authority", head.authority))
    return fields + head.pairs


def answer_fields(head: Head) -> list[Field]:
    """The list for an answer; 101 becomes 200, which answers an extended CONNECT."""
    if head.status != 101:
        return [(b":status", b"%d" % head.status), *head.pairs]
    return [(b":status", b"200"), *(pair for pair in head.pairs if pair[0] != b"sec-websocket-accept")]
