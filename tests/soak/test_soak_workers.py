"""
Workers that are killed again and again under load, `make soak`: SOAK_WORKER_KILLS says how often (10; 1000 for a long
run).

Lives here: each request that was sent has exactly one end, an answer or the end of its connection; counts never fall.
Does not: one end of a worker, and all else of them (tests/interop/test_workers.py).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "interop"))
import catalogue  # noqa: E402
from catalogue import missing  # noqa: E402
from proxied import Proxy, cluster, listener  # noqa: E402
from running import Program, answers, eventually, free_port  # noqa: E402
from worker_load import load, to, workers  # noqa: E402

KILLS = int(os.environ.get("SOAK_WORKER_KILLS", "10"))
CALLERS = 8


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    if reason := missing("redis-server"):
        pytest.skip(reason)
    port = free_port()
    made = catalogue.redis_server(port, tmp_path)
    program = Program(made.argv, tmp_path / "redis.log", made.env, lambda: answers(port))
    yield port
    program.stop()


def test_each_request_has_exactly_one_end_however_often_workers_are_killed(tmp_path: Path, server: int) -> None:
    port = free_port()
    proxy = Proxy(
        {
            "workers": 2,
            "listeners": [listener("front", port, "redis", [{"name": "main", "cluster": "demo"}])],
            "clusters": [cluster("demo", server)],
        },
        tmp_path,
    )
    counts: list[int] = []
    try:
        with load(to(port), CALLERS) as found:
            for number in range(KILLS):
                victim = number % 2

                # Killed while it starts as well: every third one has no time to become ready.
                wanted = {"ready"} if number % 3 else {"ready", "starting"}

                def alive(victim: int = victim, wanted: set[str] = wanted) -> bool:
                    return workers(proxy)[victim]["state"] in wanted

                assert eventually(alive, 60.0, 0.05), workers(proxy)
                if number % 3:
                    found.go_on(20)
                pid = workers(proxy)[victim]["pid"]
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                counts.append(proxy.counted("metaproxy_exchanges_total"))
            assert eventually(lambda: all(one["state"] == "ready" for one in workers(proxy)), 60.0, 0.1)
        assert found.wrong == []
        assert found.sent == found.answered + found.cut
        assert found.answered > 0
        assert counts == sorted(counts)
        assert sum(one["restarts"] for one in workers(proxy)) >= KILLS - 1
        print(f"{KILLS} kills: {found.sent} sent, {found.answered} answered, {found.cut} cut, {found.refused} refused")
    finally:
        proxy.stop()
