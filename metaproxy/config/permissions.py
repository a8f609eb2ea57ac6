"""
Whether others may write what the proxy runs: folders of plugins, and the files in them.

Lives here: `who_else_writes`. Does not: who may read (keys and secrets are the operator's own business).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path


def who_else_writes(folder: Path) -> Iterator[str]:
    """A text for the folder, and for each file of Python in it, that a user besides root and ours may change."""
    for path in (folder, *sorted(folder.glob("*.py"))):
        reason = _reason(path)
        if reason:
            yield f"{path} {reason}: who writes there runs code in the proxy"


def _reason(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:  # it is gone, or not there yet: there is nothing to run
        return ""
    if found.st_uid not in (0, os.geteuid()):
        return f"belongs to user {found.st_uid}"
    if found.st_mode & stat.S_IWOTH:
        return "can be written by everybody"
    if found.st_mode & stat.S_IWGRP:
        return f"can be written by group {found.st_gid}"
    return ""
