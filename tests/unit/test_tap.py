"""`twistd metaproxy` in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port
from harness import answer, call

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PATIENCE = 30.0


class Proxy:
    def __init__(self, folder: Path) -> None:
        self.port, self.admin, self.backend = free_port(), free_port(), free_port()
        self.file = folder / "proxy.yaml"
        self.running: subprocess.Popen[str] | None = None

    def config(self, cluster: str = "one") -> str:
        listen = f"127.0.0.1:{self.port}"
        return json.dumps(
            {
                "admin": {"listen": f"127.0.0.1:{self.admin}"},
                "listeners": [
                    {"name": "front", "listen": listen, "protocol": "quill", "routes": [{"cluster": cluster}]}
                ],
                "clusters": [{"name": "one", "endpoints": [f"127.0.0.1:{self.backend}"]}],
            }
        )  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "metaproxy",
            "--config",
            str(self.file),
            "--plugins",
            str(EXAMPLES),
            *arguments,
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def start(self) -> None:
        command = [sys.executable, "-m", "metaproxy", "--config", str(self.file), "--plugins", str(EXAMPLES)]
        self.running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if self.get("/ready").status == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("not ready")

    def get(self, path: str) -> Any:
        return urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path)
    proxy.file.write_text(proxy.config())
    yield proxy
    if proxy.running is not None and proxy.running.poll() is None:
        proxy.running.kill()
        proxy.running.wait()


def test_check_tells_what_is_wrong_and_exits_with_1(proxy: Proxy) -> None:
    """That a process starts as well is shown below; what else `--check` tells, in test_tap_options."""
    proxy.file.write_text(proxy.config("oen"))
    ended = proxy.run("--check")
    assert ended.returncode == 1
    assert "listeners[0].routes[0].cluster: no cluster 'oen'; did you mean 'one'?" in ended.stderr


def test_an_address_that_is_taken_is_told_by_name(proxy: Proxy) -> None:
    with socket.create_server(("127.0.0.1", proxy.port)):
        ended = proxy.run()
    assert ended.returncode == 1
    assert f"listener front: 127.0.0.1:{proxy.port}: Address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_serves_reloads_on_sighup_and_ends_on_sigterm(proxy: Proxy) -> None:
    proxy.start()
    assert proxy.running is not None
    backend = socket.create_server(("127.0.0.1", proxy.backend))
    client = socket.create_connection(("127.0.0.1", proxy.port), 5)
    client.sendall(call(7))
    server, _ = backend.accept()
    with backend, client, server:
        assert server.recv(100) == call(1)
        server.sendall(answer(1))
        assert client.recv(100) == answer(7)
        proxy.file.write_text(proxy.config("oen"))
        os.kill(proxy.running.pid, signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        while json.load(proxy.get("/config_dump"))["refused"] is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "did you mean 'one'" in json.dumps(json.load(proxy.get("/config_dump"))["refused"])
        client.sendall(call(8))
        assert server.recv(100) == call(2)
        server.sendall(answer(2))
        assert client.recv(100) == answer(8)
    proxy.running.send_signal(signal.SIGTERM)
    output, _ = proxy.running.communicate(timeout=PATIENCE)
    assert proxy.running.returncode in (0, -signal.SIGTERM)  # twistd ends by the signal that it got
    assert "Traceback" not in output
    assert "configuration 1 in force: front at 127.0.0.1" in output
