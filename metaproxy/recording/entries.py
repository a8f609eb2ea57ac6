"""
The file of a recording, version 2: lines of JSON (docs/how-to/replay-traffic.md has its layout). Version 1 had no
streams; its files are read as well.

Lives here: `Entry`, `Frame` and `Piece`, their lines, `read`. Does not: what is recorded (`recorder`), sending it
(`player`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from metaproxy.message import Chunk, Hold, Kind, Message
from metaproxy.support.bounded_json import loads

FORMAT, VERSION = "metaproxy-recording", 2
READABLE = (1, 2)
MAX_LINE = 8 << 20
"""Characters of a line that is read."""


class BadRecording(ValueError):
    """A file that is no recording, or one that can't be read. The text has the line."""


@dataclass(slots=True)
class Piece:
    """A chunk of a stream. at: seconds since its exchange began."""

    at: float
    data: bytes
    kind: Kind = Kind.STREAM_DATA
    failed: bool = False
    final: bool = True
    trailers: bytes = b""
    metadata: dict[str, str] | None = None

    @classmethod
    def of(cls, chunk: Chunk, at: float, metadata: dict[str, str] | None) -> Piece:
        return cls(at, chunk.frame, chunk.kind, chunk.failed, chunk.final, chunk.trailers, metadata)

    def chunk(self) -> Chunk:
        return Chunk(
            self.kind, self.data, 0, dict(self.metadata or {}) or None, self.trailers, failed=self.failed,
            final=self.final,
        )  # fmt: skip

    def json(self) -> dict[str, object]:
        shown: dict[str, object] = {"at": round(self.at, 6), "data": base64.b64encode(self.data).decode()}
        if self.kind is not Kind.STREAM_DATA:
            shown["kind"] = self.kind.name.lower()
        if self.failed:
            shown["failed"] = True
        if not self.final:
            shown["final"] = False
        if self.trailers:
            shown["trailers"] = base64.b64encode(self.trailers).decode()
        if self.metadata:
            shown["metadata"] = self.metadata
        return shown

    @classmethod
    def read(cls, data: Any) -> Piece:
        kind = Kind[data.get("kind", "stream_data").upper()]
        if kind not in (Kind.STREAM_DATA, Kind.STREAM_CLOSE):
            raise ValueError(f"a chunk of kind {kind.name.lower()}")
        return cls(
            float(data["at"]),
            base64.b64decode(data["data"], validate=True),
            kind,
            bool(data.get("failed", False)),
            bool(data.get("final", True)),
            base64.b64decode(data.get("trailers", ""), validate=True),
            dict(data.get("metadata") or {}) or None,
        )


@dataclass(slots=True)
class Frame:
    """
    A message: its bytes as they were read, and what the codec made of it. chunks: what followed it, None for a whole
    message; cut: the last of them are missing; failed: a head that reports failure.
    """

    kind: Kind
    data: bytes
    id: int = 0
    hold: Hold = Hold.NONE
    profile: Hashable = None
    metadata: dict[str, str] | None = None
    chunks: list[Piece] | None = None
    cut: bool = False
    failed: bool = False

    @classmethod
    def of(cls, message: Message, data: bytes, metadata: dict[str, str]) -> Frame:
        failed = bool(getattr(message, "failed", False))
        return cls(message.kind, data, message.id, message.hold, message.profile, metadata, failed=failed)

    @property
    def payload(self) -> bytes:
        """What its chunks hold."""
        return b"".join([piece.data for piece in self.chunks or ()])

    @property
    def reports_failure(self) -> bool:
        return self.kind is Kind.ERROR or self.failed or any(piece.failed for piece in self.chunks or ())

    def json(self) -> dict[str, object]:
        shown: dict[str, object] = {"kind": self.kind.name.lower(), "id": self.id}
        if self.hold:
            shown["hold"] = self.hold.name.lower()
        profile = getattr(self.profile, "plain", self.profile)
        if profile is not None and _plain(profile):
            shown["profile"] = profile
        shown["metadata"] = self.metadata or {}
        shown["frame"] = base64.b64encode(self.data).decode()
        if self.failed:
            shown["failed"] = True
        if self.chunks is not None:
            shown["chunks"] = [piece.json() for piece in self.chunks]
        if self.cut:
            shown["cut"] = True
        return shown

    @classmethod
    def read(cls, data: Any) -> Frame:
        return cls(
            Kind[data["kind"].upper()],
            base64.b64decode(data["frame"], validate=True),
            int(data["id"]),
            Hold[data.get("hold", "none").upper()],
            _hashable(data.get("profile")),
            dict(data.get("metadata") or {}),
            [Piece.read(one) for one in data["chunks"]] if "chunks" in data else None,
            bool(data.get("cut", False)),
            bool(data.get("failed", False)),
        )


