"""
A folder of YAML, as the objects that stand in it now.

Lives here: `Folder`: which files there are, which have changed. Does not: timers (`metaproxy.app.mesh`), what the
kernel says of changes (`folder_events`), what stands in a file (`object_file`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from metaproxy.config.schema.load import read
from metaproxy.config.slices import checkpoint
from metaproxy.mesh.folder_events import FolderEvents
from metaproxy.mesh.object_file import ObjectFile
from metaproxy.mesh.objects.reading import Document
from metaproxy.mesh.store import Store

ENDINGS = (".yaml", ".yml", ".json")
MAX_FILES = 20_000
ALL_EVERY = 30
"""Looks after which all files are looked at, whatever the kernel says: a file system may be mounted meanwhile."""


class Folder:
    """
    A folder and those within it. Names that begin with a dot are passed over, as editors have them while they write.

    read: how often a file was read, and looked: how often one was looked at, for tests.
    """

    def __init__(self, path: Path, store: Store) -> None:
        self.path = path
        self.read = self.looked = 0
        self._store = store
        self._stamps: dict[str, object] = {}
        self._files: dict[str, ObjectFile] = {}
        self._linked: set[str] = set()  # files that are links: what they lead to changes without a word
        self._folders: set[str] = set()
        self._events = FolderEvents()
        self._until_all = 0  # looks until everything is looked at again
        self._unread = ""

    def look(self) -> bool:
        """Read what has changed since the last look. Return whether anything has."""
        names = self._events.take()
        self._until_all -= 1
        if names is None or self._until_all < 0 or any(map(self._is_folder, names)):
            return self._look_at_all()
        changed = False
        for file in sorted({*filter(_is_read, names), *self._linked}):
            try:
                stamp = _stamp(file)
            except FileNotFoundError:
                changed = self._forget(file) or changed
            except OSError:
                return self._look_at_all()
            else:
                changed = self._look_at(file, stamp) or changed
        return changed

    def _is_folder(self, path: str) -> bool:
        """Whether a path leads to files within it, or did."""
        return path in self._folders or os.path.isdir(path)

    def _look_at_all(self) -> bool:
        self._until_all = ALL_EVERY
        self._folders = set()
        try:
            found = dict(_files(self.path, self._folders))
        except OSError as error:
            self._until_all = 0
            return self._not_read(f"{error.filename}: {error.strerror}")
        changed = self._not_read("")
        for file in [file for file in self._stamps if file not in found]:
            changed = self._forget(file) or changed
        for file, stamp in found.items():
            changed = self._look_at(file, stamp) or changed
        if self._events.watch(self._folders):
            self._until_all = 0  # something may have changed between the look and the watch
        return changed

    def _look_at(self, file: str, stamp: object) -> bool:
        self.looked += 1
        if self._stamps.get(file) == stamp:
            return False
        checkpoint()
        if len(self._stamps) >= MAX_FILES and file not in self._stamps:
            return self._look_at_all()
        changed = self._read(file)
        self._stamps[file] = stamp
        if os.path.islink(file):
            self._linked.add(file)
        return changed

    def _forget(self, file: str) -> bool:
        """Have nothing of a file that is gone. Return whether there was anything."""
        self._linked.discard(file)
        self._files.pop(file, None)
        if self._stamps.pop(file, None) is None:
            return False
        self._store.fill(file, ())
        return True

    def _read(self, file: str) -> bool:
        self.read += 1
        try:
            text = read(file)
        except FileNotFoundError:
            return False  # it is gone since: the next look sees that
        except OSError as error:
            self._store.fill(file, [Document(None, file, problems=(f"{file}: {error.strerror}",))])
            return True
        self._store.fill(file, self._files.setdefault(file, ObjectFile(file)).read(text))
        return True

    def _not_read(self, text: str) -> bool:
        """Keep what is there while the folder can't be read, and say why it can't; '' when it can."""
        if text == self._unread:
            return False
        self._unread = text
        source = str(self.path)
        self._store.fill(source, [Document(None, source, problems=(text,))] if text else [])
        return True


def _is_read(path: str) -> bool:
    """Whether a name is one of a file of objects."""
    name = os.path.basename(path)
    return not name.startswith(".") and name.endswith(ENDINGS)


def _stamp(file: str) -> object:
    """Return what differs when a file was written or replaced. Raises OSError."""
    stat = os.stat(file)
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _files(folder: Path, within: set[str]) -> Iterator[tuple[str, object]]:
    """Return each file of objects with its stamp, and put the folders that there are into `within`. Raises OSError."""
    count = 0

    def fail(error: OSError) -> None:
        raise error

    seen: set[str] = set()
    for where, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:  # a link to a folder that it is in, or to one that is read already
            folders.clear()
            continue
        seen.add(real)
        within.add(where)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (os.path.join(where, name) for name in sorted(names) if _is_read(name)):
            count += 1
            if count > MAX_FILES:
                raise OSError(0, f"more than {MAX_FILES} files", str(folder))
            try:
                yield path, _stamp(path)
            except FileNotFoundError:
                continue  # it is gone since, or a link to nothing
