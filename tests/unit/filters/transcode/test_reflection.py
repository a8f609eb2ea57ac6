"""Descriptors that servers give of themselves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from google.protobuf import descriptor_pb2
from transcoding import shop
from twisted.internet.defer import Deferred, fail, succeed

from metaproxy.clients.grpc import CallFailed
from metaproxy.codecs.protobuf_wire import write
from metaproxy.filters.transcode.reflection import Answer, Failed, Question, Reflection
from metaproxy.message import FrameError

FILES = {descriptor_pb2.FileDescriptorProto.FromString(each).name: each for each in shop()}


def files(*names: str) -> bytes:
    return write(0x22, b"".join(write(0x0A, FILES[name]) for name in names))


def listed(*names: str) -> bytes:
    return write(0x32, b"".join(write(0x0A, write(0x0A, name.encode())) for name in names))


class Server:
    """Answers as the test sets: question -> answer, or the code of a failure."""

    def __init__(self, says: dict[bytes, bytes | str]) -> None:
        self._says = says
        self.asked: list[bytes] = []
        self.closed = False

    def call(self, request: Question, timeout: float, metadata: Sequence[tuple[str, str]] = ()) -> Deferred[Answer]:
        question = request.SerializeToString()
        self.asked.append(question)
        said = self._says.get(question, "UNIMPLEMENTED")
        return fail(CallFailed(said, "why")) if isinstance(said, str) else succeed(Answer.FromString(said))

    def close(self) -> None:
        self.closed = True


LIST, SHOP, OTHER = write(0x3A, b""), write(0x22, b"shop.Shop"), write(0x22, b"shop.Other")
ALL = listed("shop.Shop", "grpc.reflection.v1.ServerReflection", "grpc.health.v1.Health")


def fetched(server: Server, *services: str, older: Server | None = None) -> set[str]:
    calls = {"v1": server} if older is None else {"v1": server, "v1alpha": older}
    found: list[list[bytes]] = []
    failures: list[BaseException] = []
    waiting = Reflection(calls, services, 1.0).fetch()
    waiting.addCallbacks(found.append, lambda failure: failures.append(failure.value))
    if failures:
        raise failures[0]
    return {descriptor_pb2.FileDescriptorProto.FromString(each).name for each in found[0]}


def test_the_files_of_all_services_are_asked_for_but_for_those_of_the_server_itself() -> None:
    server = Server({LIST: ALL, SHOP: files(*FILES)})
    assert fetched(server) == FILES.keys()
    assert server.asked == [LIST, SHOP]


def test_only_the_services_that_are_wanted_are_asked_for() -> None:
    server = Server({OTHER: files(*FILES)})
    assert fetched(server, "shop.Other") == FILES.keys()


def test_what_is_imported_and_did_not_come_along_is_asked_for_by_name() -> None:
    says: dict[bytes, bytes | str] = {write(0x1A, name.encode()): files(name) for name in FILES if name != "shop.proto"}
    assert fetched(Server({LIST: ALL, SHOP: files("shop.proto"), **says})) == FILES.keys()


def test_a_server_that_has_only_the_older_version_is_asked_in_it() -> None:
    older = Server({LIST: ALL, SHOP: files(*FILES)})
    assert fetched(Server({}), older=older) == FILES.keys()


@pytest.mark.parametrize(
    "says, text",
    [
        ({LIST: "UNAVAILABLE"}, "UNAVAILABLE: why"),
        ({LIST: ALL, SHOP: write(0x3A, write(0x12, b"not found"))}, "shop.Shop: not found"),
        ({LIST: ALL, SHOP: write(0x22, write(0x0A, b"\xff\xff"))}, "none of reflection"),
        (
            {LIST: ALL, SHOP: files("shop.proto"), write(0x1A, b"google/api/httpbody.proto"): b""},
            "no file google/api/httpbody.proto",
        ),
    ],
)
def test_a_server_that_does_not_say_it_all_has_failed(says: dict[bytes, bytes | str], text: str) -> None:
    with pytest.raises(Failed, match=text):
        fetched(Server(says), older=Server({}))


def test_bytes_that_are_no_answer_are_none() -> None:
    with pytest.raises(FrameError):
        Answer.FromString(b"\x22\x7f")


def test_its_channels_end_with_it() -> None:
    server = Server({})
    Reflection({"v1": server}, [], 1.0).close()
    assert server.closed
