"""From what a source says to what is served."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from call_count import count_calls
from control_plane import NOON, Planted, cluster_text

from metaproxy.control.resource_types import CLUSTERS
from metaproxy.control.rollout_spec import shown_moment


@pytest.fixture
def planted() -> Iterator[Planted]:
    made = Planted(a=cluster_text("one"))
    made.start()
    made.client()
    yield made
    made.plane.stopService()
    assert made.clock.getDelayedCalls() == []


def test_what_the_source_has_is_served(planted: Planted) -> None:
    assert planted.stats() == {"n": ["one"]}
    planted.source.set(a=cluster_text("two"))
    planted.settle()
    assert planted.stats() == {"n": ["two"]}


def test_what_is_wrong_anywhere_leaves_all_as_it_was_and_is_said(planted: Planted) -> None:
    planted.source.set(a=cluster_text("two"), b="nonsense: 1")
    planted.settle()
    assert planted.stats() == {"n": ["one"]}
    assert "b.yaml:1:1" in planted.plane.refused[0]
    planted.source.set(b="{}")
    planted.settle()
    assert planted.stats() == {"n": ["two"]}
    assert planted.plane.refused == []


def test_a_source_that_is_away_changes_nothing_and_is_said_until_it_is_back(planted: Planted) -> None:
    planted.plane.failed("no such folder")
    assert planted.stats() == {"n": ["one"]}
    assert planted.plane.status()["lost"] == "no such folder"
    planted.source.set(a=cluster_text("two"))
    assert planted.plane.status()["lost"] == ""


def work_of_an_update(clusters: int) -> int:
    """Return how many functions are called for another version of one of them, and for one that comes as one goes."""
    made = Planted(**{f"c{number}": cluster_text("one", f"c{number}") for number in range(clusters)})
    made.start()
    made.client(delta=True)

    def update() -> None:
        made.source.set(c3=cluster_text("two", "c3"))
        made.settle()
        made.source.set(c1=cluster_text("one", "new"))
        made.settle()

    called = count_calls(update)
    assert {"new", "c2"} < made.clients["n"].has[CLUSTERS.url].keys()
    return called


def test_an_update_costs_what_it_touches_and_not_what_there_is() -> None:
    work_of_an_update(10)  # what is imported at first
    assert work_of_an_update(300) == work_of_an_update(10)


ROLLOUT = f"""
rollout: {{version: v2, before: v1, start: "{shown_moment(NOON)}", steps: [{{percent: 30, hold: 60s}}]}}
"""


def rolling() -> Planted:
    made = Planted(versions__v1__a=cluster_text("one"), versions__v2__a=cluster_text("two"), rollout=ROLLOUT)
    made.start()
    for number in range(20):
        made.client(f"n{number}")
    return made


def having(planted: Planted, stat: str) -> int:
    return sum(has == [stat] for has in planted.stats().values())


def test_a_rollout_goes_on_by_the_time_of_day() -> None:
    planted = rolling()
    assert 0 < having(planted, "two") < 20
    assert having(planted, "one") + having(planted, "two") == 20
    planted.clock.advance(60)
    planted.settle()
    assert having(planted, "two") == 20


def test_a_rollout_that_is_ended_is_ended_in_the_source_and_here() -> None:
    planted = rolling()
    assert planted.plane.plan is not None
    done: list[object] = []
    planted.plane.give_back(planted.plane.plan.rollouts[""], "orders fail").addCallback(done.append)
    planted.settle()
    assert having(planted, "one") == 20
    assert done == [None]
    assert b"orders fail" in planted.source.texts["rollout-returned.yaml"]


def test_a_restarted_server_knows_that_it_was_ended() -> None:
    planted = rolling()
    assert planted.plane.plan is not None
    planted.plane.give_back(planted.plane.plan.rollouts[""], "orders fail")
    again = Planted()
    again.source.texts = planted.source.texts
    again.start()
    again.client("n0")
    again.clock.advance(1000)
    again.settle()
    assert again.stats() == {"n0": ["one"]}


def test_where_the_source_can_not_be_written_it_is_ended_here_and_that_is_said() -> None:
    planted = rolling()
    planted.source.read_only = True
    assert planted.plane.plan is not None
    failed: list[object] = []
    planted.plane.give_back(planted.plane.plan.rollouts[""], "orders fail").addErrback(failed.append)
    planted.settle()
    assert having(planted, "one") == 20
    assert len(failed) == 1
