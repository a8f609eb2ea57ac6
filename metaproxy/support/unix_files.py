"""
The files of Unix sockets.

Lives here: removing one that a process left behind. Does not: sockets.
"""

from __future__ import annotations

import errno
import os
import socket


def remove_stale_socket(path: str) -> None:
    """A socket's file without a listener would make bind fail for ever."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)
