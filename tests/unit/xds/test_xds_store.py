from __future__ import annotations

from xds_stage import CLUSTERS, ROUTES

from metaproxy.xds.resource_types import ResourceType
from metaproxy.xds.store import Status, Store, Verdict
from metaproxy.xds.update import Resource, Update


def update(kind: ResourceType, **values: bytes) -> Update:
    found = {name: Resource(name, "1", value) for name, value in values.items()}
    return Update("1", found, whole=kind.wildcard)


def taken(store: Store, offered: Update, now: float = 0.0, **refused: str) -> None:
    store.accept(offered, store.difference(offered), Verdict(refused), now)


def test_an_entry_says_what_is_in_use_and_what_was_refused_since() -> None:
    store = Store(CLUSTERS)
    taken(store, update(CLUSTERS, a=b"1"), 10.0)
    taken(store, update(CLUSTERS, a=b"2"), 20.0, a="no")
    entry = store.entries["a"]
    assert (entry.status, entry.updated, entry.refused_at, entry.error) == (Status.NACKED, 10.0, 20.0, "no")
    assert store.get("a") == b"1"
    assert entry.refused is not None
    assert entry.refused.value == b"2"


def test_what_is_accepted_after_a_refusal_leaves_none() -> None:
    store = Store(CLUSTERS)
    taken(store, update(CLUSTERS, a=b"2"), a="no")
    taken(store, update(CLUSTERS, a=b"3"))
    entry = store.entries["a"]
    assert (entry.status, entry.error, entry.refused) == (Status.ACKED, "", None)


def test_bytes_that_were_refused_are_refused_again_without_a_look() -> None:
    store = Store(CLUSTERS)
    taken(store, update(CLUSTERS, a=b"2"), a="no")
    again = update(CLUSTERS, a=b"2")
    assert not store.difference(again)
    assert again.errors == {"a": "no"}


def test_going_back_to_what_is_in_use_is_no_change_and_no_error() -> None:
    store = Store(CLUSTERS)
    taken(store, update(CLUSTERS, a=b"1"))
    taken(store, update(CLUSTERS, a=b"2"), a="no")
    back = update(CLUSTERS, a=b"1")
    change = store.difference(back)
    assert (bool(change), back.errors) == (False, {})
    store.accept(back, change, Verdict(), 0.0)
    assert store.entries["a"].status is Status.ACKED


def test_a_name_that_is_wanted_stands_as_requested_until_it_comes() -> None:
    store = Store(ROUTES)
    assert store.want(["a", "b"]) == []
    taken(store, update(ROUTES, a=b"1"))
    assert {name: one.status for name, one in store.entries.items()} == {"a": Status.ACKED, "b": Status.REQUESTED}


def test_a_name_that_is_not_wanted_any_more_is_forgotten_with_its_bytes() -> None:
    store = Store(ROUTES)
    store.want(["a"])
    taken(store, update(ROUTES, a=b"1"))
    assert store.want([]) == ["a"]
    assert (store.entries, store.names) == ({}, {})


def test_names_by_bytes_are_those_in_use() -> None:
    store = Store(CLUSTERS)
    taken(store, update(CLUSTERS, a=b"1"))
    taken(store, update(CLUSTERS, a=b"2", b=b"3"))
    assert store.names == {b"2": "a", b"3": "b"}
    taken(store, update(CLUSTERS, b=b"3"))
    assert store.names == {b"3": "b"}


def test_routes_that_are_removed_say_so_and_stay() -> None:
    store = Store(ROUTES)
    store.want(["a"])
    taken(store, update(ROUTES, a=b"1"))
    gone = Update("2", removed=["a", "never"])
    change = store.difference(gone)
    assert change.removed == ("a",)
    store.accept(gone, change, Verdict(), 0.0)
    assert store.entries["a"].status is Status.DOES_NOT_EXIST
    assert store.get("a") == b"1"
