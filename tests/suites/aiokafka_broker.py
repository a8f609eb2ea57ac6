"""
A plugin for aiokafka's tests: a broker that runs already in the place of the container that they would start.

AIOKAFKA_PORTS: of the broker, without a login, with one, and with TLS; AIOKAFKA_TOOLS: what runs Kafka's Java programs,
as a shell would read it. Certificates are beside the report. Lives here: what the tests' conftest.py has containers
for. Does not: the broker (`kafka_broker`).
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

PORT, LOGINS, TLS = map(int, os.environ["AIOKAFKA_PORTS"].split())
HOST = "127.0.0.1"
ACLS = "org.apache.kafka.tools.AclCommand"
OLD_OPTION = "--authorizer-properties"
"""With which the tool found the broker when it had a ZooKeeper; a value follows."""


class Container:
    """What the tests have of theirs: the operators' tools in it, for rules, and for a user that is there already."""

    def exec_run(self, command: str) -> tuple[int, bytes]:
        program, *words = shlex.split(command)
        if Path(program).name == "kafka-configs.sh":
            return 0, b""
        kept = [word for before, word in zip(["", *words], words, strict=False) if OLD_OPTION not in (before, word)]
        where = ["--bootstrap-server", f"{HOST}:{PORT}"]
        argv = [*shlex.split(os.environ["AIOKAFKA_TOOLS"]), ACLS, *where, *kept]
        ran = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
        return ran.returncode, ran.stdout


@pytest.fixture(scope="session")
def kafka_server() -> SimpleNamespace:
    return SimpleNamespace(
        host=HOST, port=PORT, hosts=[f"{HOST}:{PORT}"], ssl_port=TLS, sasl_plain_port=LOGINS, sasl_ssl_port=0,
        container=Container(),
    )  # fmt: skip


@pytest.fixture(scope="session")
def ssl_folder(request: pytest.FixtureRequest) -> Path:
    report: str = request.config.getoption("--junitxml")
    return Path(report).with_name("certificates")


@pytest.fixture(scope="class")
def kerberos_utils() -> None:
    """There is no Kerberos."""


@pytest.hookimpl(tryfirst=True)
def pytest_plugin_registered(plugin: object, plugin_name: str) -> None:
    """Before pytest looks for fixtures in it."""
    if Path(plugin_name) == Path.cwd() / "tests" / "conftest.py":
        for fixture in (kafka_server, ssl_folder, kerberos_utils):
            setattr(plugin, fixture.__name__, fixture)
