"""
What another process takes of the machine.

Lives here: `cpu_seconds`, `memory_bytes`, readers of /proc. Does not: the memory of this process, its limits
(`proxy.memory`).
"""

from __future__ import annotations

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, all its threads. 0 when there is none."""
    # The name of the program stands in parentheses and may have any character: fields are counted from its end.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK if len(fields) > 12 else 0.0


def memory_bytes(pid: int) -> int:
    """Resident memory of a process. 0 when there is none."""
    fields = _read(pid, "statm").split()
    return int(fields[1]) * _PAGE if len(fields) > 1 else 0


def _read(pid: int, name: str) -> str:
    if not pid:
        return ""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
