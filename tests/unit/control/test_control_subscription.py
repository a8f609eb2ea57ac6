"""What one stream has of one type."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from control_client import cluster, endpoints

from metaproxy.control.resource_types import CLUSTERS, ENDPOINTS, SECRETS, ResourceType
from metaproxy.control.snapshot import Resource, resource
from metaproxy.control.subscription import ALL, Batch, Request, Subscription


def clusters(**values: int) -> dict[str, Resource]:
    return {name: resource(CLUSTERS.url, name, cluster(name, value)) for name, value in values.items()}


def assignments(**values: int) -> dict[str, Resource]:
    return {name: resource(ENDPOINTS.url, name, endpoints(name, value)) for name, value in values.items()}


class Subscriber:
    """A subscription, what there is, and the answers of its client."""

    def __init__(self, kind: ResourceType, there: dict[str, Resource], delta: bool = False) -> None:
        self.subscription = Subscription(kind, delta)
        self.there = there
        self._nonces = 0
        self.last: Batch | None = None

    def ask(self, names: Iterable[str] = (), known: dict[str, str] | None = None) -> Batch | None:
        self.subscription.take(Request(names=list(names), known=known), self.there, 0.0)
        return self.next()

    def answer(self, names: Iterable[str] = (), error: str | None = None, dropped: Iterable[str] = ()) -> Batch | None:
        assert self.last is not None
        request = Request(self.last.nonce, list(names), list(dropped), error=error)
        self.subscription.take(request, self.there, 0.0)
        return self.next()

    def change(self, there: dict[str, Resource], now: float = 0.0) -> Batch | None:
        names = {*self.there, *there}
        self.there = there
        self.subscription.changed(names)
        return self.next(now)

    def next(self, now: float = 0.0) -> Batch | None:
        self._nonces += 1
        batch = self.subscription.next(self.there, now, str(self._nonces))
        self.last = batch or self.last
        return batch


def sent(batch: Batch | None) -> list[str]:
    assert batch is not None
    return sorted(one.name for one in batch.resources)


def test_who_names_no_cluster_wants_all_and_gets_all_whenever_one_changes() -> None:
    subscriber = Subscriber(CLUSTERS, clusters(a=0, b=0))
    assert sent(subscriber.ask()) == ["a", "b"]
    assert subscriber.answer() is None
    assert sent(subscriber.change(clusters(a=0, b=1))) == ["a", "b"]


def test_who_names_no_endpoints_wants_none() -> None:
    subscriber = Subscriber(ENDPOINTS, assignments(a=0))
    assert subscriber.ask() is None
    assert not subscriber.subscription.wants("a")


def test_of_endpoints_only_those_that_changed_are_sent() -> None:
    subscriber = Subscriber(ENDPOINTS, assignments(a=0, b=0))
    assert sent(subscriber.ask(["a", "b"])) == ["a", "b"]
    subscriber.answer(["a", "b"])
    assert sent(subscriber.change(assignments(a=0, b=1))) == ["b"]


def test_what_did_not_change_is_not_sent() -> None:
    subscriber = Subscriber(CLUSTERS, clusters(a=0))
    subscriber.ask()
    subscriber.answer()
    assert subscriber.change(clusters(a=0)) is None


def test_nothing_is_sent_before_the_last_response_is_answered_and_then_the_newest() -> None:
    subscriber = Subscriber(CLUSTERS, clusters(a=0))
    subscriber.ask()
    assert subscriber.change(clusters(a=1)) is None
    assert subscriber.change(clusters(a=2)) is None
    last = subscriber.answer()
    assert last is not None
    assert [one.version for one in last.resources] == [subscriber.there["a"].version]
    assert subscriber.answer() is None


def test_a_request_with_an_old_nonce_is_no_answer() -> None:
    subscriber = Subscriber(CLUSTERS, clusters(a=0))
    subscriber.ask()
    subscriber.subscription.take(Request("77"), subscriber.there, 0.0)
    assert subscriber.subscription.outstanding is not None


def test_a_request_without_a_nonce_asks_for_everything_again() -> None:
    subscriber = Subscriber(CLUSTERS, clusters(a=0))
    subscriber.ask()
    subscriber.answer()
    assert sent(subscriber.ask()) == ["a"]


def test_what_was_refused_is_noted_and_sent_again_only_when_it_changes() -> None:
    subscriber = Subscriber(ENDPOINTS, assignments(a=0))
    subscriber.ask(["a"])
    assert subscriber.answer(["a"], error="port 0") is None
    assert subscriber.subscription.refused["a"].error == "port 0"
    assert subscriber.subscription.refused["a"].version == subscriber.there["a"].version
    assert subscriber.next(1e6) is None
    assert sent(subscriber.change(assignments(a=1))) == ["a"]
    subscriber.answer(["a"])
    assert subscriber.subscription.refused == {}


def test_of_a_response_that_is_refused_the_halves_follow_until_what_is_wrong_stands_alone() -> None:
    subscriber = Subscriber(ENDPOINTS, assignments(a=0, b=0, c=0, d=0))
    names = ["a", "b", "c", "d"]
    assert sent(subscriber.ask(names)) == names
    assert sent(subscriber.answer(names, error="c is wrong")) == ["a", "b"]
    assert sent(subscriber.answer(names)) == ["c", "d"]
    assert sent(subscriber.answer(names, error="c is wrong")) == ["c"]
    assert sent(subscriber.answer(names, error="c is wrong")) == ["d"]
    assert subscriber.answer(names) is None
    assert list(subscriber.subscription.refused) == ["c"]


def test_secrets_that_are_not_there_are_waited_for_in_silence() -> None:
    subscriber = Subscriber(SECRETS, {})
    assert subscriber.ask(["key"]) is None


def test_all_names_that_are_dropped_are_forgotten_and_sent_again_when_they_are_wanted_again() -> None:
    subscriber = Subscriber(ENDPOINTS, assignments(a=0, b=0))
    subscriber.ask(["a", "b"])
    subscriber.answer(["a"])
    assert sent(subscriber.answer(["a", "b"])) == ["b"]


@pytest.mark.parametrize("delta", [False, True])
def test_what_is_gone_stays_until_its_time_has_come(delta: bool) -> None:
    subscriber = Subscriber(CLUSTERS, clusters(a=0, b=0), delta)
    subscriber.ask()
    subscriber.answer()
    assert subscriber.change(clusters(a=0)) is None
    assert subscriber.next(1e6) is None
    subscriber.subscription.calm(5.0)
    assert subscriber.next(4.0) is None
    batch = subscriber.next(5.0)
    assert batch is not None
    assert batch.removed == ("b",)
    assert sent(batch) == ([] if delta else ["a"])


def test_what_comes_back_in_the_meantime_was_never_gone() -> None:
    subscriber = Subscriber(CLUSTERS, clusters(a=0, b=0), delta=True)
    subscriber.ask()
    subscriber.answer()
    subscriber.change(clusters(a=0))
    subscriber.subscription.calm(5.0)
    assert subscriber.change(clusters(a=0, b=0)) is None
    assert subscriber.next(1e6) is None


# -- delta


def test_a_client_that_comes_back_gets_what_changed_meanwhile_and_what_is_gone() -> None:
    there = clusters(a=0, b=1)
    old = clusters(a=0, b=0, c=0)
    subscriber = Subscriber(CLUSTERS, there, delta=True)
    batch = subscriber.ask(known={name: one.version for name, one in old.items()})
    assert sent(batch) == ["b"]
    subscriber.answer()
    subscriber.subscription.calm(0.0)
    removal = subscriber.next(0.0)
    assert removal is not None
    assert removal.removed == ("c",)


def test_a_name_that_there_is_not_is_answered_as_removed() -> None:
    subscriber = Subscriber(ENDPOINTS, {}, delta=True)
    batch = subscriber.ask(["x"])
    assert batch is not None
    assert batch.removed == ("x",)
    assert subscriber.answer() is None
    assert sent(subscriber.change(assignments(x=0))) == ["x"]


def test_who_asks_for_a_name_again_gets_it_again() -> None:
    subscriber = Subscriber(ENDPOINTS, assignments(a=0), delta=True)
    subscriber.ask(["a"])
    subscriber.answer()
    assert sent(subscriber.ask(["a"])) == ["a"]


def test_a_name_that_is_dropped_while_all_are_wanted_is_sent_again() -> None:
    subscriber = Subscriber(CLUSTERS, clusters(a=0, b=0), delta=True)
    subscriber.ask([ALL, "a"])
    assert sent(subscriber.answer(dropped=["a"])) == ["a"]


def test_the_star_is_dropped_with_all_that_was_wanted_by_it_alone() -> None:
    subscriber = Subscriber(CLUSTERS, clusters(a=0, b=0), delta=True)
    subscriber.ask([ALL, "a"])
    subscriber.answer(dropped=[ALL])
    assert sent(subscriber.change(clusters(a=1, b=1))) == ["a"]


def test_a_large_change_is_sent_in_parts() -> None:
    there = assignments(**{f"e{i}": 0 for i in range(40)})
    subscriber = Subscriber(ENDPOINTS, {name: _large(one) for name, one in there.items()}, delta=True)
    parts = []
    batch = subscriber.ask(list(there))
    while batch is not None:
        parts.append(len(batch.resources))
        batch = subscriber.answer()
    assert sum(parts) == 40
    assert len(parts) > 1


def _large(one: Resource) -> Resource:
    return Resource(one.name, one.version, one.digest, one.message, one.state_of_the_world, b"\0" * 100_000)


def test_what_a_client_never_accepted_does_not_linger_when_it_is_gone() -> None:
    subscriber = Subscriber(CLUSTERS, clusters(a=0, bad=0))
    subscriber.ask()
    assert subscriber.answer(error="bad is bad") is None
    assert sent(subscriber.change(clusters(a=0))) == ["a"]
    subscriber.answer()
    assert subscriber.subscription.next_removal == float("inf"), "a is there, and bad was never in force"


def test_what_is_gone_lingers_in_the_version_that_the_client_accepted() -> None:
    subscriber = Subscriber(CLUSTERS, clusters(a=0, b=0))
    subscriber.ask()
    subscriber.answer()
    subscriber.change(clusters(a=0, b=7))
    subscriber.answer(error="b is bad")
    batch = subscriber.change(clusters(a=1))
    assert batch is not None
    assert {one.name: one.version for one in batch.resources} == {
        name: one.version for name, one in clusters(a=1, b=0).items()
    }