@dataclass(slots=True)
class Entry:
    """
    One exchange. number: counts requests in the order in which they were read; start: seconds since the recording
    began; duration: until its end; connection: the client's, unique in the recording.
    """

    number: int
    start: float
    duration: float
    connection: str
    request: Frame
    response: Frame | None = None
    source: str = "-"
    listener: str = "-"
    protocol: str = ""
    operation: str = "-"
    route: str = "-"
    cluster: str = "-"
    endpoint: str = "-"
    outcome: str = "ok"
    details: str = ""
    redacted: tuple[str, ...] = ()

    @property
    def end(self) -> float:
        return self.start + self.duration

    @property
    def answered(self) -> bool:
        """Whether a server had it. What the proxy answered by itself is nothing to send again."""
        return self.response is not None or self.endpoint != "-"

    @property
    def whole(self) -> bool:
        """Whether its request is all there, so that it can be sent again."""
        return not self.request.cut

    @property
    def streamed(self) -> bool:
        return self.request.chunks is not None or (self.response is not None and self.response.chunks is not None)

    def line(self) -> str:
        shown = {name: getattr(self, name) for name in _PLAIN}
        shown["start"], shown["duration"] = round(self.start, 6), round(self.duration, 6)
        shown["request"] = self.request.json()
        shown["response"] = self.response.json() if self.response is not None else None
        return _json(shown)

    @classmethod
    def read(cls, data: Any) -> Entry:
        plain = {name: data[name] for name in _PLAIN if name in data}
        plain["redacted"] = tuple(data.get("redacted", ()))
        response = data.get("response")
        return cls(
            **plain,
            request=Frame.read(data["request"]),
            response=Frame.read(response) if response is not None else None,
        )


_PLAIN = (
    "number", "start", "duration", "connection", "source", "listener", "protocol", "operation", "route", "cluster",
    "endpoint", "outcome", "details", "redacted",
)  # fmt: skip


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "backslashreplace").decode() + "\n"


def _plain(profile: object) -> bool:
    """Whether a profile is the same when it was read again."""
    if isinstance(profile, tuple):
        return all(map(_plain, profile))
    return profile is None or isinstance(profile, (str, int, float, bool))


def _hashable(profile: object) -> Hashable:
    if isinstance(profile, list):
        return tuple(map(_hashable, profile))
    if not isinstance(profile, Hashable):
        raise TypeError(f"a profile is no {type(profile).__name__}")
    return profile


def head(started: str, **more: object) -> str:
    """The first line."""
    return _json({"format": FORMAT, "version": VERSION, "started": started, **more})


def foot(**more: object) -> str:
    """The last line; missing where the process was killed."""
    return _json({"end": more})


@dataclass(slots=True)
class Recording:
    """
    head: its first line. entries: in the order in which requests were read. end: what the last line says, None when
    there is none. broken: what is wrong with the last line, which a crash may have cut; '' for nothing.
    """

    head: dict[str, object]
    entries: list[Entry]
    end: dict[str, object] | None = None
    broken: str = ""


def read(lines: Iterable[str]) -> Recording:
    """Raises BadRecording."""
    found: Recording | None = None
    for number, line in enumerate(lines, 1):
        if found is not None and found.broken:
            raise BadRecording(found.broken)
        if len(line) > MAX_LINE:
            raise BadRecording(f"line {number}: {len(line)} characters; allowed are {MAX_LINE}")
        try:
            data = loads(line)
            if found is None:
                found = Recording(_checked(data), [])
            elif not isinstance(data, dict):
                raise TypeError(f"a {type(data).__name__} in place of an object")
            elif "end" in data:
                found.end = data["end"]
            else:
                found.entries.append(Entry.read(data))
        except BadRecording:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if found is None:
                raise BadRecording("line 1: not the head of a recording") from None
            found.broken = f"line {number}: no exchange ({type(error).__name__}: {error})"
    if found is None:
        raise BadRecording("the file is empty")
    found.entries.sort(key=lambda entry: (entry.start, entry.number))
    return found


def _checked(data: object) -> dict[str, object]:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise BadRecording("line 1: not the head of a recording")
    if data.get("version") not in READABLE:
        readable = " and ".join(map(str, READABLE))
        raise BadRecording(f"line 1: version {data.get('version')}; this metaproxy reads versions {readable}")
    return data
