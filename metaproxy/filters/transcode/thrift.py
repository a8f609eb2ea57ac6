"""
Calls of Thrift for requests of HTTP and JSON, by an IDL.

Lives here: `Thrift`, the section `thrift:` of the filter's options, and its calls. Does not: the IDL (`thrift_idl`),
values (`thrift_reading`, `thrift_writing`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from twisted.internet.defer import Deferred

from metaproxy.codecs.thrift.codec import EXCEPTIONS
from metaproxy.codecs.thrift.detection import spoken
from metaproxy.codecs.thrift.encodings import ENCODINGS
from metaproxy.codecs.thrift.frames import CARRIERS, FRAMED, PROFILES, locate
from metaproxy.filters.transcode import answers
from metaproxy.filters.transcode.answers import Refused
from metaproxy.filters.transcode.arguments import arguments_of, check_names, listed, match_of
from metaproxy.filters.transcode.calls import Request
from metaproxy.filters.transcode.thrift_idl import read_idl
from metaproxy.filters.transcode.thrift_reading import READERS
from metaproxy.filters.transcode.thrift_types import Field, Function, Service, Struct, Type
from metaproxy.filters.transcode.thrift_writing import WRITERS
from metaproxy.message import Chunk, FrameError, Message
from metaproxy.options import OptionError
from metaproxy.units import Option

_EXCEPTION = 3
_OF_TYPES = {
    EXCEPTIONS["unknown_method"]: 501, EXCEPTIONS["load_shedding"]: 503, EXCEPTIONS["timeout"]: 504,
}  # fmt: skip
"""HTTP's statuses for the types of TApplicationException that are not 500."""


_FAULT = Struct(
    "TApplicationException", "exception", [Field(1, "message", Type("string")), Field(2, "type", Type("i32"))]
)
_FAULT.index()


class Listed:
    """A call under `calls:`."""

    def __init__(
        self,
        method: Annotated[str, Option("A method of the service.")],
        body: Annotated[
            str, Option("The argument that the body is; `*`: the body is an object of arguments.", default="no body")
        ] = "",
    ) -> None:
        self.method, self.body = method, body


class _Bound:
    """A method, and how it is asked for."""

    def __init__(self, function: Function, body: str, head: bytes, name: str) -> None:
        self.function = function
        self.body = body
        self.head = head
        self.name = name


class Thrift:
    """`thrift:`. Calls of Thrift, by an IDL."""

    protocols = ("thrift",)
    asks: tuple[str, ...] = ()

    def __init__(
        self,
        idl: Annotated[str, Option("A file in Thrift's IDL; what it includes is read as well.")],
        service: Annotated[str, Option("The service in it, where it has several.", default="the only one")] = "",
        calls: Annotated[
            dict[str, Listed] | None, Option("By method and template of the path, `GET /users/{id}`.")
        ] = None,
        unlisted: Annotated[
            bool, Option("All methods are to be had, too, by POST at `/Service/method` with an object of arguments.")
        ] = False,
        transport: Annotated[
            Literal["framed", "unframed", "header", "ttheader"], Option("What the servers speak.")
        ] = "framed",
        protocol: Annotated[Literal["binary", "compact"], Option("The same.")] = "binary",
        multiplexed: Annotated[bool, Option("The name of the service goes with that of the method.")] = False,
        errors: Annotated[
            dict[str, int] | None,
            Option("Name of a declared exception: the status that it has.", default="500 for all"),
        ] = None,
    ) -> None:
        self._service = _service(idl, service)
        self._name = self._service.name
        self._profile = PROFILES[transport, protocol]
        self._multiplexed = multiplexed
        for name, status in (errors or {}).items():
            if not 400 <= status <= 599:
                raise OptionError("errors", f"{status} is no status of an error; write 400 to 599", path=(name,))
        self._errors = dict(errors or {})
        given = dict(calls or {})
        if unlisted:
            names = [name for name in self._service.names() if not self._function(name).oneway]
            given = {**{f"POST /{self._name}/{name}": Listed(name, "*") for name in names}, **given}
        if not given:
            raise ValueError("write calls: {GET /path: {method: NAME}}, or unlisted: true")
        listed(given)  # the keys, before what they lead to
        self._paths = listed({key: self._bound(key, call) for key, call in given.items()})

    def _function(self, name: str) -> Function:
        found = self._service.function(name)
        if found is None:
            raise ValueError(f"{self._name} has no method {name!r:.60}; there are {', '.join(self._service.names())}")
        return found

    def _bound(self, key: str, call: Listed) -> _Bound:
        try:
            function = self._function(call.method)
            if function.oneway:
                raise ValueError(f"{call.method} is oneway: no answer tells whether it was done")
            check_names(key, function.arguments.by_name, call.body)
        except ValueError as error:
            raise OptionError("calls", str(error), path=(key,)) from None
        wire = f"{self._name}:{call.method}" if self._multiplexed else call.method
        head = ENCODINGS[self._profile[1]].call(wire.encode(), 0)[:-1]
        return _Bound(function, call.body, head, f"{self._name}/{call.method}")

    def ready(self) -> Deferred[None] | None:
        return None

    def find(self, method: str, path: str) -> ThriftCall | None:
        match = match_of(self._paths, method, path)
        return None if match is None else ThriftCall(match.found, match.values, self._profile, self._errors)

    def inherit(self, previous: object) -> None:
        """There is nothing."""

    def stop(self) -> None:
        """There is nothing."""


