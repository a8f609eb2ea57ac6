"""
A folder of files, such as the checkout of a git repository.

Lives here: `Folder`. Does not: what files hold (`documents`).

It is looked at often, and read when nothing changed between two looks: a program that writes many files, as git does,
is done by then. Hidden files and folders are left out (`.git`), and so is what is neither YAML nor JSON.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metaproxy.control.sources.roles import Receiver

EVERY = 0.1
"""Seconds between two looks."""
LONGEST = 2.0
"""Seconds after which it is read although it changes with each look."""
MAX_FILES = 10_000
MAX_DEPTH = 16
MAX_BYTES = 64 << 20
"""Of one file."""
SUFFIXES = (".yaml", ".yml", ".json")

Stamp = tuple[int, int, int]
"""Time of the last change in nanoseconds, size, inode."""


class TooMany(ValueError):
    """More files than are read."""


class Folder:
    """
    path: the folder. skipped: names of files in it that hold something else, such as the settings of this process.
    """

    strict = True

    def __init__(self, path: str | Path, clock: IReactorTime, skipped: tuple[str, ...] = ()) -> None:
        self.where = str(path)
        self._path = Path(path)
        self._clock = clock
        self._skipped = skipped
        self._receiver: Receiver | None = None
        self._timer: IDelayedCall | None = None
        self._read: dict[str, Stamp] = {}
        self._texts: dict[str, bytes] = {}
        self._seen: dict[str, Stamp] | None = None
        self._changing_since: float | None = None
        self._problem = ""

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._look(first=True)

    def stop(self) -> None:
        self._receiver = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def write(self, path: str, text: bytes | None) -> Deferred[None]:
        """A new file is written beside the old one and renamed, so that no one reads half of it."""
        place = self._path / path
        try:
            if text is None:
                place.unlink(missing_ok=True)
            else:
                beside = place.with_name(f".{place.name}.new")
                beside.write_bytes(text)
                beside.replace(place)
        except OSError as error:
            return fail(error)
        return succeed(None)

    def _look(self, first: bool = False) -> None:
        self._timer = self._clock.callLater(EVERY, self._look)
        assert self._receiver is not None
        try:
            stamps = dict(self._stamps())
        except (OSError, TooMany) as error:
            self._failed(str(error))
            return
        seen, self._seen = self._seen, stamps
        if stamps == self._read and not first and not self._problem:
            self._changing_since = None
            return
        if self._changing_since is None:
            self._changing_since = self._clock.seconds()
        if first or stamps == seen or self._clock.seconds() - self._changing_since >= LONGEST:
            self._take(stamps)

    def _take(self, stamps: dict[str, Stamp]) -> None:
        texts: dict[str, bytes] = {}
        changed: dict[str, bytes | None] = {path: None for path in self._texts if path not in stamps}
        try:
            for path, stamp in stamps.items():
                known = self._texts.get(path)
                if known is None or self._read.get(path) != stamp:
                    text = (self._path / path).read_bytes()
                    if text != known:
                        changed[path] = known = text
                texts[path] = known
        except OSError as error:
            self._failed(f"{error.filename}: {error.strerror}")
            return
        assert self._receiver is not None
        first = self._seen is not None and not self._read and not self._texts
        self._read, self._texts, self._changing_since = stamps, texts, None
        recovered, self._problem = bool(self._problem), ""
        if changed or first or recovered:
            self._receiver.update(changed)

    def _failed(self, reason: str) -> None:
        if reason != self._problem:
            self._problem = reason
            assert self._receiver is not None
            self._receiver.failed(f"{self.where}: {reason}")

    def _stamps(self) -> Iterator[tuple[str, Stamp]]:
        """Yield each file with what tells whether it changed. Raises OSError, TooMany."""
        count = 0
        folders = [""]
        while folders:
            folder = folders.pop()
            with os.scandir(self._path / folder) as entries:
                for entry in entries:
                    path = f"{folder}{entry.name}"
                    if entry.name.startswith(".") or path in self._skipped:
                        continue
                    if entry.is_dir():
                        if path.count("/") >= MAX_DEPTH:
                            raise TooMany(f"{path}: more than {MAX_DEPTH} folders deep; does a link lead back?")
                        folders.append(f"{path}/")
                    elif entry.name.endswith(SUFFIXES):
                        count += 1
                        if count > MAX_FILES:
                            raise TooMany(f"more than {MAX_FILES} files")
                        status = entry.stat()
                        if status.st_size > MAX_BYTES:
                            raise TooMany(f"{path} has {status.st_size} bytes; allowed are {MAX_BYTES}")
                        yield path, (status.st_mtime_ns, status.st_size, status.st_ino)
