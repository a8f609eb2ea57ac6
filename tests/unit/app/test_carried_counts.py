from __future__ import annotations

import json
from typing import Any

from running_proxy import Running

from metaproxy.app.carried_counts import export, take
from metaproxy.telemetry.metrics.collector import Metrics
from metaproxy.workers.counted import CountReader


def worked() -> Running:
    running = Running()
    client = running.client()
    for service in ("echo", "gone", "echo"):
        running.exchange(client, service)
    target = running.proxy.listeners["front"].snapshot.routes.routes[0].targets[0]
    streams = target.counts.of_streams()
    streams.seconds.add(3.0)
    streams.request_chunks = 4
    running.cluster.counts.ejections["latency"] = 2
    return running


def carried(running: Running, reader: CountReader | None = None) -> Any:
    return json.loads(json.dumps(export(reader or CountReader(running.proxy))))


def counters(running: Running) -> dict[str, float]:
    """The metrics that never go down, of a process that counts like another one; connections are its own."""
    found = dict(Metrics(running.proxy).flat())
    return {name: value for name, value in found.items() if "_total{" in name or "_count{" in name or "_sum{" in name}


def test_a_proxy_that_counted_nothing_goes_on_with_the_counts_of_another() -> None:
    old, new = worked(), Running()
    assert carried(new) == {}
    before = counters(old)
    assert take(new.proxy, carried(old)) == []
    assert counters(new) == before and any(before.values())
    assert carried(new) == carried(old)


def test_counts_are_added() -> None:
    old, new = worked(), Running()
    for _ in range(2):
        take(new.proxy, carried(old))
    assert counters(new) == {name: 2 * value for name, value in counters(old).items()}


def test_levels_stay_with_their_process() -> None:
    old, new = worked(), Running()
    assert old.proxy.listeners["front"].counts.connections_active == 1
    take(new.proxy, carried(old))
    assert new.proxy.listeners["front"].counts.connections_active == 0


def test_what_came_since_is_added_once() -> None:
    old, new = worked(), Running()
    reader = CountReader(old.proxy)
    take(new.proxy, carried(old, reader))
    client = old.client()
    old.exchange(client)
    take(new.proxy, carried(old, reader))
    assert counters(new) == counters(old)
    assert carried(old, reader) == {}


def test_places_and_attributes_that_are_not_there_are_left() -> None:
    new = Running()
    given = {
        "listener\nfront": {"requests": 2, "orbits": 7, "connections_active": 5},
        "listener\ngone": {"requests": 1},
    }
    assert take(new.proxy, given) == ["listener\ngone"]
    counts = new.proxy.listeners["front"].counts
    assert (counts.requests, counts.connections_active) == (2, 0)
