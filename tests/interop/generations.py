"""
A proxy that is upgraded again and again, with the real process, alone or with workers.

Lives here: `Generations`, `under_load`. Does not: clients and servers (upgrade_load.py), assertions on what they saw.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml
from authority import Authority
from proxied import TWISTD, cluster, listener
from running import Program, eventually, free_port
from upgrade_load import Load, Servers, to_path, to_port

DRAIN = 4.0
PATIENCE = 300.0
"""Seconds that a new process has: a machine that is busy with other things may take long to start three programs."""


class Generations:
    """
    A proxy and those that follow it. pid: of the one that serves. pids, workers: of all that served, and of their
    workers. more: what the configuration has besides, sections of lists behind its own.
    """

    def __init__(self, folder: Path, **more: Any) -> None:
        self.folder = folder
        self._more = more
        self.admin, self.http, self.tls, self.resp, self.http_server, self.resp_server = (free_port() for _ in range(6))
        self.path = str(folder / "resp.sock")
        self.url = f"http://127.0.0.1:{self.admin}"
        self.authority = Authority(folder)
        self.issued = self.authority.issue("localhost", "localhost")
        self.file = folder / "proxy.yaml"
        self.pid_file = folder / "proxy.pid"
        self.pids: list[int] = []
        self.workers: list[int] = []
        self.write(self.config())
        self.first: Program | None = None

    def config(self) -> dict[str, Any]:
        tls = {"certificate": str(self.issued.certificate), "key": str(self.issued.key)}
        options: dict[str, Any] = {"drain_timeout": f"{DRAIN:g}s"}
        resp = listener("resp", self.resp, "redis", [{"cluster": "resp"}], **options)
        whole = {
            "admin": {"listen": f"127.0.0.1:{self.admin}"},
            "listeners": [
                listener("http", self.http, "http", [{"cluster": "http"}], **options),
                listener("tls", self.tls, "http", [{"cluster": "http"}], tls=tls, **options),
                {**resp, "listen": [f"127.0.0.1:{self.resp}", f"unix:{self.path}"]},
            ],
            "clusters": [cluster("http", self.http_server), cluster("resp", self.resp_server)],
        }
        return {
            **whole,
            **{
                key: [*whole.get(key, []), *value] if isinstance(value, list) else value
                for key, value in self._more.items()
            },
        }

    def write(self, config: dict[str, Any]) -> None:
        self.file.write_text(yaml.safe_dump(config))

    def start(self) -> None:
        argv: list[str | Path] = [TWISTD, "-n", f"--pidfile={self.pid_file}", "metaproxy", "--config", self.file]
        self.first = Program(argv, self.folder / "proxy.log", ready=self._ready, cwd=self.folder, seconds=PATIENCE)
        self._note(self.pid)

    def _note(self, pid: int) -> None:
        self.pids.append(pid)
        self.workers += [one["pid"] for one in self.shown_workers()]

    def shown_workers(self) -> list[dict[str, Any]]:
        """What /workers shows, once all are ready; [] where there are none."""
        if "workers" not in self._more:
            return []
        found: list[dict[str, Any]] = []

        def ready() -> bool:
            found[:] = self.ask("GET", "/workers")[1]["workers"]
            return all(one["state"] == "ready" for one in found)

        assert eventually(ready, PATIENCE, 0.1), found
        return found

    def _ready(self) -> bool:
        try:
            return self.ask("GET", "/ready")[0] == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, value: object = None) -> tuple[int, Any]:
        body = None if value is None else str(value).encode()
        request = urllib.request.Request(self.url + path, body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE + 10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    @property
    def pid(self) -> int:
        return int(self.ask("GET", "/server_info")[1]["pid"])

    def exchanges(self) -> float:
        """How many all of them have counted together."""
        stats = self.ask("GET", "/stats?format=json")[1]
        return sum(float(value) for name, value in stats.items() if name.startswith("metaproxy_exchanges_total{"))

    def upgrade(self) -> None:
        status, answer = self.ask("POST", f"/upgrade?timeout={PATIENCE:g}")
        assert status == 200, answer
        places = sum(len(one["listen"]) if isinstance(one["listen"], list) else 1 for one in self.config()["listeners"])
        assert (len(answer["took"]), answer["bound"], answer["closed"]) == (places + 1, [], [])
        self._note(answer["pid"])

    def upgrade_by_signal(self) -> None:
        before = self.pids[-1]
        os.kill(before, signal.SIGUSR2)
        assert eventually(lambda: self.pid != before, PATIENCE, 0.1), self.log()[-3000:]
        self._note(self.pid)

    def stop(self) -> None:
        for pid in self.pids:
            if runs(pid):
                os.kill(pid, 15)
        assert eventually(lambda: not any(map(runs, self.pids)), DRAIN + 10), self.log()[-3000:]

    def log(self) -> str:
        return (self.folder / "proxy.log").read_text(errors="replace")


def runs(pid: int) -> bool:
    """Whether a process is there; one that nothing has waited for yet is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def under_load(
    proxy: Generations, upgrades: Iterable[Callable[[], None]], begun: Callable[[], None] = lambda: None
) -> tuple[Load, Servers]:
    """Start a proxy and upgrade it under load, by each of `upgrades`. begun: called when it is started."""
    servers, load = Servers(), Load()
    await servers.start(proxy.http_server, proxy.resp_server)
    await asyncio.to_thread(proxy.start)
    await asyncio.to_thread(begun)
    trusting = ssl.create_default_context(cafile=str(proxy.authority.ca))
    http, tls, resp, unix = to_port(proxy.http), to_port(proxy.tls, trusting), to_port(proxy.resp), to_path(proxy.path)
    clients = [
        load.each_new("http_new", http), load.each_new("http_tls_new", tls), load.each_new("resp_new", resp),
        load.each_new("resp_unix_new", unix), load.each_new("http_slow_new", http, slow=True),
        load.kept("http_kept", http), load.kept("http_tls_kept", tls), load.kept("resp_kept", resp),
        load.kept("resp_unix_kept", unix),
    ]  # fmt: skip
    running = [asyncio.create_task(one) for one in clients]
    for upgrade in upgrades:
        await asyncio.to_thread(upgrade)
    await asyncio.sleep(1.0)
    load.over = True
    await asyncio.gather(*running)
    servers.stop()
    return load, servers


def unexpected(load: Load, servers: Servers, least: int) -> list[str]:
    """
    Say what of a load was refused, had no end or several, reached a server and was not answered, or was answered and
    reached none. least: requests of each kind of client.
    """
    found = []
    for kind in KINDS:
        ends = load.count(kind)
        print(f"{kind:16} {dict(ends)}")
        allowed = {"answered", "crossed"} if kind in WORDLESS else {"answered"}
        # A slow request may last as long as several upgrades.
        if not set(ends) <= allowed or ends["answered"] < (1 if kind == "http_slow_new" else least):
            found.append(f"{kind}: {dict(ends)}")
    for name, end in load.ends.items():
        # What was answered was asked once, and what was not answered never.
        if len(end) != 1 or servers.asked[name] != (end == ["answered"]):
            found.append(f"{name}: {end}, came to a server {servers.asked[name]} times")
    return found


KINDS = (
    "http_new", "http_tls_new", "resp_new", "resp_unix_new", "http_slow_new", "http_kept", "http_tls_kept",
    "resp_kept", "resp_unix_kept",
)  # fmt: skip
WORDLESS = ("resp_kept", "resp_unix_kept")
"""Clients that keep their connections, of a protocol that has no word for leaving."""
