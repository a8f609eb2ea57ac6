"""A policy that can't be read opens no door: of which version of it what holds."""

from __future__ import annotations

import pytest
from mesh_objects import documents, written

from metaproxy.mesh.objects.dubbo_authorization import CLOSED, DubboAuthorizationPolicy
from metaproxy.mesh.objects.reading import Key, Object, read_dict
from metaproxy.mesh.store import State, Store

KIND = "DubboAuthorizationPolicy"
RIGHT = written(KIND, "p", "{rules: [{from: [{source: {principals: [a]}}]}]}")
WRONG = RIGHT.replace("principals", "principles")


class Policies:
    """A sink that keeps which namespaces are closed, and which policies hold."""

    def __init__(self) -> None:
        self.store = Store(self)
        self.held: dict[Key, Object] = {}

    def put(self, object: Object) -> None:
        self.held[object.key] = object

    def remove(self, key: Key) -> None:
        del self.held[key]

    def fill(self, text: str, file: str = "a.yaml") -> None:
        self.store.fill(file, documents(text, file))

    @property
    def closed(self) -> list[str]:
        return sorted(key.namespace for key, one in self.held.items() if one.spec is CLOSED)

    @property
    def names(self) -> list[str]:
        return sorted(key.name for key, one in self.held.items() if one.spec is not CLOSED)

    @property
    def reasons(self) -> str:
        return "\n".join(line for one in self.store.status() for line in one.reasons)


@pytest.fixture
def policies() -> Policies:
    return Policies()


def test_what_holds_in_its_place_denies_every_call() -> None:
    assert isinstance(CLOSED, DubboAuthorizationPolicy)
    assert CLOSED.action == "DENY" and [(rule.from_, rule.to) for rule in CLOSED.rules] == [((), ())]


def test_a_policy_that_was_never_right_closes_its_namespace_until_it_is(policies: Policies) -> None:
    policies.fill(WRONG)
    assert policies.closed == ["demo"] and list(policies.store.instead) == [Key(KIND, "demo", "p")]
    assert "denies all calls of services of the namespace demo until it is" in policies.reasons
    assert [one.state for one in policies.store.status()] == [State.REFUSED]
    policies.fill(RIGHT)
    assert (policies.closed, policies.names, policies.reasons) == ([], ["p"], "")
    assert policies.store.instead == {}


def test_a_policy_that_was_right_before_holds_on_and_closes_nothing(policies: Policies) -> None:
    policies.fill(RIGHT)
    policies.fill(WRONG)
    assert (policies.closed, policies.names) == ([], ["p"])
    assert "denies all calls" not in policies.reasons


def test_a_policy_that_is_gone_closes_nothing(policies: Policies) -> None:
    policies.fill(WRONG)
    policies.fill("")
    assert policies.held == {} and policies.store.instead == {}


def test_a_policy_of_an_api_server_that_was_never_right_closes_its_namespace(policies: Policies) -> None:
    wrong = {"apiVersion": "dubbo.aeraki.io/v1alpha1", "kind": KIND, "spec": {"action": "ALOW"},
             "metadata": {"name": "p", "namespace": "shop"}}  # fmt: skip
    policies.store.put(KIND, read_dict(wrong, "kubernetes"))
    assert policies.closed == ["shop"]
    policies.store.remove(KIND, Key(KIND, "shop", "p"))
    assert policies.closed == []


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        (RIGHT.replace("name: p", "title: p"), "demo"),
        (RIGHT.replace("namespace: demo", "namespace: [demo]"), "istio-system"),
        (RIGHT.replace("  namespace: demo\n", "").replace("name: p", "name: [p]"), "default"),
        (f"apiVersion: dubbo.aeraki.io/v1alpha1\nkind: {KIND}\nmetadata: p\n", "istio-system"),
        (f"apiVersion: dubbo.aeraki.io/v1alpha1\nkind: {KIND}\n", "default"),
        (RIGHT.replace("v1alpha1", "v1"), "demo"),
        (RIGHT.replace(KIND, "DubboAuthorisationPolicy"), "demo"),
        (RIGHT.replace("apiVersion: dubbo.aeraki.io/v1alpha1\n", ""), "demo"),
        (RIGHT.replace(f"kind: {KIND}\n", ""), "demo"),
        (RIGHT + "  x: [\n", "demo"),
        (RIGHT.replace("namespace: demo", 'namespace: "demo') + "x", "demo"),
        (RIGHT + "  x: [\n# namespace: other\n", "istio-system"),
        (RIGHT.replace("  namespace: demo\n", "") + "  x: [\n", "default"),
        (RIGHT + "\ta: b\n" + "---\n" + RIGHT, "demo"),
    ],
)
def test_one_of_which_it_can_not_be_told_which_it_is_closes_what_it_may_be_for(
    policies: Policies, text: str, closed: str
) -> None:
    policies.fill(text)
    assert policies.closed == [closed]
    where = "all namespaces" if closed == "istio-system" else f"the namespace {closed}"
    assert f"denies all calls of services of {where} until it is" in policies.reasons
    policies.fill(RIGHT)
    assert (policies.closed, policies.names) == ([], ["p"])


def test_it_may_be_the_one_that_is_missing_then_the_version_before_holds(policies: Policies) -> None:
    policies.fill(RIGHT)
    policies.fill(RIGHT.replace("name: p", "title: p"))
    assert (policies.closed, policies.names) == ([], ["p"])
    other = RIGHT.replace("name: p", "name: q")
    policies.fill(f"{RIGHT}---\n{other.replace('name: q', 'title: q')}")
    assert (policies.closed, policies.names) == (["demo"], ["p"])


@pytest.mark.parametrize(
    "text",
    [
        written("MetaRouter", "r", "{hosts: []}"),
        written("MetaRouter", "r", "{hosts: []}") + "  x: [\n",
        RIGHT + "---\na: [\n",
        RIGHT.replace("dubbo.aeraki.io", "other.io").replace("rules", "rulez"),
    ],
)
def test_what_is_no_policy_closes_nothing(policies: Policies, text: str) -> None:
    policies.fill(text)
    assert policies.closed == []


def test_however_many_can_not_be_read_each_closes_its_namespace(policies: Policies) -> None:
    wrong = RIGHT.replace("name: p", "title: p")
    policies.fill("---\n".join(["- no object\n"] * 600 + [wrong.replace("demo", f"n{number}") for number in range(3)]))
    assert policies.closed == ["n0", "n1", "n2"]
