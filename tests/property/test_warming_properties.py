"""Whatever is offered, comes, is late, is refused and goes: looking at what changed finds what looking at all finds."""

from __future__ import annotations

from typing import Any

from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.config import model
from metaproxy.config.schema.reading import Use
from metaproxy.xds.offers import ClusterOffer, Offers
from metaproxy.xds.translate import Built, ListenerForm, Need
from metaproxy.xds.warming import InForce, Warming

NAMES = ("a", "b", "c")
names = st.sampled_from(NAMES)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("cluster"), names, st.booleans(), st.integers(1, 3)),
        st.tuples(st.just("listener"), names, names, st.booleans()),
        st.tuples(st.just("routes"), names, st.sets(names)),
        st.tuples(st.just("gone"), st.sampled_from(["clusters", "listeners"]), names),
        st.tuples(st.just("came"), names),
        st.tuples(st.just("late"), names),
        st.tuples(st.just("linger"), st.booleans()),
        st.tuples(st.just("known"), st.sets(names)),
        st.tuples(st.just("look"), st.booleans()),
    ),
    max_size=40,
)


class Play:
    """One that looks at all each time, and one that looks at what has changed; both see the same."""

    def __init__(self, started: bool) -> None:
        self.offers = Offers()
        self.built: dict[Need, Built] = {}
        self.there: set[Need] = set()
        self.late: set[Need] = set()
        self.routes: dict[Need, frozenset[str]] = {}
        self.linger = True
        self.known: frozenset[str] = frozenset()
        self.others: object = None
        self._composed: dict[tuple[int, frozenset[str]], model.Listener] = {}
        self._forms: list[ListenerForm] = []
        self.whole, self.parts = self._warming(), self._warming()
        for name in NAMES if started else ():
            self.step("listener", name, name, True)
            self.step("routes", name, {name})

    def _warming(self) -> Warming:
        return Warming(self.there.__contains__, self.late.__contains__, self._compose, lambda name: self.linger)

    def _compose(self, form: ListenerForm) -> model.Listener | None:
        assert form.rds is not None
        leads = self.routes.get(form.rds)
        if leads is None:
            return None
        key = id(form), leads
        if key not in self._composed:
            found = tuple(model.Route(cluster=one) for one in sorted(leads))
            name = form.section.name
            self._composed[key] = model.Listener(name=name, protocol=Use("dubbo"), routes=found)
        return self._composed[key]

    def step(self, what: str, *rest: Any) -> None:
        if what == "cluster":
            name, needs, seconds = rest
            wanted = (Need("s", "endpoints", name),) if needs else ()
            section = model.Cluster(name=name, connect_timeout=seconds)
            self._put(Need("s", "clusters", name), Built(clusters=(section,), needs=wanted))
        elif what == "listener":
            name, routes, fresh = rest
            form = ListenerForm(model.Listener(name=name, protocol=Use("dubbo")), {}, Need("s", "routes", routes))
            self._forms.append(form)  # so that no two have the same identity
            server = "s" if fresh else "t"
            self._put(Need(server, "listeners", name), Built(listeners=(form,)))
        elif what == "routes":
            need = Need("s", "routes", rest[0])
            self.routes[need] = frozenset(rest[1])
            self.offers.routes_changed(need)
        elif what == "gone":
            self._put(Need("s", *rest), None)
        elif what == "came":
            self.there.add(Need("s", "endpoints", rest[0]))
        elif what == "late":
            self.late.add(Need("s", "routes", rest[0]))
        elif what == "linger":
            (self.linger,) = rest
        elif what == "known":
            self.known = frozenset(rest[0])
        else:
            self.look(*rest)

    def _put(self, need: Need, built: Built | None) -> None:
        before = self.built.pop(need, None)
        self.offers.replace(need, before, built)
        if built is not None:
            self.built[need] = built

    def look(self, accepted: bool) -> None:
        """accepted: whether it is put in force; else it is refused, and all of it looked at again."""
        clusters: dict[str, ClusterOffer] = dict(self.offers.clusters)
        touched = dict(self.offers.touched) if self.others == self.known else None
        self.others = self.known
        self.offers.touched.clear()
        whole = self.whole.next(clusters, self.offers.listeners, self.known)
        part = self.parts.next(clusters, self.offers.listeners, self.known, touched)
        assert same(whole, part)
        if accepted:
            self.whole.accept(whole)
            self.parts.accept(part)
        else:
            self.offers.touched.update(dict.fromkeys((*part.changed_listeners, *part.changed_clusters)))


def same(one: InForce, other: InForce) -> bool:
    """Whether both put the same in force."""
    return one.listeners == other.listeners and one.clusters == other.clusters and set(one.gone) == set(other.gone)


@examples(160)
@given(st.booleans(), steps)
def test_a_look_at_what_has_changed_finds_what_a_look_at_all_finds(started: bool, steps: list[Any]) -> None:
    play = Play(started)
    for step in steps:
        play.step(*step)
    play.look(True)
    play.look(True)
