"""
The pid file of twistd, while two processes have one name.

Lives here: `PidFile`. Does not: writing one, which twistd does at its start; it removes, at its end, the one that its
options name.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping


class PidFile:
    """
    options: of twistd; without a `pidfile`, nothing is done. The file is set aside as `twistd.pid.4711`, with the pid
    in its name: several processes may drain at a time.
    """

    def __init__(self, options: MutableMapping[str, object]) -> None:
        self._options = options
        self._path = str(options.get("pidfile") or "")

    @property
    def _aside(self) -> str:
        return f"{self._path}.{os.getpid()}"

    def set_aside(self) -> None:
        """A new process is started, which ends where there is a file."""
        if self._path and os.path.exists(self._path):
            os.replace(self._path, self._aside)

    def put_back(self) -> None:
        """The new process failed, with or without a file of its own."""
        if self._path and os.path.exists(self._aside):
            os.replace(self._aside, self._path)

    def leave(self) -> None:
        """The file is the new process's."""
        if self._path:
            self._options["pidfile"] = self._aside
