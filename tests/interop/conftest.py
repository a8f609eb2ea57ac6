"""
Fixtures of the interoperability tests: peers by name, the proxy, free ports.

Lives here: starting on demand, ending when the scope is over, the marker `peer(name)`. Does not: which peers there are
(catalogue.py), how processes are run (running.py, proxied.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import catalogue
import pytest
import running
from authority import Authority
from catalogue import Clients, Command, Start
from kafka_peers import Brokers
from proxied import Proxy
from rabbitmq_peers import RabbitMQ
from running import PEERS, Jobs, Program

# For redis-py, with which tests talk as they go along; behind everything else, as .peers holds other libraries too.
sys.path.append(str(PEERS / "python" / "main"))
sys.path.append(str(PEERS / "grpc" / "py"))  # example.v1, for tests that call with grpcio themselves


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test whose peer is missing is skipped, and fails where CI is set."""
    for mark in item.iter_markers("peer"):
        for name in mark.args:
            reason = catalogue.missing(name)
            if reason and os.environ.get("CI"):
                pytest.fail(reason, pytrace=False)
            if reason:
                pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Why a test was repeated, whatever became of it then: the second time often fails for another reason."""
    for report in terminalreporter.stats.get("rerun", ()):
        terminalreporter.section(f"first time: {report.nodeid}", "_")
        terminalreporter.line(report.longreprtext)


class _Started:
    """The programs of one scope: each has a log of its own, and all are ended with the scope."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.programs: list[Program] = []

    def __call__(self, command: Command, ready: Callable[[], bool] | None = None) -> Program:
        log = self._directory / f"{len(self.programs)}.log"
        program = Program(command.argv, log, command.env, ready or command.ready)
        self.programs.append(program)
        return program

    def stop(self) -> None:
        for program in self.programs:
            program.signal(15)  # all of them first, so that they end side by side
        for program in self.programs:
            program.stop()


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a program for the module's tests: start(command, ready=None) -> Program."""
    started = _Started(tmp_path_factory.mktemp("started"))
    yield started
    started.stop()


@pytest.fixture
def start_here(tmp_path: Path) -> Iterator[Start]:
    """As `start`, for one test: what a test kills or changes is its own."""
    started = _Started(tmp_path)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """
    clients(command, which=""): a client program, started when it is first asked for and kept: a JVM starts once.
    Another `which` is another process, for a second job at the same time.
    """
    directory = tmp_path_factory.mktemp("clients")
    made: dict[str, Jobs] = {}

    def client(command: Command, which: str = "") -> Jobs:
        name = " ".join(map(str, [*command.argv, which]))
        if name not in made or not made[name].running:
            made[name] = Jobs(command.argv, directory / f"{len(made)}.log", command.env, command.encode)
        return made[name]

    yield client
    for jobs in made.values():
        jobs.stop()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A broker for the tests of all modules that neither end nor fill it: it takes long to start."""
    broker = RabbitMQ(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def kafka_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """Three brokers of Kafka for all tests: they take ten seconds to start."""
    folder = tmp_path_factory.mktemp("kafka")
    brokers = Brokers(folder, Authority(folder))
    yield brokers
    brokers.stop()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """free_port(): a port of 127.0.0.1 that nothing listens on."""
    return running.free_port


def _proxies(directory: Callable[[], Path]) -> Iterator[Callable[[Mapping[str, Any]], Proxy]]:
    made: list[Proxy] = []

    def proxy(config: Mapping[str, Any]) -> Proxy:
        made.append(Proxy(config, directory()))
        return made[-1]

    yield proxy
    for each in made:
        each.stop()


@pytest.fixture
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Mapping[str, Any]], Proxy]]:
    """proxy(config): a running metaproxy for one test. The test fails when its log holds a traceback."""
    yield from _proxies(lambda: tmp_path_factory.mktemp("proxy"))


@pytest.fixture(scope="module")
def shared_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Mapping[str, Any]], Proxy]]:
    """As `proxy`, for all tests of a module."""
    yield from _proxies(lambda: tmp_path_factory.mktemp("proxy"))
