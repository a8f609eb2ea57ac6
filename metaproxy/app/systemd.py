"""
systemd as the process's manager: sockets that it opened, and what it is sent about the process's state.

Lives here: `sockets_of`, `first_environment`, `Notifier`. Does not: when something is sent (`start`, `upgrade`). Both
protocols are public: sd_listen_fds(3) and sd_notify(3).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from twisted.logger import Logger

from metaproxy.support.addresses import Address
from metaproxy.support.inherited import InheritedSocket

log = Logger()

FIRST = 3
"""The descriptor of the first socket."""
MOST = 10_000


def first_environment() -> dict[str, str]:
    """Return the environment that the process began with: twistd takes systemd's variables out of `os.environ`."""
    written = Path("/proc/self/environ").read_bytes().split(b"\0")
    pairs = (os.fsdecode(one).partition("=") for one in written if one)
    return {key: value for key, _, value in pairs}


def sockets_of(environ: Mapping[str, str]) -> list[InheritedSocket]:
    """Return the sockets that systemd hands to this process: their variables have its pid, and are for no other one."""
    pid, number, names = (environ.get(f"LISTEN_{key}", "") for key in ("PID", "FDS", "FDNAMES"))
    if pid != str(os.getpid()) or not number.isdecimal() or not 0 < int(number) <= MOST:
        return []
    called = names.split(":") if names else []
    return list(_sockets(range(FIRST, FIRST + int(number)), called))


def _sockets(descriptors: range, names: list[str]) -> Iterator[InheritedSocket]:
    for place, fd in enumerate(descriptors):
        name = names[place] if place < len(names) else ""
        os.set_inheritable(fd, False)
        try:
            sock = socket.socket(fileno=fd)
        except OSError as error:
            log.warn("systemd: descriptor {fd} {name} is no socket: {error}", fd=fd, name=name, error=error.strerror)
            continue
        if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            log.warn("systemd: socket {fd} {name} is not used; write ListenStream= and Accept=no", fd=fd, name=name)
            sock.close()
            continue
        yield InheritedSocket(sock, address_of(sock), name=name, keeps_file=True)


def address_of(sock: socket.socket) -> Address:
    """Return where a socket listens, as a configuration writes it."""
    at = sock.getsockname()
    if isinstance(at, tuple):
        return Address(sock.family, str(at[0]), int(at[1]))
    return Address(sock.family, at.decode(errors="replace") if isinstance(at, bytes) else str(at), 0)


class Notifier:
    """Sends systemd what sd_notify(3) has, where it wants to hear it (`Type=notify`)."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._where = environ.get("NOTIFY_SOCKET", "")

    def ready(self, pid: int | None = None) -> None:
        """pid: of the process that is the service's main one from now on."""
        self._send("READY=1", *([] if pid is None else [f"MAINPID={pid}"]), "STATUS=serving")

    def reloading(self, what: str) -> None:
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", f"STATUS={what}")

    def stopping(self) -> None:
        self._send("STOPPING=1", "STATUS=draining")

    def _send(self, *lines: str) -> None:
        if not self._where:
            return
        where = f"\0{self._where[1:]}" if self._where.startswith("@") else self._where
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            try:
                sock.sendto("\n".join(lines).encode(), where)
            except OSError as error:  # the service goes on without it
                log.warn("systemd: {where}: {error}", where=self._where, error=error.strerror)
