"""
Redirected traffic on one machine: a network namespace with addresses of its own and rules of nftables.

Lives here: `in_a_namespace`, and talking to what is in it. Does not: what the proxy makes of it.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

CLONE_NEWNET = 0x40000000
T = TypeVar("T")


def in_a_namespace(body: Callable[[], T], rules: str) -> T:
    """Runs `body` in a thread that has a network of its own, with rules of nftables; so have the programs it starts."""

    def inside() -> T:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
            pytest.fail(os.strerror(ctypes.get_errno()))
        for command in ("link set lo up", "addr add 10.9.9.9/32 dev lo", "addr add fd00::9/128 dev lo nodad",
                        "addr add fd00::c/128 dev lo nodad"):  # fmt: skip
            subprocess.run(["ip", *command.split()], check=True)
        subprocess.run(["nft", "-f", "-"], input=rules.encode(), check=True)
        return body()

    with ThreadPoolExecutor(1) as one:
        return one.submit(inside).result()


def ask(where: tuple[str, int], command: bytes, source: str = "") -> bytes:
    with socket.create_connection(where, 5, (source, 0) if source else None) as client:
        client.sendall(command + b"\r\n")
        return client.recv(4096)


def listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True
