"""What an idle client's connection takes, in bytes that the interpreter allocates: it must not creep up."""

import json
import subprocess
import sys

import pytest

from bench.memory import LIMIT

MOST = {
    "dubbo": 2_100, "thrift": 2_300, "redis": 2_750, "mongodb-pool": 2_650, "postgres-simple": 4_150,
    "mysql-pool": 4_150,
}  # fmt: skip
"""
Bytes, about 7 percent above what it is. Beside it a process keeps some 500 for the socket's own object and for what the
allocator can't give away.
"""


PROGRAM = """
import json, os, sys
from bench.memory import allocated

for protocol in json.loads(sys.argv[1]):
    if not os.fork():
        sys.stdout.write(json.dumps([protocol, allocated(protocol, connections=200)]) + "\\n")
        sys.stdout.flush()
        os._exit(0)
    _, status = os.wait()
    if status:
        sys.exit(f"{protocol}: {status}")
"""
"""A process for each protocol: what others left, such as caches that grow, would be counted. Imports are done once."""


@pytest.fixture(scope="module")
def allocated() -> dict[str, float]:
    """Bytes a connection by protocol."""
    command = [sys.executable, "-c", PROGRAM, json.dumps([*MOST])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("protocol", MOST)
def test_a_connection_that_has_asked_once_and_is_silent_takes_no_more_memory_than_before(
    allocated: dict[str, float], protocol: str
) -> None:
    assert 500 < allocated[protocol] <= MOST[protocol]


def test_what_is_allowed_is_less_than_what_is_promised() -> None:
    assert max(MOST.values()) + 500 < LIMIT
