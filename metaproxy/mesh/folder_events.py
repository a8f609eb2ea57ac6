"""
Which names in some folders have changed, as Linux says it, so that nothing else needs a look.

Lives here: `FolderEvents`, around inotify. Does not: what stands in a folder (`folder`). Where there is no inotify, or
a file system on which others may write without its notice, nothing is known, and `take` says so.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import weakref
from collections.abc import Iterable

_CREATE, _DELETE, _MOVED, _WRITTEN, _ISDIR = 0x100, 0x200, 0x40 | 0x80, 0x2 | 0x8, 0x40000000
_MASK = _CREATE | _DELETE | _MOVED | _WRITTEN | 0x400 | 0x800 | 0x01000000  # itself gone or moved; folders alone
_HEAD = struct.Struct("iIII")
_MAX = 1 << 20
"""Bytes of events that are taken in one go; more is as good as not knowing."""
LOCAL = frozenset(("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"))
"""File systems that have all changes to them made by this kernel."""


class FolderEvents:
    """What has changed in folders since it was asked the last time."""

    def __init__(self) -> None:
        self._fd = -1
        self._folders: dict[int, str] = {}
        self._known = False  # whether all folders are watched

    def watch(self, folders: Iterable[str]) -> bool:
        """Watch these folders and no others from now on. Return whether any is new, or not watched."""
        wanted = set(folders)
        if self._known and wanted == set(self._folders.values()):
            return False
        self._close()
        self._known = _are_local(wanted) and self._open() and all(map(self._add, wanted))
        if not self._known:
            self._close()
        return True

    def take(self) -> set[str] | None:
        """Return the paths that have changed; None where that is not known, also when a folder came or went."""
        if not self._known:
            return None
        try:
            data = os.read(self._fd, _MAX)
        except BlockingIOError:
            return set()
        if len(data) > _MAX - 4096:
            return None
        found: set[str] = set()
        while data:
            watch, mask, _, size = _HEAD.unpack_from(data)
            name = os.fsdecode(data[_HEAD.size : _HEAD.size + size].rstrip(b"\0"))
            data = data[_HEAD.size + size :]
            folder = self._folders.get(watch)
            if mask & _ISDIR or not name or folder is None:
                return None
            found.add(os.path.join(folder, name))
        return found

    def _open(self) -> bool:
        if not sys.platform.startswith("linux"):
            return False
        self._libc = ctypes.CDLL(None)
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            return False
        self._closed = weakref.finalize(self, os.close, self._fd)
        return True

    def _add(self, folder: str) -> bool:
        watch = self._libc.inotify_add_watch(self._fd, os.fsencode(folder), _MASK)
        if watch >= 0:
            self._folders[watch] = folder
        return bool(watch >= 0)

    def _close(self) -> None:
        self._folders = {}
        if self._fd >= 0:
            self._closed()
            self._fd = -1


def _are_local(folders: Iterable[str]) -> bool:
    """Whether all folders are on file systems that no other machine writes to."""
    try:
        with open("/proc/self/mountinfo") as file:
            rows = [row.split() for row in file]
        kinds = {row[2]: row[row.index("-") + 1] for row in rows}
        devices = {os.stat(folder).st_dev for folder in folders}
    except (OSError, ValueError, IndexError):
        return False
    return all(kinds.get(f"{os.major(one)}:{os.minor(one)}") in LOCAL for one in devices)
