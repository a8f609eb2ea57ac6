"""
Hot restarts under load, with the real process: each request has one end, and none is refused. UPGRADES has how many
(5; 1000 in a soak), UPGRADES_SECONDS after which it ends with fewer; figures are printed (pytest -s).
"""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from generations import DRAIN, Generations, runs, under_load, unexpected
from proxied import METAPROXY
from running import Program, eventually

UPGRADES = int(os.environ.get("UPGRADES", "5"))
SECONDS = float(os.environ.get("UPGRADES_SECONDS", "inf"))


@pytest.fixture
def generations(tmp_path: Path) -> Iterator[Generations]:
    made = Generations(tmp_path)
    yield made
    made.stop()


def upgrades(proxy: Generations) -> Iterator[Callable[[], None]]:
    until = time.monotonic() + SECONDS
    for number in range(UPGRADES):
        if time.monotonic() > until:
            return
        yield proxy.upgrade
        if number % 20 == 19:
            print(f"{number + 1} upgrades", flush=True)


def test_each_request_has_one_end_and_none_is_refused(generations: Generations) -> None:
    load, servers = asyncio.run(under_load(generations, upgrades(generations)))
    done = len(generations.pids) - 1
    print(f"{done} upgrades, {len(load.ends)} requests")
    assert unexpected(load, servers, done + 1) == []
    assert len(set(generations.pids)) == done + 1
    assert generations.ask("GET", "/server_info")[1]["restart_epoch"] == done
    assert generations.ask("GET", "/server_info")[1]["parent_pid"] == generations.pids[-2]
    assert eventually(lambda: not any(map(runs, generations.pids[:-1])), DRAIN + 10), "the others have ended"
    answered = sum(end == ["answered"] for end in load.ends.values())
    assert eventually(lambda: generations.exchanges() == answered, DRAIN), (generations.exchanges(), answered)
    assert int(generations.pid_file.read_text()) == generations.pids[-1]
    assert "Traceback" not in generations.log(), generations.log()[-6000:]


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
