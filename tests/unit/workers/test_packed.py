"""Sections on their way to a worker: the same on the other side, and never much of them at a time."""

from __future__ import annotations

import pickle

import pytest

from metaproxy.config import model
from metaproxy.config.schema.reading import Use
from metaproxy.workers import packed
from metaproxy.workers.packed import ROUTES_AT_ONCE, Packed

ROUTE = model.Route(cluster="demo", match={"interface": "a"})


@pytest.mark.parametrize("number", [0, 1, ROUTES_AT_ONCE, ROUTES_AT_ONCE + 1, 5 * ROUTES_AT_ONCE])
def test_what_comes_out_is_what_went_in(number: int) -> None:
    listeners = [model.Listener(name=name, protocol=Use("dubbo"), routes=(ROUTE,) * number) for name in "ab"]
    clusters = [model.Cluster(name="demo")]
    found = pickle.loads(pickle.dumps((Packed(listeners), Packed(clusters))))
    assert [len(one) for one in found] == [2, 1]
    assert [[*one] for one in found] == [listeners, clusters]
    assert [*found[0]] == listeners, "as often as it is wanted"


def test_other_work_goes_on_between_some_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[int] = []
    monkeypatch.setattr(packed, "checkpoint", lambda: places.append(1))
    whole = Packed([model.Listener(name="a", protocol=Use("dubbo"), routes=(ROUTE,) * (4 * ROUTES_AT_ONCE))])
    assert len(places) > 4
    places.clear()
    assert len(next(iter(whole)).routes) == 4 * ROUTES_AT_ONCE
    assert len(places) > 4