def _service(idl: str, name: str) -> Service:
    try:
        services = read_idl(idl).services
    except ValueError as error:
        raise OptionError("idl", str(error)) from None
    own = [each for each in services if "." not in each]
    if not name and len(own) == 1:
        return services[own[0]]
    if name not in services:
        raise OptionError("service", f"no service {name!r:.60} in {idl}; there are {', '.join(own) or 'none'}")
    return services[name]


class ThriftCall:
    def __init__(
        self, bound: _Bound, values: Mapping[str, str], profile: tuple[str, str], errors: Mapping[str, int]
    ) -> None:
        self._bound = bound
        self._values = values
        self._profile = profile
        self._errors = errors
        self.name = bound.name

    def message(self, request: Request) -> Message:
        function = self._bound.function
        arguments = arguments_of(request, self._values, function.arguments.by_name, self._bound.body)
        writer = WRITERS[self._profile[1]]()
        try:
            writer.struct(function.arguments, arguments, "")
        except ValueError as error:
            raise Refused(400, str(error)) from None
        return request.message(_carried(self._bound.head + writer.out, self._profile), self._profile)

    def answer(self, head: Message, chunks: list[Chunk]) -> Message:
        try:
            return self._answer(head)
        except FrameError as error:
            raise Refused(502, f"{self.name}: {error}") from None

    def _answer(self, answer: Message) -> Message:
        profile = spoken(answer)
        if profile[1] not in READERS:
            raise FrameError(f"an answer in {profile[1]}")
        encoding, source, at = locate(answer.frame, profile)
        kind, _, _, _, _, body = encoding.head(source, at)
        reader = READERS[profile[1]](source, body)
        if kind == _EXCEPTION:
            return self._fault(reader.struct(_FAULT))
        function = self._bound.function
        found = reader.fields(function.result)
        if function.returns is not None and 0 in found:
            return answers.answer(200, answers.dumped(found[0]))
        for field in function.thrown.fields:
            if field.number in found:
                return self._thrown(field.type, found[field.number])
        if function.returns is not None:
            raise FrameError("an answer without a result")
        return answers.answer(200, b"null")

    def _fault(self, fault: Mapping[str, object]) -> Message:
        kind = fault.get("type", 0)
        status = _OF_TYPES.get(kind, 500) if isinstance(kind, int) else 500
        return answers.failure(status, str(fault.get("message", ""))[:1024], [])

    def _thrown(self, type: Type, value: object) -> Message:
        name = type.struct.name if type.struct is not None else type.kind
        fields = value if isinstance(value, dict) else {"value": value}
        text = next((str(each) for each in fields.values() if isinstance(each, str)), name)
        return answers.failure(self._errors.get(name, 500), text[:1024], [{"exception": name, **fields}])

    def begin(self, head: Message) -> Message | None:
        return None

    def chunk(self, chunk: Chunk) -> Chunk:
        return chunk


def _carried(message: bytes, profile: tuple[str, str]) -> bytes:
    transport, protocol = profile
    if transport in CARRIERS:
        made: bytes = CARRIERS[transport].build(0, ENCODINGS[protocol].header_id, message)
        return made
    return len(message).to_bytes(4, "big") + message if transport == FRAMED else message
