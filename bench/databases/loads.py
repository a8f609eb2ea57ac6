"""
What databases and brokers are asked: pgbench, sysbench, a program of pymongo's, PerfTest, Kafka's own tools; and what
came of it.

Lives here: `Load`, the list of them. Does not: servers (`servers`), who is asked (`proxies`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from bench.databases.kafka import consuming, producing
from bench.databases.rabbit import perf_test
from bench.databases.servers import PASSWORD, USER, Counted, mongo_load, program, run, sysbench

CLIENTS = 16
"""Of each load; each has one query under way."""
_MANY = 1000
_OF_TPC_B = 7
"""Statements of one of its transactions."""


@dataclass(frozen=True, slots=True)
class Load:
    """
    run: makes the load at a port, for about so many seconds, and gives how many queries were answered, with the time
    for them of a program that takes long to start. crowd: of many clients, who log in meanwhile.
    """

    name: str
    database: str
    run: Callable[[int, float], int | Counted]
    crowd: bool = False


def _found(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"nothing like {pattern} in {text[-300:]!r}")
    return int(match[1])


def _pgbench(mode: str, *options: str, each: int = 1) -> Callable[[int, float], int]:
    def ask(port: int, seconds: float) -> int:
        amount = ["-c", str(CLIENTS), "-T", str(max(1, round(seconds)))]
        return each * _transactions(port, "-M", mode, *amount, *options)

    return ask


def _crowd(port: int, seconds: float) -> int:
    """Many clients log in, one after the other, and then all ask, each some times."""
    return _transactions(port, "-M", "extended", "-S", "-c", str(_MANY), "-t", str(round(10 * seconds)))


def _transactions(port: int, *options: str) -> int:
    place = ["-h", "127.0.0.1", "-p", str(port), "-U", USER, "postgres"]
    said = run([program("pgbench"), "-n", "-j", "1", *options, *place], PGPASSWORD=PASSWORD)
    if failed := _found(r"number of failed transactions: (\d+)", said):
        raise ValueError(f"{failed} transactions failed")
    return _found(r"transactions actually processed: (\d+)", said)


def _sysbench(test: str, prepared: bool) -> Callable[[int, float], int]:
    def ask(port: int, seconds: float) -> int:
        mode = f"--db-ps-mode={'auto' if prepared else 'disable'}"
        amount = [f"--threads={CLIENTS}", f"--time={max(1, round(seconds))}", mode]
        said = run([*sysbench(port), *amount, test, "run"])
        if lost := _found(r"reconnects: *(\d+)", said):
            raise ValueError(f"{lost} connections were lost")
        return _found(r"total: *(\d+)", said)

    return ask


def _mongo(what: str) -> Callable[[int, float], int]:
    def ask(port: int, seconds: float) -> int:
        said = json.loads(run(mongo_load(port, what, CLIENTS, seconds)))
        if said["errors"]:
            raise ValueError(f"{len(said['errors'])} clients failed: {said['errors'][0]}")
        return int(said["queries"])

    return ask


_MODES = ("simple", "extended", "prepared")
LOADS = [
    *(Load(f"pgbench read-only, {mode}", "postgres", _pgbench(mode, "-S")) for mode in _MODES),
    *(Load(f"pgbench TPC-B, {mode}", "postgres", _pgbench(mode, each=_OF_TPC_B)) for mode in _MODES),
    Load("pgbench read-only, extended, 1,000 clients and their logins", "postgres", _crowd, crowd=True),
    Load("sysbench point_select, text", "mysql", _sysbench("oltp_point_select", False)),
    Load("sysbench point_select, prepared", "mysql", _sysbench("oltp_point_select", True)),
    Load("sysbench read_write, text", "mysql", _sysbench("oltp_read_write", False)),
    Load("sysbench read_write, prepared", "mysql", _sysbench("oltp_read_write", True)),
    Load("mongo find_one", "mongodb", _mongo("find")),
    Load("mongo insert_one", "mongodb", _mongo("insert")),
    Load("PerfTest 100 B, no acks", "amqp", perf_test("-s", "100", "-a")),
    Load("PerfTest 100 B, confirms and acks", "amqp", perf_test("-s", "100", "-c", "100", "-q", "200")),
    Load("PerfTest 1 MiB, confirms and acks", "amqp", perf_test("-s", "1048576", "-c", "10", "-q", "20")),
    Load("ProducerPerformance 100 B", "kafka", producing(100_000)),
    Load("ProducerPerformance 100 B, each in a request", "kafka", producing(3_000, "batch.size=0")),
    Load("ConsumerPerformance 100 B", "kafka", consuming),
]
