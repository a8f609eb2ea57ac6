"""
Hot restarts under load, with the real process: each request has one end, and none is refused. UPGRADES has how many
(5; 1000 in a soak), UPGRADES_SECONDS after which it ends with fewer; figures are printed (pytest -s).
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from authority import Authority
from proxied import METAPROXY, TWISTD, cluster, listener
from running import Program, eventually, free_port
from upgrade_load import Load, Servers, to_path, to_port

UPGRADES = int(os.environ.get("UPGRADES", "5"))
SECONDS = float(os.environ.get("UPGRADES_SECONDS", "inf"))
DRAIN = 4.0


class Generations:
    """A proxy and those that follow it. pid: of the one that serves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.admin, self.http, self.tls, self.resp, self.http_server, self.resp_server = (free_port() for _ in range(6))
        self.path = str(folder / "resp.sock")
        self.url = f"http://127.0.0.1:{self.admin}"
        self.authority = Authority(folder)
        self.issued = self.authority.issue("localhost", "localhost")
        self.file = folder / "proxy.yaml"
        self.pid_file = folder / "proxy.pid"
        self.pids: list[int] = []
        self.write(self.config())
        self.first: Program | None = None

    def config(self) -> dict[str, Any]:
        tls = {"certificate": str(self.issued.certificate), "key": str(self.issued.key)}
        options: dict[str, Any] = {"drain_timeout": f"{DRAIN:g}s"}
        resp = listener("resp", self.resp, "redis", [{"cluster": "resp"}], **options)
        return {
            "admin": {"listen": f"127.0.0.1:{self.admin}"},
            "listeners": [
                listener("http", self.http, "http", [{"cluster": "http"}], **options),
                listener("tls", self.tls, "http", [{"cluster": "http"}], tls=tls, **options),
                {**resp, "listen": [f"127.0.0.1:{self.resp}", f"unix:{self.path}"]},
            ],
            "clusters": [cluster("http", self.http_server), cluster("resp", self.resp_server)],
        }

    def write(self, config: dict[str, Any]) -> None:
        self.file.write_text(yaml.safe_dump(config))

    def start(self) -> None:
        argv: list[str | Path] = [TWISTD, "-n", f"--pidfile={self.pid_file}", "metaproxy", "--config", self.file]
        self.first = Program(argv, self.folder / "proxy.log", ready=self._ready, cwd=self.folder)
        self.pids.append(self.pid)

    def _ready(self) -> bool:
        try:
            return self.ask("GET", "/ready")[0] == 200
        except OSError:
            return False

    def ask(self, method: str, path: str) -> tuple[int, Any]:
        request = urllib.request.Request(self.url + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
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
        status, answer = self.ask("POST", "/upgrade")
        assert status == 200, answer
        assert (len(answer["took"]), answer["bound"], answer["closed"]) == (5, [], [])
        self.pids.append(answer["pid"])

    def stop(self) -> None:
        for pid in self.pids:
            if _runs(pid):
                os.kill(pid, 15)
        assert eventually(lambda: not any(map(_runs, self.pids)), DRAIN + 10), self.log()[-3000:]

    def log(self) -> str:
        return (self.folder / "proxy.log").read_text(errors="replace")


def _runs(pid: int) -> bool:
    """Whether a process is there; one that nothing has waited for yet is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def generations(tmp_path: Path) -> Iterator[Generations]:
    made = Generations(tmp_path)
    yield made
    made.stop()


async def under_load(proxy: Generations, upgrades: int) -> tuple[Load, Servers]:
    servers, load = Servers(), Load()
    await servers.start(proxy.http_server, proxy.resp_server)
    await asyncio.to_thread(proxy.start)
    trusting = ssl.create_default_context(cafile=str(proxy.authority.ca))
    http, tls, resp, unix = to_port(proxy.http), to_port(proxy.tls, trusting), to_port(proxy.resp), to_path(proxy.path)
    clients = [
        load.each_new("http_new", http), load.each_new("http_tls_new", tls), load.each_new("resp_new", resp),
        load.each_new("resp_unix_new", unix), load.each_new("http_slow_new", http, slow=True),
        load.kept("http_kept", http), load.kept("http_tls_kept", tls), load.kept("resp_kept", resp),
        load.kept("resp_unix_kept", unix),
    ]  # fmt: skip
    running = [asyncio.create_task(one) for one in clients]
    until = time.monotonic() + SECONDS
    for number in range(upgrades):
        if time.monotonic() > until:
            break
        await asyncio.to_thread(proxy.upgrade)
        if number % 20 == 19:
            print(f"{number + 1} upgrades, {len(load.ends)} requests")
    await asyncio.sleep(1.0)
    load.over = True
    await asyncio.gather(*running)
    servers.stop()
    return load, servers


def test_each_request_has_one_end_and_none_is_refused(generations: Generations) -> None:
    load, servers = asyncio.run(under_load(generations, UPGRADES))
    done = len(generations.pids) - 1
    print(f"{done} upgrades, {len(load.ends)} requests")
    ends = {kind: load.count(kind) for kind in KINDS}
    for kind, found in ends.items():
        print(f"{kind:16} {dict(found)}")
    for kind, found in ends.items():
        allowed = {"answered", "crossed"} if kind in WORDLESS else {"answered"}
        # A slow request may last as long as several upgrades.
        least = 1 if kind == "http_slow_new" else done + 1
        assert set(found) == allowed & set(found) and found["answered"] >= least, (kind, found)
    wrong = {
        name: (end, servers.asked[name])
        for name, end in load.ends.items()
        if len(end) != 1 or servers.asked[name] != (end == ["answered"])
    }
    assert wrong == {}, "what was answered was asked once, and what was not answered never"
    assert len(set(generations.pids)) == done + 1
    assert generations.ask("GET", "/server_info")[1]["restart_epoch"] == done
    assert generations.ask("GET", "/server_info")[1]["parent_pid"] == generations.pids[-2]
    assert eventually(lambda: not any(map(_runs, generations.pids[:-1])), DRAIN + 10), "the others have ended"
    answered = sum(found["answered"] for found in ends.values())
    assert eventually(lambda: generations.exchanges() == answered, DRAIN), (generations.exchanges(), answered)
    assert int(generations.pid_file.read_text()) == generations.pids[-1]
    assert "Traceback" not in generations.log(), generations.log()[-6000:]


KINDS = (
    "http_new", "http_tls_new", "resp_new", "resp_unix_new", "http_slow_new", "http_kept", "http_tls_kept",
    "resp_kept", "resp_unix_kept",
)  # fmt: skip
WORDLESS = ("resp_kept", "resp_unix_kept")
"""Clients that keep their connections, of a protocol that has no word for leaving."""


def test_a_new_process_that_is_wrong_ends_or_hangs_leaves_the_old_one_serving(generations: Generations) -> None:
    proxy = generations
    proxy.start()
    (first,) = proxy.pids
    text = proxy.config()
    text["listeners"][0]["routes"] = [{"cluster": "htpt"}]
    proxy.write(text)
    status, answer = proxy.ask("POST", "/upgrade")
    assert status == 422 and "did you mean 'http'" in answer["error"]
    with_plugin = {**proxy.config(), "plugins": [str(proxy.folder / "plugins")]}
    (proxy.folder / "plugins").mkdir()
    plugin = proxy.folder / "plugins" / "late.py"
    proxy.write(with_plugin)
    eventually(lambda: proxy.ask("GET", "/server_info")[1]["refused"] is None)
    for end, error in (("os._exit(7)", "ended with 7"), ("import time; time.sleep(60)", "within 4 s")):
        plugin.write_text(f"import os\nif os.getppid() == {first}:\n    {end}\n")
        status, answer = proxy.ask("POST", "/upgrade?timeout=4")
        assert status == 422 and error in answer["error"], answer
        assert proxy.ask("GET", "/upgrade")[1]["last"]["error"] == answer["error"]
    assert proxy.pid == first and proxy.ask("GET", "/ready")[0] == 200
    assert int(proxy.pid_file.read_text()) == first
    plugin.write_text("")
    done = Program([METAPROXY, "--admin", proxy.url, "upgrade"], proxy.folder / "cli.log", ready=lambda: True)
    assert done.wait(60) == 0, done.text()
    proxy.pids.append(proxy.pid)
    assert proxy.pids[1] != first and "serves after" in done.text()


ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="front")
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a_socket_of_systemd_goes_from_one_process_to_the_next(generations: Generations) -> None:
    proxy = generations
    proxy.pid_file = proxy.folder / "none.pid"
    notify = proxy.folder / "notify"
    with (
        socket.create_server(("127.0.0.1", proxy.http)) as given,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears,
    ):
        hears.bind(str(notify))
        hears.settimeout(60)
        os.dup2(given.fileno(), 960)
        argv: list[str | Path] = [sys.executable, "-c", ACTIVATE, "960", sys.executable, "-m", "metaproxy"]
        command = shlex.join([*map(str, argv), "--config", str(proxy.file)])
        environment = {"NOTIFY_SOCKET": str(notify)}
        # Inherited by a shell: Program passes no descriptors.
        os.set_inheritable(960, True)
        started = subprocess.Popen(
            command, shell=True, close_fds=False, env={**os.environ, **environment}, cwd=proxy.folder
        )
        os.close(960)
        assert hears.recv(1000).startswith(b"READY=1")
        (first,) = proxy.pids = [proxy.pid]
        assert _owns(first, given) and _owns(os.getpid(), given)
        proxy.upgrade()
        assert hears.recv(1000).startswith(b"RELOADING=1")
        assert hears.recv(1000).splitlines()[:2] == [b"READY=1", b"MAINPID=%d" % proxy.pids[-1]]
        assert eventually(lambda: started.poll() is not None, DRAIN + 10)
        assert _owns(proxy.pids[-1], given)
        os.kill(proxy.pids[-1], 15)
        assert hears.recv(1000).startswith(b"STOPPING=1")


def _owns(pid: int, sock: socket.socket) -> bool:
    """Whether a process has a socket open."""
    inode = os.fstat(sock.fileno()).st_ino
    links = [os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_symlink()]
    return f"socket:[{inode}]" in links
