"""
What routes and policies may know of a MongoDB command: its name, namespace, comment, read preference, who sent it.

Only the fields of the command's own document are read, once, and when one of them is asked for. What the server would
read otherwise than we do is refused: a field that is there twice, a name that is no text.

Lives here: `Command`, `read_command`; what commands are called. Does not: what a connection remembers (`client`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from metaproxy.codecs.mongodb import bson, wire
from metaproxy.codecs.mongodb.namespaces import COLLECTION_COMMANDS, Values, others
from metaproxy.message import FrameError

KEYS: Final = {
    "command": "the command, such as find, insert, aggregate; other spellings (findandmodify) as the usual ones",
    "database": "the database that it is sent to",
    "collection": "the collection, where the command names one; of explain that of the explained command",
    "read_preference": "primary, primaryPreferred, secondary, secondaryPreferred or nearest; without one: primary",
    "read_preference_tags": "the first tag set of the read preference, as a URI has it: `dc:east,use:reports`",
    "comment": "the command's comment, if it is a text",
    "traceparent": "the trace that the comment names, as a field of a document or as sqlcommenter writes it",
    "tracestate": "as traceparent",
    "session": "the id of the logical session in hexadecimal digits: the same for a cursor and for a transaction",
    "transaction": "`true` inside a transaction; not there outside",
    "fingerprint": "a hash of the command without its values: the same for commands that only differ in these",
    "normalized": "the command without its values, some 2000 characters at most",
    "rows": "of an answer: documents that it has, or that a write was about",
    "user": "who has logged in on the connection",
    "application": "the name that the application gave its driver (appName)",
    "operation": "the command and its collection, such as `find shop.orders`",
}

HELLO: Final = frozenset(("hello", "isMaster"))
LOGIN: Final = frozenset(("saslStart", "saslContinue", "authenticate", "logout"))
ALIASES: Final = {
    "$eval": "eval", "availablequeryoptions": "availableQueryOptions", "buildinfo": "buildInfo",
    "clusterAbortTransaction": "abortTransaction", "clusterAggregate": "aggregate",
    "clusterCommitTransaction": "commitTransaction", "clusterDelete": "delete", "clusterFind": "find",
    "clusterGetMore": "getMore", "clusterInsert": "insert", "clusterUpdate": "update", "collstats": "collStats",
    "connpoolsync": "connPoolSync", "datasize": "dataSize", "dbhash": "dbHash", "dbstats": "dbStats",
    "deleteIndexes": "dropIndexes", "findandmodify": "findAndModify", "flushrouterconfig": "flushRouterConfig",
    "getlasterror": "getLastError", "getpreverror": "getPrevError", "ismaster": "isMaster", "mapreduce": "mapReduce",
    "movechunk": "moveChunk", "reseterror": "resetError", "shardcollection": "shardCollection",
}  # fmt: skip
"""Names by which servers know a command besides its own."""

READS: Final = frozenset(
    (
        "buildInfo", "collStats", "count", "dbHash", "dbStats", "distinct", "explain", "find", "hello",
        "hostInfo", "isMaster", "listCollections", "listDatabases", "listIndexes", "ping",
    )
)  # fmt: skip
"""Commands that change nothing, and leave nothing behind but a cursor."""

CONFIDENTIAL: Final = LOGIN | frozenset(("auth_query", "createUser", "updateUser", "copydbsaslstart"))

_MODES: Final = ("primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest")


def command_name(name: bytes) -> str:
    """The command of a document whose first field is called so."""
    try:
        found = name.decode()
    except UnicodeDecodeError:
        raise FrameError("the name of the command is not UTF-8") from None
    return ALIASES.get(found, found)


def first_name(frame: bytes, at: int) -> str:
    """The command whose document begins at `at`; "" for an empty one, or one whose beginning is no BSON."""
    start = at + 5
    end = frame.find(b"\0", start, start + 128)
    if end < 0 or not frame[at + 4]:
        return ""
    try:
        return command_name(frame[start:end])
    except FrameError:
        return ""


def read_command(frame: bytes, body: wire.Body) -> tuple[dict[str, str], Mapping[str, Values]]:
    """
    What a command's document says, and all values of a key that has several. Raises FrameError where it can't be
    understood.
    """
    found: dict[str, str] = {"read_preference": "primary"}
    elements = bson.select(frame, body.at, body.end, _WANTED)
    if not elements:
        raise FrameError("a command's document is empty")
    first = elements[0]
    fields = {element.name: element for element in elements}
    if len(fields) < len(elements):
        raise FrameError("a field of the command is there twice")
    command = command_name(first.name)
    found["command"] = command
    about = command
    if command == "explain" and first.type == bson.DOCUMENT:
        first = next(iter(bson.elements(frame, first.at, first.stop)), first)
        about = command_name(first.name)
    named = fields.get(b"collection") if about == "getMore" else first if about in COLLECTION_COMMANDS else None
    if named is not None and (collection := bson.text(frame, named)) is not None:
        found["collection"] = collection
    for key, name in (("database", b"$db"), ("comment", b"comment")):
        if name in fields and (value := bson.text(frame, fields[name])) is not None:
            found[key] = value
    if b"comment" in fields:
        found.update(_trace(frame, fields[b"comment"]))
    if b"$readPreference" in fields:
        found["read_preference"] = _mode(frame, fields[b"$readPreference"])
        if tags := _tags(frame, fields[b"$readPreference"]):
            found["read_preference_tags"] = tags
    if b"lsid" in fields and (session := _session(frame, fields[b"lsid"])):
        found["session"] = session
    if b"autocommit" in fields:
        found["transaction"] = "true"
    found["operation"] = _operation(found)
    return found, others(frame, body, about, first, found)


_WANTED: Final = frozenset((b"$db", b"$readPreference", b"comment", b"lsid", b"autocommit", b"collection"))


_TRACE: Final = ("traceparent", "tracestate")
_COMMENTED: Final = re.compile(r"(traceparent|tracestate)='([^']{1,512})'")


def _trace(frame: bytes, comment: bson.Element) -> dict[str, str]:
    """The trace that a comment names: {comment: {traceparent: ...}}, or traceparent='...' in a text."""
    if comment.type == bson.DOCUMENT:
        inner = {one.name.decode("latin-1"): one for one in bson.elements(frame, comment.at, comment.stop)}
        named = {key: bson.text(frame, inner[key]) for key in _TRACE if key in inner}
        return {key: value for key, value in named.items() if value is not None}
    text = bson.text(frame, comment)
    return {key: unquote(value) for key, value in _COMMENTED.findall(text)} if text is not None else {}


def _mode(frame: bytes, element: bson.Element) -> str:
    if element.type != bson.DOCUMENT:
        raise FrameError("$readPreference is no document")
    found = bson.find(frame, element.at, element.stop, b"mode")
    mode = bson.text(frame, found) if found is not None else None
    if mode not in _MODES:
        raise FrameError(f"$readPreference has a mode that is none of {', '.join(_MODES)}")
    return mode


_MOST_TAGS: Final = 16


def _tags(frame: bytes, preference: bson.Element) -> str:
    """The first of the tag sets. Raises FrameError where it has what is no text: its servers might read another."""
    sets = bson.find(frame, preference.at, preference.stop, b"tags")
    if sets is None or sets.type != bson.ARRAY:
        return ""
    first = next(iter(bson.elements(frame, sets.at, sets.stop)), None)
    if first is None or first.type != bson.DOCUMENT:
        return ""
    tags: list[str] = []
    for tag in bson.elements(frame, first.at, first.stop):
        value = bson.text(frame, tag)
        if value is None or len(tags) == _MOST_TAGS:
            raise FrameError(f"a tag set of $readPreference has what is no text, or more than {_MOST_TAGS} tags")
        tags.append(f"{tag.name.decode('utf-8', 'replace')}:{value}")
    return ",".join(tags)


def _session(frame: bytes, element: bson.Element) -> str:
    if element.type != bson.DOCUMENT:
        return ""
    found = bson.find(frame, element.at, element.stop, b"id")
    value = bson.binary(frame, found) if found is not None else None
    return value.hex() if value is not None and len(value) <= 64 else ""


def _operation(found: dict[str, str]) -> str:
    place = ".".join(found[key] for key in ("database", "collection") if key in found)
    return f"{found['command']} {place}" if place else found["command"]


_ASKERS: Final = frozenset((b"lsid", b"$clusterTime", b"comment"))
_WITHOUT_CURSOR: Final = frozenset(("count", "distinct"))


def question(frame: bytes, body: wire.Body) -> bytes | None:
    """
    What a command asks, without who asks and why; None for one that may leave a cursor behind, which is only one
    client's. A find leaves none with `singleBatch`, as drivers send it for one document.
    """
    fields = list(bson.elements(frame, *body))
    command = command_name(fields[0].name) if fields else ""
    single = any(one.name == b"singleBatch" and bson.number(frame, one) for one in fields)
    if command not in _WITHOUT_CURSOR and not (command == "find" and single):
        return None
    if body.at != wire.SECTIONS + 1 or body.end < len(frame) - 4:
        return None  # documents beside the command: no read has these
    return bson.join(frame[one.start : one.stop] for one in fields if one.name not in _ASKERS)


def writes(frame: bytes) -> bool:
    """Whether an aggregate may write: a stage that does is somewhere in it."""
    return b"$out\0" in frame or b"$merge\0" in frame


def command_of(frame: bytes) -> str:
    """The command of a request, or of its first bytes; "" where it has none."""
    try:
        if wire.op_code(frame) == wire.OP_QUERY:
            return first_name(frame, wire.query(frame)[1].at)
        return first_name(frame, wire.SECTIONS + 1 if frame[wire.SECTIONS] == 0 else wire.last_body(frame).at)
    except FrameError:
        return ""


def is_hello(frame: bytes) -> bool:
    """Whether a request asks what the server is."""
    return command_of(frame) in HELLO
