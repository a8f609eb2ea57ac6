"""
Workers that are killed again and again under load, `make soak`: SOAK_WORKER_KILLS says how often (10; 1000 for a long
run), SOAK_WORKER_SECONDS after which it ends with fewer, SOAK_WORKERS of how many (2; one that keeps ending is started
again after up to ten seconds, so a long run is shorter with more). Figures are printed (pytest -s).

Lives here: each request that was sent has exactly one end, an answer or the end of its connection, and is executed once
when it was answered, at most once when not; counts never fall.
Does not: one end of a worker, and all else of them (tests/interop/test_workers.py).
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "interop"))
import catalogue  # noqa: E402
from catalogue import missing  # noqa: E402
from proxied import Proxy, cluster, listener  # noqa: E402
from running import Program, answers, eventually, free_port  # noqa: E402
from worker_load import Load, load, to, workers  # noqa: E402

KILLS = int(os.environ.get("SOAK_WORKER_KILLS", "10"))
SECONDS = float(os.environ.get("SOAK_WORKER_SECONDS", "inf"))
WORKERS = int(os.environ.get("SOAK_WORKERS", "2"))
CALLERS = 8
PATIENCE = 300.0
"""Seconds until a worker is ready: a machine that is busy with other things may take long."""


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
            "workers": WORKERS,
            "listeners": [listener("front", port, "redis", [{"name": "main", "cluster": "demo"}])],
            "clusters": [cluster("demo", server)],
        },
        tmp_path,
        PATIENCE,
    )
    chance = random.Random(KILLS)
    counts: list[int] = []
    states: Counter[str] = Counter()
    began = time.monotonic()
    try:
        with load(to(port), CALLERS) as found:
            while (done := states.total()) < KILLS and time.monotonic() - began < SECONDS:
                # Killed while it starts as well: every third one has no time to become ready.
                wanted = {"ready"} if done % 3 else {"ready", "starting"}

                def able(wanted: set[str] = wanted) -> list[dict[str, Any]]:
                    return [one for one in workers(proxy) if one["state"] in wanted and one["pid"]]

                those = eventually(able, PATIENCE, 0.05)
                assert those, workers(proxy)
                if done % 3:
                    found.go_on(20)
                victim = chance.choice(those)
                try:
                    os.kill(victim["pid"], signal.SIGKILL)
                except ProcessLookupError:
                    continue
                states[victim["state"]] += 1
                counts.append(proxy.counted("metaproxy_exchanges_total"))
                if done % 50 == 49:
                    shown = f"{done + 1} kills in {time.monotonic() - began:.0f} s: {_ends(found)}; supervisor:"
                    print(f"{shown} {proxy.memory() >> 10} KiB, {_files(proxy.pid)} descriptors", flush=True)
            assert eventually(lambda: all(one["state"] == "ready" for one in workers(proxy)), PATIENCE, 0.1)
        print(f"{done} kills ({dict(states)}) of {WORKERS} workers: {_ends(found)}")
        assert found.wrong == [], found.wrong[:10]
        assert found.sent == found.answered + found.cut
        assert found.answered > 0
        with to(server)() as client:
            assert found.executed_twice(client) == []
        assert counts == sorted(counts)
        # One that is killed again before its end was noted is started again once.
        assert done // 2 <= sum(one["restarts"] for one in workers(proxy)) <= done
    finally:
        proxy.stop()


def _ends(found: Load) -> str:
    return f"{found.sent} sent, {found.answered} answered, {found.cut} cut, {found.refused} refused"


def _files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
