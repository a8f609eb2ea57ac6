"""
A thousand queries of real PostgreSQL clients at a time, of which some are cancelled.

Lives here: that a cancel request ends what its client has under way and nothing else, however much there is. Does not:
keys (tests/unit/codecs/test_cancel_keys.py).
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from postgres_peers import PYTHON, PostgreSQL
from proxied import Proxy, cluster, listener
from running import free_port

pytestmark = pytest.mark.peer("postgres", "postgres-python")
sys.path.append(str(PYTHON))
QUERIES, CANCELLED, AT_A_TIME = 1000, 100, 25
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and wait_event = 'advisory'"


class Mesh(NamedTuple):
    server: PostgreSQL
    ports: dict[str, int]


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy]) -> Any:
    hba = "host all app 127.0.0.1/32 trust"
    server = PostgreSQL(free_port(), "-c", f"max_connections={QUERIES + 50}", hba=hba)
    ports = {"passing": free_port(), "pooled": free_port()}
    borrowed = {"connections": {"per_endpoint": QUERIES}, "credentials": {"user": "app"}}
    limits = {"breaker": {"max_connections": QUERIES + 20, "max_pending": 2 * QUERIES}, "connect_timeout": "20s"}
    listeners = [
        listener("passing", ports["passing"], "postgres", [{"cluster": "passing", "timeout": "2m"}]),
        listener(
            "pooled", ports["pooled"], {"name": "postgres", "users": {"app": "secret"}, "auth": "trust"},
            [{"cluster": "pooled", "timeout": "2m"}],
        ),
    ]  # fmt: skip
    clusters = [cluster("passing", server.port, **limits), cluster("pooled", server.port, **borrowed, **limits)]
    shared_proxy({"listeners": listeners, "clusters": clusters})
    yield Mesh(server, ports)
    server.stop()


@pytest.mark.parametrize("way", ["passing", "pooled"])
def test_of_a_thousand_queries_those_end_that_are_cancelled_and_no_others(mesh: Mesh, way: str) -> None:
    asyncio.run(_cancel_some(mesh, mesh.ports[way]))


async def _cancel_some(mesh: Mesh, port: int) -> None:
    import asyncpg

    gate = asyncio.Semaphore(AT_A_TIME)

    async def enter() -> Any:
        async with gate:
            return await asyncpg.connect(host="127.0.0.1", port=port, user="app", database="postgres", timeout=60)

    async def waiting(count: int) -> None:
        async with asyncio.timeout(60):
            while await watcher.fetchval(WAITING) != count:
                await asyncio.sleep(0.1)

    holder = await asyncpg.connect(host="127.0.0.1", port=mesh.server.port, user="app", database="postgres")
    watcher = await asyncpg.connect(host="127.0.0.1", port=mesh.server.port, user="app", database="postgres")
    await holder.execute("select pg_advisory_lock(1)")
    clients = await asyncio.gather(*(enter() for _ in range(QUERIES)))
    text = "select {} from pg_advisory_xact_lock_shared(1)"
    queries = [asyncio.create_task(c.fetchval(text.format(number))) for number, c in enumerate(clients)]
    await waiting(QUERIES)

    chosen = set(random.Random(7).sample(range(QUERIES), CANCELLED))
    for number in chosen:
        queries[number].cancel()
    await waiting(QUERIES - CANCELLED)
    await holder.execute("select pg_advisory_unlock(1)")
    found = await asyncio.gather(*queries, return_exceptions=True)
    ended = {number for number, result in enumerate(found) if isinstance(result, asyncio.CancelledError)}
    assert ended == chosen
    assert all(result == number for number, result in enumerate(found) if number not in chosen)
    assert [await clients[number].fetchval("select 2") for number in chosen] == [2] * CANCELLED

    for c in clients:
        await c.close()
    await holder.close()
    await watcher.close()
