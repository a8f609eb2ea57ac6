"""
RabbitMQ behind the proxies, and its own PerfTest, which publishes and consumes through them.

Lives here: starting the broker, asking PerfTest. Does not: databases (`servers`), proxies (`proxies`).
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.databases.servers import PASSWORD, PEERS, USER, Counted, Missing, program, run
from bench.processes import Running, free_ports, wait_for

_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_LIBRARIES = PEERS / "java-amqp" / "lib"
_START = 60.0


@contextmanager
def rabbitmq(folder: Path) -> Iterator[int]:
    """Its port; the account may do everything."""
    if not _SERVER.exists() or not _LIBRARIES.exists():
        raise Missing(f"{_SERVER} or PerfTest is missing; run tests/interop/install, which installs them")
    home = folder / "rabbitmq"
    home.mkdir()
    port, mapper, distribution = free_ports(3)
    everything = {"user": USER, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    account = {"name": USER, "password": PASSWORD, "tags": ""}
    definitions = {"users": [account], "vhosts": [{"name": "/"}], "permissions": [everything]}
    (home / "definitions.json").write_text(json.dumps(definitions))
    (home / "plugins").write_text("[].\n")
    (home / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\nlog.file = false\n"
        f"load_definitions = {home}/definitions.json\n"
    )
    names = {"HOME": home, "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": mapper}
    places = {
        "RABBITMQ_NODENAME": f"bench{port}@localhost", "RABBITMQ_DIST_PORT": distribution,
        "RABBITMQ_CONFIG_FILE": home / "rabbitmq.conf", "RABBITMQ_MNESIA_BASE": home / "mnesia",
        "RABBITMQ_LOG_BASE": home / "log", "RABBITMQ_ENABLED_PLUGINS_FILE": home / "plugins",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
    }  # fmt: skip
    command = ["env", *(f"{name}={value}" for name, value in {**names, **places}.items()), str(_SERVER)]
    log = home / "log.txt"
    with (
        Running(["env", *(f"{name}={value}" for name, value in names.items()), program("epmd")], home / "epmd.log"),
        Running(command, log, home) as broker,
    ):
        try:
            wait_for("RabbitMQ is not ready", _START, broker, lambda: "Server startup complete" in log.read_text())
            yield port
        finally:
            os.killpg(broker.ids()[0], signal.SIGKILL)  # the script and all that it has started


def perf_test(*options: str) -> Callable[[int, float], Counted]:
    """Messages that came back to consumers, in the seconds that they had."""

    def ask(port: int, seconds: float) -> Counted:
        uri, queue = f"amqp://{USER}:{PASSWORD}@127.0.0.1:{port}", f"q{time.monotonic_ns()}"
        java = [program("java"), "-XX:+UseSerialGC", "-Xmx256m", "-cp", f"{_LIBRARIES}/*", "com.rabbitmq.perf.PerfTest"]
        said = run([*java, "-h", uri, "-x", "1", "-y", "1", "-u", queue, "-z", str(max(2, round(seconds))), *options])
        rate = re.search(r"receiving rate avg: (\d+) msg/s", said)
        if rate is None:
            raise ValueError(f"PerfTest says no rate: {said[-300:]!r}")
        return Counted(round(int(rate[1]) * seconds), seconds)

    return ask
