"""
Calls of Dubbo for requests of HTTP and JSON: generic invocations, `$invoke`, in hessian2.

Lives here: `Dubbo`, the section `dubbo:` of the filter's options, and its calls. Does not: values (`java`).

A provider takes method, types and arguments as they are named, and answers with maps in the place of objects
(org.apache.dubbo.rpc.filter.GenericFilter): no class is needed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, cast

from twisted.internet.defer import Deferred

from metaproxy.codecs.dubbo.body import HEAD
from metaproxy.codecs.dubbo.frame import HEADER, HESSIAN2, MAGIC, REQUEST, TWO_WAY
from metaproxy.codecs.dubbo.hessian2 import write_string
from metaproxy.codecs.dubbo.hessian2_values import Values, read
from metaproxy.codecs.dubbo.metadata import OK, SERIALIZATION, STATUSES
from metaproxy.filters.transcode import answers
from metaproxy.filters.transcode.answers import Refused
from metaproxy.filters.transcode.arguments import arguments_of, check_names, listed, match_of
from metaproxy.filters.transcode.calls import Request
from metaproxy.filters.transcode.java import string_map, typed_list, written
from metaproxy.message import Chunk, FrameError, Message
from metaproxy.options import OptionError
from metaproxy.units import Option

_TYPES = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;"
_VERSION = "2.0.2"
_OF_STATUSES = {30: 504, 31: 504, 35: 503, 60: 501, 100: 503}
"""HTTP's for those of Dubbo that are not 500."""
_THROWN, _NOTHING = (0, 3), (2, 5)
_JAVA_NAME = re.compile(r"[\w$]+(?:\.[\w$]+)*(?:\[\])*")
_CALL = re.compile(r"([\w$.]+)/([\w$]+)")
_CLASS = re.compile(r"[\w$]+(?:\.[\w$]+)+")


class Listed:
    """A call under `calls:`."""

    def __init__(
        self,
        call: Annotated[str, Option("`INTERFACE/METHOD`.")],
        arguments: Annotated[
            dict[str, str] | None, Option("The arguments in their order: a name of ours, and the type in Java.")
        ] = None,
        body: Annotated[
            str, Option("The argument that the body is; `*`: the body is an object of arguments.", default="no body")
        ] = "",
        version: Annotated[str, Option("Of the service.")] = "",
        group: Annotated[str, Option("Of the service.")] = "",
    ) -> None:
        found = _CALL.fullmatch(call)
        if found is None:
            raise OptionError("call", f"{call!r:.100} is no call; write INTERFACE/METHOD")
        self.name = call
        self.service, self.method = found[1], found[2]
        self.types = dict(arguments or {})
        for name, kind in self.types.items():
            if not _JAVA_NAME.fullmatch(kind):
                raise OptionError("arguments", f"{kind!r:.100} is no type of Java", path=(name,))
        self.body = body
        head = [_VERSION, self.service, version, "$invoke", _TYPES]
        types = [write_string(kind) for kind in self.types.values()]
        self._before = b"".join(map(write_string, [*head, self.method])) + typed_list("[string", types)
        pairs = {"path": self.service, "interface": self.service, "version": version, "group": group, "generic": "true"}
        self._after = string_map({key: value for key, value in pairs.items() if value})

    def frame(self, arguments: Mapping[str, object]) -> bytes:
        """Raises ValueError for what an argument can't be."""
        values = [written(kind, arguments.get(name), name) for name, kind in self.types.items()]
        body = self._before + typed_list("[object", values) + self._after
        return HEADER.pack(MAGIC, REQUEST | TWO_WAY | HESSIAN2, 0, 0, len(body)) + body


class Dubbo:
    """`dubbo:`. Generic calls of Dubbo."""

    protocols = ("dubbo",)
    asks: tuple[str, ...] = ()

    def __init__(
        self,
        calls: Annotated[dict[str, Listed], Option("By method and template of the path, `GET /users/{id}`.", least=1)],
        errors: Annotated[
            dict[str, int] | None, Option("Class of an exception: the status that it has.", default="500 for all")
        ] = None,
        classes: Annotated[bool, Option("Objects in answers keep `class`, the name of theirs.")] = False,
    ) -> None:
        self._paths = listed(calls)
        for key, call in calls.items():
            try:
                check_names(key, call.types, call.body)
            except ValueError as error:
                raise OptionError("calls", str(error), path=(key,)) from None
        for name, status in (errors or {}).items():
            if not 400 <= status <= 599:
                raise OptionError("errors", f"{status} is no status of an error; write 400 to 599", path=(name,))
        self._errors = dict(errors or {})
        self._classes = classes

    def ready(self) -> Deferred[None] | None:
        return None

    def find(self, method: str, path: str) -> DubboCall | None:
        match = match_of(self._paths, method, path)
        return None if match is None else DubboCall(match.found, match.values, self._errors, self._classes)

    def inherit(self, previous: object) -> None:
        """There is nothing."""

    def stop(self) -> None:
        """There is nothing."""


class DubboCall:
    def __init__(self, call: Listed, values: Mapping[str, str], errors: Mapping[str, int], classes: bool) -> None:
        self._call = call
        self._values = values
        self._errors = errors
        self._classes = classes
        self.name = call.name

    def message(self, request: Request) -> Message:
        arguments = arguments_of(request, self._values, self._call.types, self._call.body)
        try:
            frame = self._call.frame(arguments)
        except ValueError as error:
            raise Refused(400, str(error)) from None
        return request.message(frame)

    def answer(self, head: Message, chunks: list[Chunk]) -> Message:
        frame = head.frame
        status = frame[3]
        if frame[2] & SERIALIZATION != HESSIAN2:
            raise Refused(502, f"{self.name} answered in serialization {frame[2] & SERIALIZATION}, not in hessian2")
        try:
            if status != OK:
                return self._refused(status, read(frame, HEAD, lambda values: values.value()))
            result, value = cast("tuple[int, object]", read(frame, HEAD, _result))
        except FrameError as error:
            raise Refused(502, f"{self.name}: {error}") from None
        if result in _THROWN:
            return self._thrown(value)
        return answers.answer(200, answers.dumped(value if self._classes else _plain(value)))

    def _refused(self, status: int, text: object) -> Message:
        number = _OF_STATUSES.get(status, 500)
        name = STATUSES.get(status, str(status))
        return answers.failure(number, f"{name}: {text}"[:1024], [])

    def _thrown(self, value: object) -> Message:
        """A GenericException, which names the exception that was thrown; or the exception itself."""
        thrown = value if isinstance(value, dict) else {"class": "java.lang.Throwable", "detailMessage": value}
        name = str(thrown.get("exceptionClass") or thrown.get("class") or "")
        text = thrown.get("exceptionMessage") or thrown.get("detailMessage") or ""
        status = self._errors.get(name, 500)
        return answers.failure(status, str(text)[:1024], [{"exception": name}])

    def begin(self, head: Message) -> Message | None:
        return None

    def chunk(self, chunk: Chunk) -> Chunk:
        return chunk


def _result(values: Values) -> tuple[int, object]:
    """Type and value of a result."""
    if values.at >= len(values.data):
        raise FrameError("an answer without a result")
    result = values.integer()
    return result, None if result in _NOTHING else values.value()


def _plain(value: object) -> object:
    """Without the names of classes that Dubbo puts into the maps which it makes of objects."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {
            key: _plain(each)
            for key, each in value.items()
            if key != "class" or not isinstance(each, str) or not _CLASS.fullmatch(each)
        }
    return value
