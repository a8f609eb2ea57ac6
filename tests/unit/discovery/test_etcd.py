"""Against answers as etcd's gateway has them. A real server: tests/interop/test_registries.py."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from scripted_calls import Request, ScriptedCalls
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from metaproxy.discovery.etcd import Etcd
from metaproxy.discovery.etcd_rounds import GATHER, LIFE, PAUSE
from metaproxy.discovery.http_registry import LAST, Calls
from metaproxy.interfaces import IDiscovery
from metaproxy.testing import FakeReport
from metaproxy.units import Secret

SERVER = "http://127.0.0.1:2379"


def coded(text: str) -> str:
    return b64encode(text.encode()).decode()


def pair(key: str, value: str = "", revision: int = 5) -> dict[str, str]:
    return {"key": coded(key), "value": coded(value), "mod_revision": str(revision)}


def put(key: str, value: str, revision: int) -> dict[str, Any]:
    return {"kv": pair(key, value, revision)}


def delete(key: str, revision: int) -> dict[str, Any]:
    return {"type": "DELETE", "kv": {"key": coded(key), "mod_revision": str(revision)}}


class Store:
    def __init__(self) -> None:
        self.clock = Clock()
        self.calls = ScriptedCalls()
        self.made = 0

    def discovery(self, target: str = "/services/demo/", **options: Any) -> tuple[Etcd, FakeReport]:
        store = self

        class Asking(Etcd):
            def calls(self) -> Calls:
                store.made += 1
                return store.calls

        found, report = Asking(target, self.clock, **{"server": SERVER, **options}), FakeReport()
        found.start(report.update, report.failed)
        return found, report

    def keys(self, *pairs: dict[str, str], revision: int = 5, **more: object) -> Request:
        """Answers what asks for keys; then a watch begins."""
        (request,) = self.calls.waiting
        assert request.path == "/v3/kv/range"
        request.answer({"header": {"revision": str(revision)}, "kvs": list(pairs), **more})
        self.clock.pump([0, GATHER])
        return request

    def events(self, *events: dict[str, Any], revision: int = 6) -> None:
        (request,) = self.calls.waiting
        assert request.path == "/v3/watch"
        request.send({"result": {"header": {"revision": str(revision)}, "events": list(events)}})
        self.clock.pump([0, GATHER])


@pytest.fixture
def store() -> Store:
    return Store()


def addresses(report: FakeReport) -> list[str]:
    return sorted(str(one["address"]) for one in report.updates[-1])


def test_it_is_a_discovery(store: Store) -> None:
    assert verifyObject(IDiscovery, store.discovery()[0])


def test_keys_are_read_and_then_watched_from_that_revision(store: Store) -> None:
    _, report = store.discovery("/services/demo")
    store.keys(pair("/services/demo/a", "10.0.0.7:80"), pair("/services/other/a", "10.0.0.9:80"), revision=5)
    assert store.calls.json(0) == {"key": coded("/services/"), "range_end": coded("/services0"), "limit": 1000}
    assert addresses(report) == ["10.0.0.7:80"]
    (wanted,) = store.calls.json().values()
    assert wanted == {"key": coded("/services/"), "range_end": coded("/services0"), "start_revision": "6"}


def test_servers_come_change_and_go(store: Store) -> None:
    _, report = store.discovery()
    store.keys(pair("/services/demo/a", "10.0.0.7:80"))
    store.events(put("/services/demo/b", '{"host": "10.0.0.8", "port": 80, "weight": 3}', 6))
    assert addresses(report) == ["10.0.0.7:80", "10.0.0.8:80"]
    store.events(put("/services/demo/a", "10.0.0.9:80", 7), revision=7)
    assert addresses(report) == ["10.0.0.8:80", "10.0.0.9:80"]
    store.events(delete("/services/demo/b", 8), revision=8)
    assert addresses(report) == ["10.0.0.9:80"]


def test_values_are_also_those_of_etcds_own_resolver(store: Store) -> None:
    _, report = store.discovery()
    store.keys(pair("/services/demo/a", '{"Op": 0, "Addr": "10.0.0.7:80", "Metadata": {"version": "v2"}}'))
    assert report.updates == [[{"address": "10.0.0.7:80", "weight": 1, "metadata": {"version": "v2"}}]]


def test_a_key_without_a_value_is_the_address_that_it_ends_with(store: Store) -> None:
    _, report = store.discovery()
    store.keys(pair("/services/demo/10.0.0.7:80"))
    assert addresses(report) == ["10.0.0.7:80"]


def test_a_value_that_can_not_be_read_costs_no_other(store: Store) -> None:
    _, report = store.discovery()
    store.keys(pair("/services/demo/a", "10.0.0.7:80"), pair("/services/demo/b", "{}"))
    assert addresses(report) == ["10.0.0.7:80"]
    assert "/services/demo/b" in report.failures[0]


def test_only_values_that_changed_are_read_again(store: Store) -> None:
    _, report = store.discovery()
    store.keys(pair("/services/demo/a", "{}"))
    store.events(put("/services/demo/b", "h:2", 6))
    assert addresses(report) == ["h:2"]
    assert len(report.failures) == 1


def test_many_changes_in_a_moment_are_one_update(store: Store) -> None:
    _, report = store.discovery()
    store.keys()
    for n in range(1, 101):
        store.calls.last.send(
            {"result": {"header": {"revision": "9"}, "events": [put(f"/services/demo/{n}", f"h:{n}", 9)]}}
        )
    store.clock.advance(GATHER)
    assert [len(each) for each in report.updates] == [0, 100]


def test_a_change_elsewhere_is_no_update(store: Store) -> None:
    _, report = store.discovery()
    store.keys(pair("/services/demo/a", "h:1"))
    store.events(put("/services/other/b", "h:2", 6))
    assert len(report.updates) == 1


def test_keys_are_read_in_pages_of_one_revision(store: Store) -> None:
    _, report = store.discovery()
    store.keys(pair("/services/demo/a", "h:1"), revision=5, more=True)
    assert store.calls.json() == {
        "key": coded("/services/demo/a\0"), "range_end": coded("/services0"), "limit": 1000, "revision": "5",
    }  # fmt: skip
    assert report.updates == []
    store.keys(pair("/services/demo/b", "h:2"), revision=9)
    assert addresses(report) == ["h:1", "h:2"]
    assert store.calls.json()["create_request"]["start_revision"] == "6"


# -- watches end


def test_a_watch_goes_on_from_the_last_change_when_its_time_is_over(store: Store) -> None:
    _, report = store.discovery()
    store.keys(pair("/services/demo/a", "h:1"), revision=5)
    store.events(put("/services/demo/b", "h:2", 8), revision=9)
    store.clock.advance(LIFE)
    store.calls.last.fail(f"no answer in {LIFE:g} s")
    store.clock.advance(0)
    assert store.calls.json()["create_request"]["start_revision"] == "9"
    assert report.failures == []


def test_a_watch_that_ends_before_its_time_is_a_failure_and_all_is_read_again(store: Store) -> None:
    _, report = store.discovery()
    store.keys(pair("/services/demo/a", "h:1"))
    store.calls.last.end()
    assert report.failures == ["etcd: the watch has ended before its time"]
    assert addresses(report) == ["h:1"]
    store.clock.advance(LAST)
    store.keys(pair("/services/demo/b", "h:2"), revision=50)
    assert addresses(report) == ["h:2"]


def test_a_revision_that_was_compacted_is_no_failure_and_all_is_read_again(store: Store) -> None:
    _, report = store.discovery()
    store.keys(pair("/services/demo/a", "h:1"))
    store.calls.last.send({"result": {"header": {"revision": "99"}, "canceled": True, "compact_revision": "50"}})
    store.clock.advance(PAUSE)
    store.keys(pair("/services/demo/b", "h:2"), revision=99)
    assert addresses(report) == ["h:2"]
    assert report.failures == []


def test_a_store_that_is_behind_what_it_was_is_read_again(store: Store) -> None:
    """It was restored from a copy, or lost its data: a watch from our revision would wait for ever."""
    _, report = store.discovery()
    store.keys(pair("/services/demo/a", "h:1"), revision=500)
    store.calls.last.send({"result": {"header": {"revision": "3"}, "created": True}})
    store.clock.advance(PAUSE)
    store.keys(pair("/services/demo/b", "h:2"), revision=4)
    assert addresses(report) == ["h:2"]


@pytest.mark.parametrize(
    "line",
    [
        b"{\n", b"[]\n", {"error": {"message": "etcdserver: no leader"}}, {"result": {}},
        {"result": {"canceled": True, "cancel_reason": "permission denied"}},
        {"result": {"header": {"revision": "6"}, "events": [{"kv": {"key": "%"}}]}},
        {"result": {"header": {"revision": "6"}, "events": [7]}}, b"x" * ((16 << 20) + 1),
    ],
    ids=range(8),
)  # fmt: skip
def test_an_event_that_can_not_be_read_is_a_failure(store: Store, line: object) -> None:
    _, report = store.discovery()
    store.keys(pair("/services/demo/a", "h:1"))
    store.calls.last.send(line)
    assert len(report.failures) == 1
    assert addresses(report) == ["h:1"]
    store.clock.advance(LAST)
    assert store.calls.last.path == "/v3/kv/range"


# -- failures


def test_a_server_that_is_away_keeps_the_last_endpoints_and_the_next_is_asked(store: Store) -> None:
    _, report = store.discovery(server="", servers=["http://127.0.0.1:1", "http://127.0.0.1:2"])
    store.keys(pair("/services/demo/a", "h:1"))
    store.calls.last.fail("connection lost")
    assert addresses(report) == ["h:1"]
    assert report.failures == ["etcd http://127.0.0.1:1: connection lost"]
    store.clock.advance(LAST)
    assert store.calls.last.url == "http://127.0.0.1:2/v3/kv/range"


def test_keys_that_are_gone_after_an_outage_stay_for_the_time_to_settle(store: Store) -> None:
    _, report = store.discovery(settle=60.0)
    store.keys(pair("/services/demo/a", "h:1"))
    store.calls.last.fail()
    store.clock.advance(LAST)
    store.keys(revision=1)
    assert addresses(report) == ["h:1"]
    store.clock.advance(60)
    assert report.updates[-1] == []


@pytest.mark.parametrize(
    "found", [None, [], {}, {"header": {"revision": "x"}}, {"header": {"revision": "1"}, "kvs": [{}]}]
)
def test_an_answer_of_another_kind_is_a_failure(store: Store, found: object) -> None:
    _, report = store.discovery()
    store.calls.last.answer(found)
    assert len(report.failures) == 1
    assert report.updates == []


def test_more_keys_than_allowed_are_a_failure(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaproxy.discovery.etcd_keys.MOST_KEYS", 2)
    _, report = store.discovery()
    store.keys(*(pair(f"/services/demo/{n}", f"h:{n + 1}") for n in range(3)))
    assert "write a narrower `root`" in report.failures[0]
    assert report.updates == []


# -- logging in


def test_with_a_user_it_logs_in_first_and_again_after_a_failure(store: Store) -> None:
    store.discovery(user="me", password=Secret("p"))
    assert store.calls.last.path == "/v3/auth/authenticate"
    assert store.calls.json() == {"name": "me", "password": "p"}
    store.calls.last.answer({"token": "t1"})
    assert store.calls.last.headers["authorization"] == "t1"
    store.keys()
    assert store.calls.last.headers["authorization"] == "t1"
    store.calls.last.answer({"error": "invalid auth token"}, 401)
    store.clock.advance(LAST)
    assert store.calls.last.path == "/v3/auth/authenticate"


def test_a_login_without_a_token_is_a_failure(store: Store) -> None:
    _, report = store.discovery(user="me", password=Secret("p"))
    store.calls.last.answer({})
    assert report.failures == ["etcd: an answer to the login without a token"]


# -- what is shared


def test_a_thousand_clusters_below_one_folder_have_one_watch(store: Store) -> None:
    found = [store.discovery(f"/services/s{n}/") for n in range(1000)]
    store.keys(*(pair(f"/services/s{n}/a", f"h:{n + 1}") for n in range(1000)))
    assert store.made == 1
    assert len(store.calls.requests) == 2
    assert [addresses(report) for _, report in found] == [[f"h:{n + 1}"] for n in range(1000)]
    store.events(put("/services/s7/b", "h:9999", 6))
    assert [len(report.updates) for _, report in found].count(2) == 1
    for one, _ in found:
        one.stop()
    store.clock.advance(0)
    assert store.calls.waiting == []
    assert store.clock.getDelayedCalls() == []


def test_a_cluster_that_comes_later_has_what_is_known(store: Store) -> None:
    store.discovery()
    store.keys(pair("/services/demo/a", "h:1"), pair("/services/other/a", "h:2"))
    _, report = store.discovery("/services/other/")
    store.clock.advance(GATHER)
    assert addresses(report) == ["h:2"]
    assert len(store.calls.requests) == 2


def test_a_prefix_at_the_top_is_watched_alone(store: Store) -> None:
    store.discovery("/demo")
    assert store.calls.json()["key"] == coded("/demo/")


def test_a_root_can_be_named_and_must_be_above_the_prefix(store: Store) -> None:
    store.discovery("/a/b/c/", root="/a/")
    assert store.calls.json()["key"] == coded("/a/")
    with pytest.raises(ValueError, match="no beginning"):
        Etcd("/a/b/", Clock(), SERVER, root="/b/")


def test_a_prefix_that_is_too_deep_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 16 folders deep"):
        Etcd("/a" * 17, Clock(), SERVER)


def test_nothing_is_reported_after_stop(store: Store) -> None:
    found, report = store.discovery()
    found.stop()
    found.stop()
    store.clock.advance(0)
    assert (report.updates, report.failures) == ([], [])
    assert store.clock.getDelayedCalls() == []
