"""
An API of gRPC that requests are translated into: its descriptors, from a file or from its servers.

Lives here: `Grpc`, the section `grpc:` of the filter's options. Does not: one call (`grpc`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from metaproxy.filters.service_cluster import Clusters, check_known
from metaproxy.filters.transcode.answers import Refused
from metaproxy.filters.transcode.descriptors import Api, files_of
from metaproxy.filters.transcode.grpc import Binding, GrpcCall, Style, paths_of
from metaproxy.filters.transcode.paths import Paths, WrongMethod
from metaproxy.filters.transcode.refreshed import Refreshed
from metaproxy.options import OptionError
from metaproxy.units import Bytes, Option, Seconds

_TIMEOUT, _REFRESH = Seconds(5.0), Seconds(300.0)
_MOST = Bytes(16 << 20)


class Reflected:
    """`reflection:`."""

    def __init__(
        self,
        cluster: Annotated[str, Option("The cluster whose servers describe themselves.")],
        timeout: Annotated[Seconds, Option("Time for each answer.", above="0s")] = _TIMEOUT,
        refresh: Annotated[
            Seconds, Option("They are asked again when a request comes so long after the last time; 0: never.")
        ] = _REFRESH,
    ) -> None:
        self.cluster, self.timeout, self.refresh = cluster, timeout, refresh


class Grpc:
    """`grpc:`. Calls of gRPC, by the annotations google.api.http."""

    protocols = ("grpc", "triple")

    def __init__(
        self,
        descriptors: Annotated[
            str, Option("A file: what `protoc --include_imports --descriptor_set_out` writes.", default="one of")
        ] = "",
        reflection: Annotated[
            Reflected | None, Option("In its place: the servers are asked (extra `grpc`).", default="one of")
        ] = None,
        services: Annotated[
            list[str] | None, Option("Full names of the services that are to be had.", default="all")
        ] = None,
        unannotated: Annotated[
            bool, Option("Methods without a rule are to be had too, by POST at `/package.Service/Method`.")
        ] = False,
        proto_names: Annotated[bool, Option("Fields have the names of the .proto file, not lowerCamelCase.")] = False,
        defaults: Annotated[bool, Option("Fields that have their default value are written as well.")] = False,
        enum_numbers: Annotated[bool, Option("Enums are written as numbers.")] = False,
        ignore_unknown: Annotated[
            bool, Option("Names that a message has no field of are left out, not refused.")
        ] = False,
        stream: Annotated[
            Literal["array", "lines"],
            Option("A stream of answers is one JSON array, or a line of JSON for each (`application/x-ndjson`)."),
        ] = "array",
        max_answer: Bytes = _MOST,
        clock: IReactorTime | None = None,
        clusters: Clusters | None = None,
    ) -> None:
        if bool(descriptors) + (reflection is not None) != 1:
            raise ValueError("write descriptors: FILE, or reflection: {cluster: NAME}; one of them")
        self._services, self._unannotated = services or [], unannotated
        self._style = Style(proto_names, defaults, enum_numbers, ignore_unknown, stream == "lines", max_answer)
        self._paths: Paths[Binding] | None = None
        self._reflected: Refreshed | None = None
        self._same = (reflection and reflection.cluster, self._services, unannotated, self._style)
        self.asks: tuple[str, ...] = ()
        if reflection is None:
            self._paths = self._read(descriptors)
            return
        from metaproxy.filters.transcode.reflection import (
            Reflection,
            calls_to,
        )  # grpcio is there only if somebody wants it

        self.asks = (reflection.cluster,)
        known = check_known(clusters, reflection.cluster)
        assert clock is not None
        asked = Reflection(calls_to(known, reflection.cluster, clock), self._services, reflection.timeout)
        self._reflected = Refreshed(asked, self._take, clock, reflection.refresh)

    def _read(self, file: str) -> Paths[Binding]:
        try:
            return self._made(files_of(Path(file).read_bytes()))
        except OSError as error:
            raise OptionError("descriptors", f"{file} can't be read: {error.strerror}") from None
        except ValueError as error:
            raise OptionError("descriptors", f"{file}: {error}") from None

    def _made(self, files: list[bytes]) -> Paths[Binding]:
        return paths_of(Api(files, self._services, self._unannotated), self._style)

    def ready(self) -> Deferred[None] | None:
        reflected = self._reflected
        if reflected is None:
            return None
        reflected.look()
        return reflected.wait() if self._paths is None else None

    def _take(self, files: list[bytes]) -> None:
        self._paths = self._made(files)

    def find(self, method: str, path: str) -> GrpcCall | None:
        if self._paths is None:
            raise Refused(503, "the API is not known: its servers did not describe it")
        try:
            match = self._paths.find(method, path)
        except WrongMethod as error:
            raise Refused(405, str(error), error.allowed) from None
        except ValueError as error:
            raise Refused(400, str(error)) from None
        return None if match is None else GrpcCall(match.found, match.values)

    def inherit(self, previous: object) -> None:
        """Goes on with what servers of the same cluster said, with the same options, until they are asked."""
        if isinstance(previous, Grpc) and self._reflected is not None and previous._same == self._same:
            self._paths = previous._paths

    def stop(self) -> None:
        if self._reflected is not None:
            self._reflected.close()
