"""
metaproxy as a process, between peers.

Lives here: writing its configuration, starting it, asking its admin interface, ending it. Does not: fixtures.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from running import STARTED, Program, free_port

TWISTD = Path(sys.executable).with_name("twistd")
METAPROXY = Path(sys.executable).with_name("metaproxy")
DRAINED = 20.0  # seconds until it has ended after TERM; our configurations drain for less


class Proxy:
    """
    `twistd -n metaproxy` on a configuration, ready when the constructor returns.

    config: as in a file, or an Envoy bootstrap; its admin interface is given a free port. seconds: that it has to
    become ready. url: of the admin interface.
    """

    def __init__(self, config: Mapping[str, Any], directory: Path, seconds: float = STARTED) -> None:
        admin = free_port()
        self.url = f"http://127.0.0.1:{admin}"
        self.directory = directory
        self.file = directory / "metaproxy.yaml"
        self._over = False
        self._admin = {"listen": f"127.0.0.1:{admin}"}
        self.write(config)
        self._program = Program(
            [TWISTD, "-n", "--pidfile=", "metaproxy", "--config", self.file],
            directory / "metaproxy.log",
            ready=self._ready,
            cwd=directory,
            seconds=seconds,
        )
        self.pid = self._program.pid

    def write(self, config: Mapping[str, Any]) -> None:
        """Puts another configuration into the file that it runs on."""
        admin = {**self._admin, **config.get("admin", {})}
        if "static_resources" in config:
            host, _, port = self._admin["listen"].rpartition(":")
            admin = {"address": {"socket_address": {"address": host, "port_value": int(port)}}}
        self.file.write_text(yaml.safe_dump({**config, "admin": admin}, sort_keys=False))

    def _ready(self) -> bool:
        try:
            return self.ask("/ready")[0] == 200
        except OSError:
            return False

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
        """Status and text of what the admin interface answers."""
        request = urllib.request.Request(self.url + path, data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def admin(self, path: str, method: str = "GET", body: bytes | None = None) -> Any:
        """What the admin interface answers, decoded where it is JSON. Fails the test on any status but 200."""
        status, text = self.ask(path, method, body)
        assert status == 200, f"{method} {path}: {status} {text[:500]}"
        try:
            return json.loads(text)
        except ValueError:
            return text

    def stats(self) -> dict[str, Any]:
        """The counters, flat."""
        counters: dict[str, Any] = self.admin("/stats?format=json")
        return counters

    def counted(self, metric: str) -> int:
        """The sum of a counter's values, whatever their labels are."""
        return int(sum(value for name, value in self.stats().items() if name.startswith(metric + "{")))

    def command(self, *arguments: object, expect: int | None = 0) -> str:
        """
        What `metaproxy` prints that is to act on this one. Fails the test on any exit status but the expected; None
        expects none.
        """
        argv = [str(METAPROXY), *map(str, arguments)]
        environment = {**os.environ, "METAPROXY_ADMIN": self.url}
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, env=environment)
        assert expect in (None, done.returncode), (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def outcomes(self) -> dict[str, int]:
        """How many exchanges ended in which way, since it started."""
        counted: Counter[str] = Counter()
        for name, value in self.stats().items():
            found = re.match(r'metaproxy_exchanges_total\{.*outcome="(\w+)"', name)
            if found and value:
                counted[found[1]] += int(value)
        return dict(counted)

    def memory(self) -> int:
        """Bytes of it that are resident now."""
        return self._kib("VmRSS") << 10

    def peak(self) -> int:
        """Bytes of it that were resident at most, since the start or since `forget_peak`."""
        return self._kib("VmHWM") << 10

    def forget_peak(self) -> None:
        """Has `peak` begin again with what is resident now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _kib(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (line,) = [line for line in lines if line.startswith(f"{name}:")]
        return int(line.split()[1])

    def log(self) -> str:
        return self._program.text()

    def stop(self) -> None:
        """Ends it, once; fails the test when it did not end by itself, or when its log holds a traceback."""
        if self._over:
            return
        self._over = True
        ended = self._program.running
        self._program.signal(15)
        status = self._program.wait(DRAINED)
        if status is None:
            self._program.kill()
        log = self.log()
        assert "Traceback (most recent call last)" not in log, f"the proxy's log holds a traceback:\n{log[-6000:]}"
        assert ended, f"the proxy ended by itself:\n{log[-3000:]}"
        assert status is not None, f"the proxy did not end within {DRAINED:g} s of TERM:\n{log[-3000:]}"


def listener(name: str, port: int, protocol: Any, routes: Sequence[object], **options: Any) -> dict[str, Any]:
    """A listener on 127.0.0.1 that drains quickly."""
    base = {"name": name, "listen": f"127.0.0.1:{port}", "protocol": protocol, "drain_timeout": "1s"}
    return {**base, **options, "routes": routes}


def cluster(name: str, *ports: int, **options: Any) -> dict[str, Any]:
    """A cluster of servers on 127.0.0.1."""
    return {"name": name, "endpoints": [f"127.0.0.1:{port}" for port in ports], **options}
