"""
Resources from files that other programs write: one file, or all files of a folder, looked at every second.

Lives here: `FileWatch`, reading a file. Does not: what becomes of resources (`handler`).

A file holds a DiscoveryResponse, as Envoy's `path_config_source` has it, or one resource with its `@type`, or a list of
them; in YAML, JSON, or (`.pb`) as the bytes of a DiscoveryResponse. What a file had stays when it can't be read. Write
a new one beside it and rename that.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import DecodeError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from metaproxy.config.schema.load import load_foreign
from metaproxy.config.schema.nodes import Node
from metaproxy.envoy.json_mapping import fill
from metaproxy.envoy.reading import Places, plain_of
from metaproxy.envoy.report import Report
from metaproxy.xds.counts import ServerCounts
from metaproxy.xds.resource_types import BY_URL, ResourceType
from metaproxy.xds.session import Handler, refusal
from metaproxy.xds.update import WRAPPER, Update, read_state_of_the_world

log = Logger()

T = TypeVar("T")

LOOK_EVERY = 1.0
MAX_FILE = 64 << 20
"""Bytes of one file."""
MAX_FILES = 10_000
SUFFIXES = (".yaml", ".yml", ".json", ".pb")


class Work(Protocol):
    """Runs what takes long in slices."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]: ...


@dataclass(slots=True)
class _File:
    """What is known of one file. resources: of its last content that could be read."""

    stamp: object = None
    resources: list[Packed] = field(default_factory=list)
    error: str = ""


class FileWatch:
    """path: a file or a folder; work: runs the reading; kinds: what is taken of it."""

    def __init__(
        self,
        server: str,
        path: Path,
        kinds: Sequence[ResourceType],
        handler: Handler,
        counts: ServerCounts,
        clock: IReactorTime,
        work: Work,
    ) -> None:
        self.server = server
        self._path = path
        self._kinds = kinds
        self._handler = handler
        self._counts = counts
        self._clock = clock
        self._work = work
        self._files: dict[Path, _File] = {}
        self._offered: dict[str, Update] = {}
        self._stamps: object = None
        self._timer: IDelayedCall | None = None
        self._running = False

    def start(self) -> None:
        self._running = True
        self._look()

    def stop(self) -> None:
        self._running = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def want(self, kind: ResourceType, names: Collection[str]) -> None:
        """Offer again what a kind has, as other names are wanted now."""
        if kind.name in self._offered:
            self._take(kind, self._offered[kind.name])

    def _look(self) -> None:
        found, error = _found(self._path)
        stamps = [(path, stamp) for path, stamp in found.items()]
        if error or stamps == self._stamps:
            self._counts.link(self, not error)
            if error and self._stamps != error:
                self._stamps = error
                self._fault(error)
            self._later()
            return
        self._stamps = stamps
        self._counts.link(self, True)
        self._work(partial(self._read, found)).addCallbacks(
            lambda _: self._offer(), lambda failure: log.failure("xds {server}", failure, server=self.server)
        ).addBoth(lambda _: self._later())

    def _later(self) -> None:
        if self._running:
            self._timer = self._clock.callLater(LOOK_EVERY, self._look)

    def _fault(self, text: str) -> None:
        self._counts.reason = text
        for kind in self._kinds:
            self._counts.of(kind).failures += 1
        log.warn("xds {server}: {text}; what was there stays in force", server=self.server, text=text)

    def _read(self, found: dict[Path, object]) -> None:
        """Read the files that changed."""
        self._files = {path: one for path, one in self._files.items() if path in found}
        for path, stamp in found.items():
            one = self._files.setdefault(path, _File())
            if one.stamp == stamp:
                continue
            one.stamp = stamp
            try:
                one.resources, one.error = read_file(path), ""
            except (OSError, ValueError) as error:
                one.error = str(error)

    def _offer(self) -> None:
        if not self._running:
            return
        for one in self._files.values():
            if one.error:
                self._fault(one.error)
                one.error = ""
        resources = [packed for _, one in sorted(self._files.items()) for packed in one.resources]
        for kind in self._kinds:
            own = [packed for packed in resources if _kind(packed) == kind.url]
            digest = hashlib.sha256(b"".join(packed.value for packed in own)).hexdigest()[:16]
            response = discovery_pb2.DiscoveryResponse(version_info=digest, type_url=kind.url, resources=own)
            self._handler.opened(kind)
            update = self._offered[kind.name] = read_state_of_the_world(response, kind, {})
            self._take(kind, update)

    def _take(self, kind: ResourceType, update: Update) -> None:
        offered = Update(update.version, dict(update.resources), [], update.whole, dict(update.errors), update.nameless)
        self._handler.take(kind, offered).addCallbacks(
            lambda _: self._taken(kind, offered),
            lambda failure: log.failure("xds {server}", failure, server=self.server),
        )

    def _taken(self, kind: ResourceType, update: Update) -> None:
        counts = self._counts.of(kind)
        if update.errors:
            counts.rejected += 1
            text = refusal(update)
            log.error("xds {server}: {kind} refused: {text}", server=self.server, kind=kind.name, text=text)
        else:
            counts.successes += 1
            counts.version = update.version


