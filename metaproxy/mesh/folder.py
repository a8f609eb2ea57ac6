"""
A folder of YAML, as the objects that stand in it now.

Lives here: `Folder`: which files there are, which have changed. Does not: timers (`metaproxy.app.mesh`), what stands in
a file (`objects`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from metaproxy.config.schema.load import read
from metaproxy.config.slices import checkpoint
from metaproxy.mesh.objects.reading import Document, read_text
from metaproxy.mesh.store import Store

ENDINGS = (".yaml", ".yml", ".json")
MAX_FILES = 20_000


class Folder:
    """
    A folder and those within it. Names that begin with a dot are passed over, as editors have them while they write.
    """

    def __init__(self, path: Path, store: Store) -> None:
        self.path = path
        self._store = store
        self._stamps: dict[str, object] = {}
        self._unread = ""

    def look(self) -> bool:
        """Read what has changed since the last look. Return whether anything has."""
        try:
            found = dict(_files(self.path))
        except OSError as error:
            return self._not_read(f"{error.filename}: {error.strerror}")
        changed = self._not_read("")
        for file in [file for file in self._stamps if file not in found]:
            self._store.fill(file, ())
            del self._stamps[file]
            changed = True
        for file, stamp in found.items():
            if self._stamps.get(file) != stamp:
                checkpoint()
                changed = self._read(file) or changed
                self._stamps[file] = stamp
        return changed

    def _read(self, file: str) -> bool:
        try:
            text = read(file)
        except FileNotFoundError:
            return False  # it is gone since: the next look sees that
        except OSError as error:
            self._store.fill(file, [Document(None, file, problems=(f"{file}: {error.strerror}",))])
            return True
        self._store.fill(file, read_text(text, file))
        return True

    def _not_read(self, text: str) -> bool:
        """Keep what is there while the folder can't be read, and say why it can't; '' when it can."""
        if text == self._unread:
            return False
        self._unread = text
        source = str(self.path)
        self._store.fill(source, [Document(None, source, problems=(text,))] if text else [])
        return True


def _files(folder: Path) -> Iterator[tuple[str, object]]:
    """Return each file of objects with its stamp, which differs when it was written or replaced. Raises OSError."""
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
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or not name.endswith(ENDINGS):
                continue
            count += 1
            if count > MAX_FILES:
                raise OSError(0, f"more than {MAX_FILES} files", str(folder))
            path = os.path.join(where, name)
            try:
                stat = os.stat(path)
            except FileNotFoundError:
                continue  # it is gone since, or a link to nothing
            yield path, (stat.st_mtime_ns, stat.st_size, stat.st_ino)
