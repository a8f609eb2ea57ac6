"""
Whatever a file of objects holds, what is wrong is reported and nothing is raised; whatever the order of changes, what
is made in the end is what would be made at once.
"""

from __future__ import annotations

import yaml
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from mesh_objects import read_one
from mesh_stand import ENTRY, HOST, RULE
from twisted.internet.task import Clock

from metaproxy.config import model
from metaproxy.config.values import Context
from metaproxy.mesh.generator.generator import Generator
from metaproxy.mesh.generator.node import ProxyNode
from metaproxy.mesh.objects.kinds import KINDS
from metaproxy.mesh.objects.reading import Key, Object, read_dict, read_text
from metaproxy.mesh.sections import Sections
from metaproxy.plugins import Registry
from metaproxy.proxy.service_clusters import ServiceClusters

KEYS = st.sampled_from(
    ["hosts", "routes", "spec", "metadata", "name", "ports", "endpoints", "route", "match", "attributes", "exact",
     "destination", "host", "subsets", "labels", "number", "address", "trafficPolicy", "rules", "from", "x"]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["a.b", "v1"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def api(kind: str) -> str:
    known = KINDS[kind]
    return f"{known.group}/{known.versions[0]}".lstrip("/")


OBJECTS = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.fixed_dictionaries(
        {
            "apiVersion": st.just(api(kind)),
            "kind": st.just(kind),
            "metadata": st.just({"name": "x", "namespace": "demo"}) | VALUES,
            "spec": VALUES,
        }
    )
)


@given(st.text(max_size=300) | st.binary(max_size=300))
def test_any_text_is_read_or_what_is_wrong_is_told(text: str | bytes) -> None:
    for document in read_text(text, "x.yaml"):
        assert document.object is not None or document.ignored or document.problems


@given(OBJECTS)
def test_any_object_is_accepted_or_what_is_wrong_is_told_with_its_place(data: dict[str, object]) -> None:
    document = read_dict(data, "kubernetes")
    assert (document.object is None) == bool(document.problems)
    assert all(text.startswith("kubernetes: ") for text in document.problems)
    (again,) = read_text(yaml.safe_dump(data), "x.yaml")
    assert (again.object is None) == bool(again.problems)


@given(OBJECTS)
def test_of_whatever_is_accepted_something_is_made_or_not_and_nothing_is_raised(
    data: dict[str, object],
) -> None:
    document = read_dict(data, "kubernetes")
    if document.object is not None:
        generator = Generator()
        generator.put(read_one("ServiceEntry", "hello", ENTRY))
        generator.put(document.object)
        node = ProxyNode(namespace="demo", addresses=("127.0.0.11",))
        assert generator.resources(node) is not None
        assert generator.notes(node) is not None


# -- changes

ROUTER = "{{hosts: [{host}], routes: [{{route: [{{destination: {{host: {host}, subset: {subset}}}}}]}}]}}"
SUBSETS, NUMBERS = st.sampled_from(["v1", "v2", "v3"]), st.integers(0, 2)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["entry", "rule", "router", "gone"]), NUMBERS, SUBSETS), min_size=1, max_size=12
)
CONTEXT = Context(
    "crds", Registry(), {"clock": Clock(), "node": model.Node(), "clusters": ServiceClusters(Clock()), "xds": None}
)
NODE = ProxyNode(namespace="demo", addresses=("127.0.0.11",))


@examples(15)
@given(CHANGES)
def test_what_changes_bring_about_is_what_would_be_made_at_once(changes: list[tuple[str, int, str]]) -> None:
    generator, sections = Generator(), Sections()
    objects: dict[tuple[str, str], Object] = {}
    for what, number, subset in changes:
        host = f"s{number}.demo"
        if what == "gone":
            for kind in ("ServiceEntry", "MetaRouter"):
                generator.remove(Key(kind, "demo", host))
                objects.pop((kind, host), None)
        else:
            kind, spec = {
                "entry": ("ServiceEntry", ENTRY.replace(HOST, host).replace("version: v1", f"version: {subset}")),
                "rule": ("DestinationRule", RULE.replace(HOST, host).replace("version: v2", f"version: {subset}")),
                "router": ("MetaRouter", ROUTER.format(host=f"s{(number + 1) % 3}.demo", subset=subset)),
            }[what]
            objects[kind, host] = read_one(kind, host, spec)
            generator.put(objects[kind, host])
        outcome = sections.updated(generator.update(NODE), CONTEXT)
    fresh = Generator()
    for one in objects.values():
        fresh.put(one)
    assert generator.resources(NODE) == fresh.resources(NODE)
    assert generator.notes(NODE) == fresh.notes(NODE)
    at_once = Sections().updated(fresh.update(NODE), CONTEXT)
    assert outcome.listeners == at_once.listeners
    assert outcome.clusters == at_once.clusters
    assert sorted(outcome.refused) == sorted(at_once.refused)
