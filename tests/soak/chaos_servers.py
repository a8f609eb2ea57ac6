"""
Real servers that can be killed, hung and started again, and a network that can be cut: what the chaos test harms.

Lives here: `Space`, `Server`. Does not: what goes wrong and when (chaos_faults.py).
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SPACE, HOST, INSIDE = "metaproxy-chaos", "10.211.7.1", "10.211.7.2"


def sh(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Space:
    """A network namespace with one address, which can be cut off: what it sends back is dropped without a word."""

    def __enter__(self) -> Space:
        self.leave()
        sh("ip", "netns", "add", SPACE)
        sh("ip", "link", "add", "mpchaos0", "type", "veth", "peer", "name", "mpchaos1", "netns", SPACE)
        sh("ip", "addr", "add", f"{HOST}/30", "dev", "mpchaos0")
        sh("ip", "link", "set", "mpchaos0", "up")
        self.inside("ip", "addr", "add", f"{INSIDE}/30", "dev", "mpchaos1")
        self.inside("ip", "link", "set", "mpchaos1", "up")
        self.inside("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        subprocess.run(["ip", "link", "del", "mpchaos0"], capture_output=True)
        subprocess.run(["ip", "netns", "del", SPACE], capture_output=True)

    def inside(self, *command: str) -> None:
        sh("ip", "netns", "exec", SPACE, *command)

    def cut(self) -> None:
        self.inside("ip", "route", "replace", "blackhole", f"{HOST}/32")

    def join(self) -> None:
        self.inside("ip", "route", "del", "blackhole", f"{HOST}/32")


class Server:
    """A real server that can be killed, stalled and started again at the same port."""

    def __init__(
        self, command: Any, port: int, log: Path, host: str = "127.0.0.1", prefix: tuple[str, ...] = ()
    ) -> None:
        self.argv = [*prefix, *map(str, command.argv)]
        self.env = {**os.environ, **(command.env or {})}
        self.host, self.port, self.log = host, port, log
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.argv, env=self.env, stdout=log, stderr=log, start_new_session=True)
        wait_for(lambda: answers(self.host, self.port), self.log)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 0.5).close()
    except OSError:
        return False
    return True


def wait_for(check: Callable[[], bool], log: Path, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
        time.sleep(0.05)
