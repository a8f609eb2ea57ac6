"""MetaRouters and their like as documents of a control plane."""

from __future__ import annotations

from metaproxy.control.content import Content
from metaproxy.control.documents import read_document
from metaproxy.control.nodes import Node
from metaproxy.control.resource_types import CLUSTERS, LISTENERS, ROUTES

ENTRY = """
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {name: demo, namespace: demo}
spec:
  hosts: [demo.svc.local]
  addresses: [240.240.0.1]
  ports: [{number: 20880, name: tcp-metaprotocol-dubbo, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1, labels: {version: v1}}]
"""
ROUTER = """
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: demo, namespace: demo}
spec:
  hosts: [demo.svc.local]
  routes:
  - name: NAME
    route: [{destination: {host: demo.svc.local}}]
"""
NODE = Node("sidecar~10.0.0.9~client.demo~demo.svc.cluster.local")


def content(before: Content | None = None, strict: bool = True, **texts: str) -> Content:
    paths = {f"{key.replace('__', '/')}.yaml": text for key, text in texts.items()}
    return Content({path: read_document(path, text.encode()) for path, text in paths.items()}, before, strict)


def test_objects_become_what_a_proxy_of_a_mesh_is_sent() -> None:
    made = content(entry=ENTRY, router=ROUTER)
    assert made.problems == []
    found = made.snapshot("", NODE)
    assert "outbound|20880||demo.svc.local" in found.of(CLUSTERS.url)
    assert "demo.svc.local_20880" in found.of(ROUTES.url)
    assert found.of(LISTENERS.url)


def test_a_change_of_a_router_changes_its_routes_and_nothing_else() -> None:
    before = content(entry=ENTRY, router=ROUTER)
    first = before.snapshot("", NODE)
    after = Content(
        {**before.documents, "router.yaml": read_document("router.yaml", ROUTER.replace("NAME", "other").encode())},
        before,
    )
    second = after.snapshot("", NODE)
    assert second.of(ROUTES.url)["demo.svc.local_20880"] is not first.of(ROUTES.url)["demo.svc.local_20880"]
    for url in (CLUSTERS.url, LISTENERS.url):
        assert all(one is first.of(url)[name] for name, one in second.of(url).items())


def test_what_is_gone_is_gone() -> None:
    before = content(entry=ENTRY, router=ROUTER)
    before.snapshot("", NODE)
    after = Content({"router.yaml": before.documents["router.yaml"]}, before)
    assert after.snapshot("", NODE).types == {}


def test_nodes_of_one_kind_share_their_snapshot() -> None:
    made = content(entry=ENTRY, router=ROUTER)
    other = Node("sidecar~10.0.0.9~other.demo~demo.svc.cluster.local")
    assert made.snapshot("", NODE) is made.snapshot("", other)


def test_a_version_may_have_a_router_of_its_own() -> None:
    made = content(entry=ENTRY, versions__v1__r=ROUTER, versions__v2__r=ROUTER.replace("NAME", "two"))
    assert made.problems == []
    one, two = (made.snapshot(version, NODE).of(ROUTES.url)["demo.svc.local_20880"] for version in ("v1", "v2"))
    assert one.version != two.version


def test_an_object_that_stands_twice_for_one_node_is_a_problem() -> None:
    (problem,) = content(entry=ENTRY, a=ROUTER, versions__v1__r=ROUTER).problems
    assert "MetaRouter demo/demo" in problem.text


def test_an_object_that_is_wrong_is_a_problem_where_one_team_writes_all_and_else_is_left_out() -> None:
    wrong = ROUTER.replace("hosts: [demo.svc.local]", "hosts: []")
    assert "hosts" in str(content(entry=ENTRY, router=wrong).problems[0])
    assert content(entry=ENTRY, router=wrong, strict=False).problems == []


def test_where_it_is_left_out_the_version_before_holds() -> None:
    before = content(strict=False, entry=ENTRY, router=ROUTER)
    first = before.snapshot("", NODE)
    wrong = read_document("router.yaml", ROUTER.replace("hosts: [demo.svc.local]", "hosts: []").encode())
    after = Content({**before.documents, "router.yaml": wrong}, before, strict=False)
    assert after.snapshot("", NODE) is first
