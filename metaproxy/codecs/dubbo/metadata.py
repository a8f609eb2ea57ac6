"""
The metadata of Dubbo's messages, decoded in two steps when somebody asks.

The first step reads the five strings in front of a request's arguments, or a response's result type; it knows most of
them, as the same few calls come again and again. The second steps over the arguments and reads the attachments.

Lives here: the keys, `Head`, the two steps. Does not: any serialization (`body`, `hessian2` ...); frames (`frame`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from metaproxy.codecs.cutters import compiled_function
from metaproxy.codecs.dubbo.body import HEAD, Body, Pair, arguments
from metaproxy.codecs.dubbo.fastjson2 import Fastjson2
from metaproxy.codecs.dubbo.hessian2 import Hessian2
from metaproxy.codecs.dubbo.json_lines import JsonLines
from metaproxy.codecs.dubbo.protobuf import Protobuf
from metaproxy.message import Both, FrameError, Message, Shared, unreadable

KEYS: Final = {
    "interface": "the service's path, usually the name of its Java interface",
    "method": "the method; $invoke or $invokeAsync for a generic call (rules of rbac hold for `generic.method` too)",
    "operation": "interface/method",
    "kind": "request, oneway, heartbeat, response, error (status other than ok, or an exception), event or drain",
    "service.version": "the service's version in front of the method; the attachment `version` is usually the same",
    "types": "the parameters' JVM descriptors, such as Ljava/lang/String;I",
    "dubbo": "the version of the client's protocol, such as 2.0.2",
    "serialization": "name of the serialization, such as hessian2; its number where it has no name",
    "generic.method": "the method that a generic call means",
    "status": "of an answer: ok, server_timeout, service_not_found ...; its number where it has no name",
    "result": "type of an ok answer: 0 exception, 1 value, 2 nothing; 3, 4, 5 the same with attachments",
    "<attachment>": "value of each attachment that is a string, number or truth value, as spelled and in lower case",
    "attachment.<key>": "value of an attachment whose name, in any case, is one of the keys above",
}
OWN: Final = frozenset(key for key in KEYS if "<" not in key)
"""What no attachment can stand for, or a client could make a route see another method than the server does."""

NAMES: Final = {
    2: "hessian2", 3: "java", 4: "compactedjava", 6: "fastjson", 7: "nativejava", 8: "kryo", 9: "fst",
    10: "native-hessian", 11: "avro", 12: "protostuff", 16: "gson", 18: "jackson", 21: "protobuf-json",
    22: "protobuf", 23: "fastjson2", 25: "kryo2", 27: "msgpack", 28: "fury", 31: "custom-msgpack",
}  # fmt: skip
"""Serializations by their ids."""
BODIES: Final[dict[int, Body]] = {2: Hessian2(), 6: JsonLines(), 16: JsonLines(), 22: Protobuf(), 23: Fastjson2()}
"""Those whose bodies can be read."""

SERIALIZATION: Final = 0x1F
OK: Final = 20
STATUSES: Final = {
    20: "ok", 25: "serialization_error", 30: "client_timeout", 31: "server_timeout", 35: "channel_inactive",
    40: "bad_request", 50: "bad_response", 60: "service_not_found", 70: "service_error", 80: "server_error",
    90: "client_error", 100: "server_threadpool_exhausted",
}  # fmt: skip

_GENERIC = frozenset(("$invoke", "$invokeAsync"))
_BLANKS = "".join(map(chr, range(0x21)))
"""What Java takes away around the name of the method that a generic call means."""
_MAX_HEADS = 1024
"""Heads that are kept for each serialization; when there are more, all are forgotten."""
_MAX_HEAD = 1024
"""Bytes of a head that is kept."""
_HEADS: dict[int, dict[bytes, Shared]] = {number: {} for number in BODIES}
"""The metadata of requests by the serialization and their heads; `rest` of each is a Head."""

_SERIALIZATIONS: Final = [{"serialization": NAMES.get(number, str(number))} for number in range(SERIALIZATION + 1)]


class Head:
    """
    What all requests have in common that begin with the same five strings. number: of the serialization; end: where
    the strings do; metadata: never changed.
    """

    __slots__ = ("_arguments", "_body", "_generic", "_types", "end", "metadata")

    def __init__(self, number: int, items: Sequence[str], end: int) -> None:
        version, service, service_version, method, types = items
        self.end = end
        self.metadata: dict[str, str] = {
            **_SERIALIZATIONS[number],
            "interface": service,
            "method": method,
            "operation": f"{service}/{method}",
            "service.version": service_version,
            "types": types,
            "dubbo": version,
        }
        self._body = BODIES[number]
        self._generic = method in _GENERIC
        self._types = types
        self._arguments = -1

    def arguments(self) -> int:
        """The number of arguments. Raises FrameError when the parameter types do not tell it."""
        if self._arguments < 0:
            self._arguments = arguments(self._types)
        return self._arguments

    def read_rest(self, message: Message) -> None:
        """The second step: the method that a generic call means, and the attachments."""
        frame = message.frame
        metadata, known = self.metadata.copy(), message.metadata
        if known is not None and type(known) is not Shared:  # a filter may have put its own in their place
            metadata.update(known)
        message.metadata = metadata
        if self._generic:
            method = self._body.first_argument(frame, self.end)
            if method is not None:
                metadata["generic.method"] = method.strip(_BLANKS)
        clear = merge(metadata, pairs := self._body.attachments(frame, self.end, self.arguments())[3])
        path, version = metadata.get("path"), metadata.get("version")
        if (
            not clear
            or self._generic
            or (path is not None and path != metadata["interface"])
            or (version is not None and version != metadata["service.version"])
        ):
            message.unclear = Unclear(metadata, pairs)


def head_of(number: int, frame: bytes) -> Head:
    """The head of a request in a serialization of BODIES. Raises FrameError."""
    global _last, _last_heads, _last_number, _last_raw
    body = BODIES[number]
    end = body.head_end(frame)
    if not HEAD < end <= HEAD + _MAX_HEAD:
        return Head(number, *body.head(frame))
    heads, raw = _HEADS[number], frame[HEAD:end]
    known = heads.get(raw)
    if known is None:
        head = Head(number, *body.head(frame))
        known = Shared(head.metadata)
        known.rest = head
        if len(heads) >= _MAX_HEADS:
            heads.clear()
        heads[raw] = known
    _last, _last_heads, _last_number, _last_raw = known, heads, number, raw
    found: Head = known.rest
    return found


_last: Shared = Shared()
_last_heads: dict[bytes, Shared] = {}
_last_number = -1
_last_raw = b""
"""What was found last: the metadata, the heads among which it was, their serialization and the bytes of the head."""


def read_rest(message: Message) -> None:
    """The second step for a request whose head is remembered. Raises FrameError."""
    known = message.metadata
    head: Head = known.rest if type(known) is Shared else head_of(message.frame[2] & SERIALIZATION, message.frame)
    head.read_rest(message)


@compiled_function("dubbo_read_calls", _HEADS, read_rest)
def read_call(message: Message) -> None:
    """The first step for a request. Raises FrameError."""
    global _last, _last_raw
    frame = message.frame
    number = frame[2] & SERIALIZATION
    if number != _last_number:
        _read_head(number, message)
        return
    # A head says itself where it ends: a frame that begins with the same bytes has the same head.
    raw = frame[HEAD : HEAD + len(_last_raw)]
    if raw != _last_raw:
        # Where many methods are called in turn, their heads are often of one length: then nothing need be parsed.
        known = _last_heads.get(raw)
        if known is None:
            _read_head(number, message)
            return
        _last, _last_raw = known, raw
    # Of what is remembered nothing else is touched: there may be too many of them for the processor's cache.
    message.metadata = _last
    message.more = read_rest


def _read_head(number: int, message: Message) -> None:
    """The first step for a request whose head was not found at once. Raises FrameError."""
    if number not in BODIES:
        message.metadata = _SERIALIZATIONS[number]
        message.unclear = unreadable
        return
    try:
        head = head_of(number, message.frame)
    except FrameError:
        message.metadata = _SERIALIZATIONS[number]
        raise
    message.metadata = _last if _last.rest is head else head.metadata
    message.more = head.read_rest


def read_result(message: Message) -> None:
    """The first step for a response. Raises FrameError."""
    frame = message.frame
    number, status = frame[2] & SERIALIZATION, frame[3]
    metadata = message.metadata = {**_SERIALIZATIONS[number], "status": STATUSES.get(status) or str(status)}
    body = BODIES.get(number)
    if body is not None and status == OK:
        result, _ = body.result(frame)
        if result is not None:
            metadata["result"] = str(result)
            if 3 <= result <= 5:
                message.more = _read_attachments


def _read_attachments(message: Message) -> None:
    """The second step for a response."""
    frame = message.frame
    body = BODIES[frame[2] & SERIALIZATION]
    result, at = body.result(frame)
    metadata = message.metadata = dict(message.metadata or ())
    merge(metadata, body.attachments(frame, at, result != 5)[3])


def merge(metadata: dict[str, str], pairs: Sequence[Pair]) -> bool:
    """
    Adds attachments, under their lower-cased names too where those are free. False if a server may see others than
    these: one is there twice, or has a key or value that is no text to us.
    """
    expected, clear = len(metadata), True
    for key, text, _, _ in pairs:
        if key is None or text is None:
            clear = False
            continue
        lower = key.lower()
        if lower in OWN:
            key, lower = f"attachment.{key}", f"attachment.{lower}"
        metadata[key] = text
        expected += 1
        if lower != key:
            metadata.setdefault(lower, text)
            expected += 1
    return clear and len(metadata) == expected


class Unclear:
    """
    `Message.unclear` of a request whose attachments are no map of different texts, or say again what stands in front.

    A server takes the one or the other of an attachment that is there twice, and Java's the service and its version of
    the attachments `path` and `version` where there are such. Objects as values, and keys that are no strings, may turn
    into any text. A generic call is one of the method that it means as well.
    """

    __slots__ = ("_hidden", "_values")

    def __init__(self, metadata: Mapping[str, str], pairs: Sequence[Pair]) -> None:
        self._hidden = any(key is None for key, _, _, _ in pairs)
        self._values: dict[str, tuple[str | None, ...]] = {
            key: texts for key, texts in _attached(pairs).items() if len(texts) != 1
        }
        services = _either(metadata["interface"], metadata.get("path"))
        methods: tuple[str | None, ...] = (metadata["method"],)
        if metadata["method"] in _GENERIC:
            target = metadata.get("generic.method")
            methods = self._values["method"] = () if target is None else Both((metadata["method"], target))
        if len(services) > 1:
            self._values["interface"] = services
        self._values["service.version"] = _either(metadata["service.version"], metadata.get("version"))
        operations = tuple(f"{service}/{method}" for service in services for method in methods)
        self._values["operation"] = Both(operations) if len(services) == 1 and methods else operations

    def __call__(self, key: str) -> tuple[str | None, ...] | None:
        values = self._values.get(key)
        return () if values is None and self._hidden and key not in OWN else values


def _attached(pairs: Sequence[Pair]) -> dict[str, tuple[str | None, ...]]:
    """The different values of each attachment, in whatever case its key is written; () of one that may be any."""
    found: dict[str, tuple[str | None, ...]] = {}
    for key, text, _, nested in pairs:
        if key is None:
            continue
        lower = key.lower()
        if lower in OWN:
            lower = f"attachment.{lower}"
        values = found.get(lower, (text,))
        if (text is None and nested) or not values:
            found[lower] = ()
        else:
            found[lower] = values if text in values else (*values, text)
    return found


def _either(one: str, other: str | None) -> tuple[str | None, ...]:
    return (one,) if other is None or other == one else (one, other)
