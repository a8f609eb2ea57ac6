"""What an idle client's connection takes, in bytes that the interpreter allocates: it must not creep up."""

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


def in_a_new_process(protocol: str) -> float:
    """What other tests left, such as caches that grow, would be counted in this one."""
    program = f"from bench.memory import allocated; print(allocated({protocol!r}, connections=200))"
    return float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("protocol", MOST)
def test_a_connection_that_has_asked_once_and_is_silent_takes_no_more_memory_than_before(protocol: str) -> None:
    assert in_a_new_process(protocol) <= MOST[protocol]


def test_what_is_allowed_is_less_than_what_is_promised() -> None:
    assert max(MOST.values()) + 500 < LIMIT
