"""
How much memory there is, how much the process takes, and how much of it is kept for single connections.

Lives here: readers of /proc and of cgroups, `held_by_client`. Does not: what is done when it is too much (`overload`).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from metaproxy.interfaces import ISession
from metaproxy.message import Message

PER_EXCHANGE = 1024
"""Bytes that an exchange takes besides the frame of its request, about."""


def resident() -> int:
    """The process's resident set, in bytes. 0 where there is no /proc."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return 0


_PAGE = os.sysconf("SC_PAGE_SIZE")


def available(root: Path = Path("/")) -> int:
    """Bytes that the process may take: the smallest limit of its cgroups, or all that the machine has."""
    machine = os.sysconf("SC_PHYS_PAGES") * _PAGE
    return min([machine, *_cgroup_limits(root)])


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Of the process's cgroup and of those that it is in; both versions. A namespace may hide the outer ones."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            folder, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            folder, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = folder / path.strip("/")
        for place in (group, *group.parents):
            try:
                text = (place / name).read_text().strip()
            except OSError:
                text = ""
            if text.isdecimal() and int(text):
                yield int(text)
            if place == folder:
                break


def give_back() -> None:
    """Has the C library return what was freed to the system; it keeps it else, and the process looks as large."""
    if _TRIM is not None:
        _TRIM(0)


_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)


class Request(Protocol):
    @property
    def message(self) -> Message: ...


class HoldingClient(Protocol):
    """What is looked at of a downstream connection."""

    @property
    def session(self) -> ISession: ...

    @property
    def transport(self) -> object: ...

    def under_way(self) -> Iterator[Request]: ...


def held_by_client(client: HoldingClient) -> int:
    """Bytes kept for a client: an unfinished frame, answers that it did not take, requests that are under way."""
    held = int(client.session.buffered) + int(getattr(client.transport, "buffered", 0))
    for exchange in client.under_way():
        held += PER_EXCHANGE + len(exchange.message.frame)
    return held
