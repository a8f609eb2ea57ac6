"""
The pid file of twistd, while two processes have one name.

Lives here: `PidFile`. Does not: writing one, which twistd does at its start; it removes, at its end, the one that its
options name.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

OLD = ".old"
"""What the file of the old process is called while, and after, a new one takes its place."""


class PidFile:
    """options: of twistd; without a `pidfile`, nothing is done."""

    def __init__(self, options: MutableMapping[str, object]) -> None:
        self._options = options
        self._path = str(options.get("pidfile") or "")

    def set_aside(self) -> None:
        """A new process is started, which ends where there is a file."""
        if self._path and os.path.exists(self._path):
            os.replace(self._path, self._path + OLD)

    def put_back(self) -> None:
        """The new process failed, with or without a file of its own."""
        if self._path and os.path.exists(self._path + OLD):
            os.replace(self._path + OLD, self._path)

    def leave(self) -> None:
        """The file is the new process's."""
        if self._path:
            self._options["pidfile"] = self._path + OLD
