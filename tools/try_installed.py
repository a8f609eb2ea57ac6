"""
python tools/try_installed.py compiled|pure: whether the metaproxy that is installed beside this interpreter works.

Its `--version` must name this data path, and a Redis request must pass through it. Needs nothing but what metaproxy
itself needs, and no free port of a known number: for wheels, where the tests' requirements are not installed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

CONFIG = """
admin: {{listen: "127.0.0.1:{admin}"}}
listeners:
  - {{name: redis, listen: "127.0.0.1:{port}", protocol: redis, routes: [{{cluster: redis}}]}}
clusters:
  - {{name: redis, endpoints: ["127.0.0.1:{server}"]}}
"""
PATIENCE = 60.0


def serve(listening: socket.socket) -> None:
    """Answers each GET of each connection with "hello"; a daemon thread's."""
    while True:
        client, _ = listening.accept()
        threading.Thread(target=answer, args=[client], daemon=True).start()


def answer(client: socket.socket) -> None:
    with client:
        while data := client.recv(65536):
            client.sendall(b"$5\r\nhello\r\n" * data.count(b"*2\r\n"))


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(process: subprocess.Popen[bytes], port: int) -> socket.socket:
    """A connection to the listener, once it is there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("metaproxy does not listen") from None
            time.sleep(0.1)


def ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
        return connection.recv(100)


def main() -> None:
    if sys.argv[1:] not in (["compiled"], ["pure"]):
        raise SystemExit(__doc__)
    (wanted,) = sys.argv[1:]
    programs = Path(sys.executable).parent
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "METAPROXY_PURE")}
    version = subprocess.run(
        [programs / "metaproxy", "--version"], env=environ, check=True, capture_output=True, text=True
    )
    if f"({wanted}," not in version.stdout:
        raise SystemExit(f"not {wanted}: {version.stdout}")
    with socket.create_server(("127.0.0.1", 0)) as listening, tempfile.TemporaryDirectory() as folder:
        threading.Thread(target=serve, args=[listening], daemon=True).start()
        port, admin = free_ports(2)
        file = Path(folder) / "metaproxy.yaml"
        file.write_text(CONFIG.format(port=port, admin=admin, server=listening.getsockname()[1]))
        command = [programs / "twistd", "-n", "--pidfile=", "metaproxy", "--config", file]
        process = subprocess.Popen(command, env=environ, cwd=folder)
        try:
            wait_for(process, port).close()
            if (said := ask(port)) != b"$5\r\nhello\r\n":
                raise SystemExit(f"a request through it was answered with {said!r}")
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/server_info", timeout=PATIENCE) as response:
                path = json.load(response)["data_path"]
            if path != wanted:
                raise SystemExit(f"/server_info says that it is {path}, not {wanted}")
            process.send_signal(signal.SIGTERM)
            if process.wait(PATIENCE) not in (0, -signal.SIGTERM):  # twistd ends by the signal that it was sent
                raise SystemExit(f"it ended with {process.returncode}")
        finally:
            process.kill()
    sys.stdout.write(f"{version.stdout.strip()}: works\n")


if __name__ == "__main__":
    main()
