"""
Descriptors that a server of gRPC gives of itself: grpc.reflection.v1.ServerReflection, or v1alpha.

Lives here: `Reflection`. Its messages are written and read by numbers: there is no package to install for them. Does
not: what the descriptors hold (`descriptors`); calls (`metaproxy.clients.grpc`, which needs the extra `grpc`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from metaproxy.clients.grpc import CallFailed, Method
from metaproxy.codecs.protobuf_wire import fields, write
from metaproxy.filters.service_cluster import Calls, Clusters, GrpcToCluster
from metaproxy.message import FrameError

MOST_FILES = 10_000
VERSIONS = ("v1", "v1alpha")
_FILE, _SYMBOL, _LIST = 0x1A, 0x22, 0x3A
"""What is asked for: a file by its name, the file with a symbol, the names of services."""
_FILES, _NAMES, _ERROR = 0x22, 0x32, 0x3A
_OWN = ("grpc.reflection.", "grpc.health.", "grpc.channelz.")
"""Services that are not of the API."""


class Failed(Exception):
    """The server does not describe itself."""


class Question:
    def __init__(self, tag: int, value: str) -> None:
        self._data = write(tag, value.encode())

    def SerializeToString(self) -> bytes:
        return self._data


class Answer:
    """files: FileDescriptorProto, serialized; names: of services; error: "" for none."""

    def __init__(self, data: bytes) -> None:
        self.files: list[bytes] = []
        self.names: list[str] = []
        self.error = ""
        for tag, _, start, stop in fields(data, 0, len(data)):
            for inner, _, at, end in fields(data, start, stop) if tag in (_FILES, _NAMES, _ERROR) else ():
                if tag == _FILES and inner == 0x0A:
                    self.files.append(data[at:end])
                elif tag == _NAMES and inner == 0x0A:
                    self.names += [data[a:b].decode() for kind, _, a, b in fields(data, at, end) if kind == 0x0A]
                elif tag == _ERROR and inner == 0x12:
                    self.error = data[at:end].decode("utf-8", "replace") or "no reason given"

    @classmethod
    def FromString(cls, s: bytes) -> Self:
        """Called in a thread of grpcio. What it raises ends the call as INTERNAL."""
        return cls(s)


def calls_to(clusters: Clusters, cluster: str, reactor: IReactorTime) -> dict[str, Calls[Question, Answer]]:
    """How endpoints of a cluster are asked, in each version."""

    def calls(version: str) -> Calls[Question, Answer]:
        path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        return GrpcToCluster(
            clusters, cluster, lambda target: Method(target, path, Question, Answer, reactor), CallFailed, reactor
        )  # fmt: skip

    return {version: calls(version) for version in VERSIONS}


class Reflection:
    """
    Asks for descriptors. calls: by version, the preferred one first; services: those that are wanted, empty for all.
    """

    failures = (Failed,)

    def __init__(self, calls: Mapping[str, Calls[Question, Answer]], services: Iterable[str], timeout: float) -> None:
        self._calls = calls
        self._services = list(services)
        self._timeout = timeout

    def fetch(self) -> Deferred[list[bytes]]:
        """Fires with the files, each with all that it imports among them; or fails with Failed."""
        return Deferred.fromCoroutine(self._fetch())

    def close(self) -> None:
        for calls in self._calls.values():
            calls.close()

    async def _fetch(self) -> list[bytes]:
        try:
            return await self._of_version()
        except CallFailed as error:
            raise Failed(str(error)) from None
        except (FrameError, DecodeError, UnicodeDecodeError) as error:
            raise Failed(f"an answer that is none of reflection: {error}") from None

    async def _of_version(self) -> list[bytes]:
        *others, last = self._calls
        for version in others:
            try:
                return await self._all(version)
            except CallFailed as error:
                if error.code != "UNIMPLEMENTED":
                    raise
        return await self._all(last)

    async def _all(self, version: str) -> list[bytes]:
        services = self._services
        if not services:
            listed = await self._ask(version, _LIST, "")
            services = [name for name in listed.names if not name.startswith(_OWN)]
        found: dict[str, bytes] = {}
        missing: set[str] = set()
        for name in services:
            missing |= _add(found, (await self._ask(version, _SYMBOL, name)).files)
        while missing := missing - found.keys():
            if len(found) > MOST_FILES:
                raise Failed(f"more than {MOST_FILES} files")
            name = min(missing)
            wanted = _add(found, (await self._ask(version, _FILE, name)).files)
            if name not in found:
                raise Failed(f"the server has no file {name}, which is imported")
            missing |= wanted
        return list(found.values())

    async def _ask(self, version: str, tag: int, value: str) -> Answer:
        answer = await self._calls[version].call(Question(tag, value), self._timeout)
        if answer.error:
            raise Failed(f"{value}: {answer.error}")
        return answer


def _add(found: dict[str, bytes], files: list[bytes]) -> set[str]:
    """Adds the files, and gives the names of those that they import."""
    wanted: set[str] = set()
    for data in files:
        file = descriptor_pb2.FileDescriptorProto.FromString(data)
        found[file.name] = data
        wanted.update(file.dependency)
    return wanted
