"""A filter that is made again goes on where the one before it was: counts, buckets and what is under way survive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stand import Stand

from metaproxy.config.inheritance import succeed

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"

OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "local_rate_limit": ({"limit": 100}, {"limit": 7}),
    "global_rate_limit": (
        {"descriptors": [{"entries": [{"key": "a", "value": "b"}], "limit": {"requests_per_unit": 5, "unit": "hour"}}]},
        {"descriptors": [{"entries": [{"key": "a", "value": "b"}], "limit": {"requests_per_unit": 9, "unit": "hour"}}]},
    ),
    "fault": (
        {"faults": [{"name": "x", "percentage": 0, "delay": "1s"}]},
        {"faults": [{"name": "x", "percentage": 5, "delay": "1s"}]},
    ),
    "rbac": (
        {"policies": {"p": {"principals": [{"any": True}]}}},
        {"policies": {"q": {"principals": [{"any": True}]}}, "per_policy": True},
    ),
    "concurrency_limit": ({"limit": 5}, {"limit": 6}),
    "deadline": ({"key": "timeout"}, {"key": "timeout", "unit": "s"}),
    "jwt": (
        {"providers": {"p": {"shared_secret": "x" * 32, "algorithms": ["HS256"]}}},
        {"providers": {"p": {"shared_secret": "y" * 32, "algorithms": ["HS256"]}}},
    ),
    "ext_authz": (
        {"service": {"http": "http://127.0.0.1:1"}},
        {"service": {"http": "http://127.0.0.1:1"}, "fail": "open"},
    ),
}  # fmt: skip


def config(filters: list[Any], overrides: dict[str, Any] | None = None) -> str:
    return json.dumps(
        {
            "plugins": [str(EXAMPLES)],
            "listeners": [
                {
                    "name": "front", "listen": "127.0.0.1:7000", "protocol": "quill", "filters": filters,
                    "routes": [{"name": "some", "cluster": "one", "filters": overrides or {}}],
                }
            ],
            "clusters": [{"name": "one", "endpoints": ["127.0.0.1:1"]}],
        }
    )  # fmt: skip


def plugins(stand: Stand) -> list[Any]:
    return [one.plugin for one in stand.snapshot.filters]


def totals(stand: Stand) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in plugins(stand):
        for event, number in one.counters.items():
            found[event] = found.get(event, 0) + number
    return found


@pytest.mark.parametrize("name", OPTIONS)
def test_counts_of_every_filter_survive_other_options(tmp_path: Path, name: str) -> None:
    before, after = OPTIONS[name]
    stand = Stand(tmp_path, config([{name: before}]))
    assert stand.errors == []
    (old,) = plugins(stand)
    for place, event in enumerate(old.counters, 1):
        old.counters[event] = place
    counted = dict(old.counters)
    stand.write(config([{name: after}]))
    assert stand.configuration.reload() == []
    (new,) = plugins(stand)
    assert new is not old
    assert {event: new.counters[event] for event in counted} == counted


@pytest.mark.parametrize("name", OPTIONS)
def test_what_exchanges_under_way_still_count_in_the_old_one_is_seen(tmp_path: Path, name: str) -> None:
    before, after = OPTIONS[name]
    stand = Stand(tmp_path, config([{name: before}]))
    (old,) = plugins(stand)
    stand.write(config([{name: after}]))
    assert stand.configuration.reload() == []
    event = next(iter(old.counters))
    old.counters[event] += 5
    assert plugins(stand)[0].counters[event] == 5


def test_a_configuration_that_is_refused_takes_nothing_from_those_in_force(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config([{"local_rate_limit": {"limit": 5}}]))
    (old,) = plugins(stand)
    old.counters["ok"] = 3
    stand.network.taken.add(7001)
    stand.write(config([{"local_rate_limit": {"limit": 6}}]).replace("7000", "7001"))
    assert stand.configuration.reload() != []
    assert plugins(stand) == [old]
    assert old.counters["ok"] == 3


def test_filters_of_one_name_are_told_apart_by_their_order(tmp_path: Path) -> None:
    one, two = {"local_rate_limit": {"limit": 5}}, {"local_rate_limit": {"limit": 6}}
    stand = Stand(tmp_path, config([one, two]))
    for number, plugin in enumerate(plugins(stand), 1):
        plugin.counters["ok"] = number
    stand.write(config([{"local_rate_limit": {"limit": 7}}, "deadline", {"local_rate_limit": {"limit": 8}}]))
    assert stand.configuration.reload() == []
    assert [one.counters["ok"] for one in plugins(stand) if "ok" in one.counters] == [1, 2]


@pytest.mark.parametrize("change", ["the override goes", "the second of the name goes", "both"])
def test_the_sum_of_a_listener_s_counts_never_goes_back(tmp_path: Path, change: str) -> None:
    limit = {"local_rate_limit": {"limit": 5}}
    override = {"local_rate_limit": {"limit": 50}}
    stand = Stand(tmp_path, config([limit, limit], override))
    for number, plugin in enumerate(plugins(stand), 1):
        plugin.counters["ok"] = 10**number
    total = totals(stand)["ok"]
    filters = [limit] if change != "the override goes" else [limit, limit]
    stand.write(config(filters, override if change == "the second of the name goes" else None))
    assert stand.configuration.reload() == []
    assert totals(stand)["ok"] == total


def test_a_live_value_leaves_a_bucket_as_empty_as_it_was(tmp_path: Path) -> None:
    text = json.loads(config([{"local_rate_limit": {"limit": {"runtime": "limit"}}}]))
    stand = Stand(tmp_path, json.dumps({**text, "runtime": {"limit": 2}}))
    (old,) = plugins(stand)
    exchange = Exchange()
    assert [old.on_request(exchange) is None for _ in range(3)] == [True, True, False]
    assert stand.configuration.set_live("limit", 5) == []
    (new,) = plugins(stand)
    assert new.on_request(exchange) is not None
    assert new.counters == {"ok": 2, "rate_limited": 2, "enforced": 2}


class Exchange:
    started = 1.0
    outcome = ""

    def get(self, key: str) -> str | None:
        return None


class Counting:
    def __init__(self, **counters: int) -> None:
        self.counters = counters


class Inheriting(Counting):
    def inherit(self, previous: Any) -> None:
        self.counters.update(previous.counters)


class Failing(Counting):
    def inherit(self, previous: Any) -> None:
        raise RuntimeError("no")


class Slotted:
    __slots__ = ("counters",)

    def __init__(self, **counters: int) -> None:
        self.counters = counters


PLACE = ("x", "front", 1, "")


@pytest.mark.parametrize("kind", [Counting, Inheriting, Failing, Slotted])
def test_counts_are_carried_over_once_whatever_a_plugin_does_itself(kind: Any) -> None:
    old, new = kind(a=3), kind(a=0, b=0)
    succeed({PLACE: old}, {PLACE: new})
    assert new.counters == {"a": 3, "b": 0}


@pytest.mark.parametrize("old", [object(), Counting(), type("No", (), {"counters": 5})()])
def test_a_plugin_without_counts_is_let_be(old: object) -> None:
    new = Counting(a=0)
    succeed({PLACE: old}, {PLACE: new})
    assert new.counters == {"a": 0}
