"""The walk over what a proxy counts, and the differences between two looks at it."""

from __future__ import annotations

from typing import Any

import pytest
from running_proxy import Running

from metaproxy.counts import ClusterCounts, EndpointCounts, Histogram, ListenerCounts, TargetCounts
from metaproxy.workers.counted import Added, CountReader, Key, add, counted, places

TARGET = ("target", "front", "main", "demo")


def kinds(running: Running, unused: bool = False) -> set[str]:
    return {key[0] for key, _ in counted(running.proxy, unused)}


def outcomes(found: dict[Key, Added]) -> Any:
    return found[TARGET]["outcomes"]


def test_what_was_never_used_is_passed_over_unless_it_is_asked_for() -> None:
    running = Running()
    assert not {"endpoint", "target"} & kinds(running)
    assert {"endpoint", "target"} <= kinds(running, unused=True)
    running.exchange(running.client())
    assert {"endpoint", "target"} <= kinds(running)


def test_each_look_has_what_came_since_the_last_one() -> None:
    running = Running()
    client, reader = running.client(), CountReader(running.proxy)
    for _ in range(3):
        running.exchange(client)
    assert outcomes(reader.read()) == {"ok": 3}
    assert TARGET not in reader.read()
    running.exchange(client)
    assert outcomes(reader.read()) == {"ok": 1}


@pytest.mark.parametrize(
    "name", [name for name in TargetCounts.names if name not in ("outcomes", "latency", "streams")]
)
def test_whatever_a_target_counts_is_seen(name: str) -> None:
    running = Running()
    client, reader = running.client(), CountReader(running.proxy)
    running.exchange(client)
    reader.read()
    counts = next(counts for key, counts in counted(running.proxy) if key == TARGET)
    setattr(counts, name, getattr(counts, name) + 3)
    assert reader.read()[TARGET] == {name: 3}


@pytest.mark.parametrize("outcome", ["ok", "reset"])
def test_each_outcome_of_a_target_is_seen(outcome: str) -> None:
    running = Running()
    client, reader = running.client(), CountReader(running.proxy)
    running.exchange(client)
    counts = next(counts for key, counts in counted(running.proxy) if key == TARGET)
    assert isinstance(counts, TargetCounts)
    for expected in (1, 2):
        reader.read()
        counts.count(outcome, expected)
        assert reader.read()[TARGET] == {"outcomes": {outcome: expected}}
    counts.of_streams().request_chunks += 1
    assert reader.read()[TARGET] == {"streams": {"request_chunks": 1}}


@pytest.mark.parametrize("name", [name for name in EndpointCounts.__slots__ if name != "latency"])
def test_whatever_an_endpoint_counts_is_seen(name: str) -> None:
    running = Running()
    client, reader = running.client(), CountReader(running.proxy)
    running.exchange(client)
    reader.read()
    place, counts = next((key, counts) for key, counts in counted(running.proxy) if key[0] == "endpoint")
    setattr(counts, name, getattr(counts, name) + 3)
    assert reader.read()[place] == {name: 3}
    assert isinstance(counts, EndpointCounts)
    counts.latency.add(0.5)
    assert reader.read()[place]["latency"]


def test_what_another_configuration_made_begins_at_nothing() -> None:
    running = Running()
    client, reader = running.client(), CountReader(running.proxy)
    for _ in range(3):
        running.exchange(client)
    reader.read()
    running.apply(2)
    running.exchange(client)
    assert outcomes(reader.read()) == {"ok": 1}


def test_what_several_places_have_in_common_comes_once() -> None:
    running = Running()
    reader = CountReader(running.proxy)
    running.exchange(running.client())
    targets: list[Any] = [one["outcomes"] for key, one in reader.read().items() if key[0] == "target"]
    assert targets == [{"ok": 1}]


def test_levels_are_not_counted() -> None:
    running = Running()
    running.client()
    assert running.proxy.listeners["front"].counts.connections_active == 1
    assert "connections_active" not in CountReader(running.proxy).read()["listener", "front"]


def test_a_key_leads_to_the_counts_that_metrics_show() -> None:
    running = Running()
    found = places(running.proxy)
    assert found["listener", "front"] is running.proxy.listeners["front"].counts
    assert found["overload", "requests", "1"] is running.network.overload.requests[1]


def test_numbers_mappings_and_durations_are_added() -> None:
    listener, cluster, target = ListenerCounts(), ClusterCounts(), TargetCounts()
    add(listener, {"requests": 2, "plugin_errors": {"A.b": 1}})
    add(listener, {"requests": 3})
    assert (listener.requests, listener.plugin_errors) == (5, {"A.b": 1})
    cluster.ejections["latency"] = 1
    add(cluster, {"ejections": {"latency": 1, "errors": 4}})
    assert cluster.ejections == {"latency": 2, "errors": 4}
    add(target, {"streams": {"seconds": {"buckets": {3: 2}, "total": 1.5}, "request_chunks": 7}})
    assert target.streams is not None
    assert (target.streams.seconds.count, target.streams.seconds.total, target.streams.request_chunks) == (2, 1.5, 7)


def test_outcomes_go_by_their_names_whatever_holds_them() -> None:
    running = Running()
    counts = running.proxy.listeners["front"].snapshot.routes.routes[0].targets[0].counts
    reader = CountReader(running.proxy)
    reader.read()
    for outcome, number in (("ok", 2**40), ("reset", 3), ("ok", 1)):
        counts.count(outcome, number)
    found = [added["outcomes"] for key, added in reader.read().items() if key[0] == "target"]
    assert found == [{"ok": 2**40 + 1, "reset": 3}]
    carried = TargetCounts()
    carried.count("ok", 5)
    add(carried, {"outcomes": found[0], "orbits": 4})
    assert carried.outcomes == {"ok": 2**40 + 6, "reset": 3}


def test_what_another_version_counts_is_left() -> None:
    listener, durations = ListenerCounts(), Histogram()
    add(listener, {"orbits": 4, "connections_active": 2, "requests": {"as": 1}})
    assert (listener.connections_active, listener.requests) == (0, 0)
    add(durations, {"buckets": {"0": 1, "5000": 9}, "total": 0.5})
    assert (durations.count, durations.total) == (1, 0.5)