def _kind(packed: Packed) -> str:
    """Return the type of a resource, of one that stands in a Resource, too."""
    if packed.type_url != WRAPPER:
        return str(packed.type_url)
    wrapper = discovery_pb2.Resource()
    try:
        wrapper.ParseFromString(packed.value)
    except DecodeError:
        return ""
    return str(wrapper.resource.type_url)


def _found(path: Path) -> tuple[dict[Path, object], str]:
    """Return the files there are, each with what differs when it was written; or why there are none."""
    try:
        names = [path]
        if path.is_dir():
            names = sorted(one for one in path.iterdir() if one.suffix in SUFFIXES and not one.name.startswith("."))
        if len(names) > MAX_FILES:
            return {}, f"{path}: {len(names)} files; allowed are {MAX_FILES}"
        found: dict[Path, object] = {}
        for one in names:
            stat = os.stat(one)
            found[one] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        return found, ""
    except OSError as error:
        return {}, f"{error.filename or path}: {error.strerror}"


def read_file(path: Path) -> list[Packed]:
    """Return the resources of a file. Raises OSError or ValueError, with all that is wrong and where."""
    with open(path, "rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ValueError(f"{path}: more than {MAX_FILE} bytes")
    if path.suffix == ".pb":
        response = discovery_pb2.DiscoveryResponse()
        try:
            response.ParseFromString(data)
        except DecodeError as error:
            raise ValueError(f"{path}: not a DiscoveryResponse: {error}") from error
        return list(response.resources)
    root, problems, _ = load_foreign(data, str(path))
    if root is None or problems:
        raise ValueError("; ".join(map(str, problems[:5])) or f"{path}: empty")
    return _resources(root, str(path))


def _resources(root: Node, file: str) -> list[Packed]:
    plain = plain_of(root)
    report = Report()
    response = discovery_pb2.DiscoveryResponse()
    outer = ""  # of the paths of findings: what the file does not have
    if isinstance(plain, list):
        plain, outer = {"resources": plain}, "resources"
    elif isinstance(plain, dict) and "@type" in plain:
        plain, outer = {"resources": [plain]}, "resources[0]"
    fill(response, plain, "", report)
    places = Places(file, root)
    if report.errors:
        found = [one._replace(path=one.path.removeprefix(outer).removeprefix(".")) for one in report.errors[:5]]
        raise ValueError("; ".join(str(places.problem(one)) for one in found))
    others = {_kind(one) for one in response.resources} - set(BY_URL)
    if others:
        raise ValueError(f"{file}: {', '.join(sorted(others))}: no type of resource; there are {', '.join(BY_URL)}")
    return list(response.resources)
