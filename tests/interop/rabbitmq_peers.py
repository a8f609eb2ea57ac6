"""
RabbitMQ for tests: a broker that can be killed and started again on its data.

Lives here: its files, starting and ending it, waiting until it serves. Does not: clients (catalogue.py), assertions.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from authority import Authority
from running import Program, free_port

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
EPMD = "epmd"
USERS: Mapping[str, str] = {"guest": "guest", "app": "secret", "back": "back-secret"}
VHOSTS: Sequence[str] = ("/", "shop")
STARTED = 180.0
"""
Seconds that a broker has until it serves. Alone it needs four; beside programs that keep all processors busy it was
seen to need seventy, in most of which its threads waited for a processor.
"""


class _Node(Program):
    """A program that has others do its work: what is meant for it is sent to all of them."""

    def signal(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return


def _definitions(users: Mapping[str, str], vhosts: Sequence[str]) -> dict[str, Any]:
    """What the broker has when it starts: each of the users may do everything in each of the virtual hosts."""
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [{"name": name, "password": word, "tags": "administrator"} for name, word in users.items()],
        "vhosts": [{"name": name} for name in vhosts],
        "permissions": [{"user": user, "vhost": vhost, **everything} for user in users for vhost in vhosts],
    }


class RabbitMQ:
    """
    A broker on 127.0.0.1 that serves when the constructor returns.

    options: further lines of its rabbitmq.conf. port: for clients; tls_port: for those that speak TLS, and are to trust
    ca, the file of an authority. It is ended at once, as a crash would end it.
    """

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        self.folder = folder / "rabbitmq"
        self.folder.mkdir()
        self.port, self.tls_port = port or free_port(), free_port()
        authority = Authority(self.folder)
        self.ca, self.issued = authority.ca, authority.issue("localhost", "localhost", "127.0.0.1")
        mapper, distribution = free_port(), free_port()
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / "definitions.json").write_text(json.dumps(_definitions(USERS, VHOSTS)))
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}", "log.console = true", "log.file = false",
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}", f"ssl_options.cacertfile = {self.ca}",
            f"ssl_options.certfile = {self.issued.certificate}", f"ssl_options.keyfile = {self.issued.key}",
            "vm_memory_high_watermark.absolute = 512MB", f"load_definitions = {self.folder}/definitions.json", *options,
        ]  # fmt: skip
        (self.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        local = {"HOME": str(self.folder), "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(mapper)}
        self._environment = {
            **local,
            "RABBITMQ_NODENAME": f"rmq{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            # Without the second its schedulers spin, which takes from what the tests measure.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
        }
        # In the foreground: else the broker leaves one behind.
        self._names = Program([EPMD], self.folder / "epmd.log", local, ready=lambda: True)
        self._runs = 0
        try:
            self.start()
        except BaseException:
            self._names.stop()
            raise

    def start(self) -> None:
        """Start it, also on the data of one that was killed."""
        self._runs += 1
        log = self.folder / f"{self._runs}.log"
        ready = "Server startup complete"
        self._node = _Node(
            [SERVER],
            log,
            self._environment,
            ready=lambda: ready in log.read_text(errors="replace"),
            cwd=self.folder,  # where it leaves what it says when it fails
            seconds=STARTED,
        )

    def kill(self) -> None:
        """End it without a word."""
        self._node.signal(signal.SIGKILL)
        self._node.wait(5)

    def close(self) -> None:
        """Have it say goodbye to its clients, and end."""
        self._node.signal(signal.SIGTERM)
        self._node.wait(20)

    @contextmanager
    def blocking(self) -> Iterator[None]:
        """Meanwhile it takes no messages, as if it had no memory left."""
        alarm = "{{resource_limit, memory, node()}, []}"
        self.evaluate(f"rabbit_alarm:set_alarm({alarm}).")
        yield
        self.evaluate("rabbit_alarm:clear_alarm({resource_limit, memory, node()}).")

    def evaluate(self, expression: str) -> None:
        """Have it do something that only its operators can, in Erlang."""
        command: list[str | Path] = [SERVER.with_name("rabbitmqctl"), "-q", "eval", expression]
        environment = {**os.environ, **self._environment}
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=30)

    def control(self, program: Path) -> None:
        """Writes a program that is its operators' one; it knows which broker, whatever it is given as `-n NODE`."""
        settings = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self._environment.items())
        chosen = '[ "$1" = -n ] && shift 2\n'
        program.write_text(f'#!/bin/sh\n{settings}{chosen}exec {SERVER.with_name("rabbitmqctl")} "$@"\n')
        program.chmod(0o755)

    def log(self) -> str:
        return self._node.text()

    def stop(self) -> None:
        self.kill()
        self._names.stop()

    def uri(self, port: int = 0, login: str = "guest:guest", vhost: str = "%2F") -> str:
        """Where a client finds it, or a proxy on `port`."""
        return f"amqp://{login}@127.0.0.1:{port or self.port}/{vhost}"
